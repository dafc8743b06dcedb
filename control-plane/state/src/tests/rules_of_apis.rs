//! Rules of APIs, their parts, deployments and stages, case by case.

use sluice_model::{limits, part::part_of};
use sluice_proto::raft::{
    Deploy, ReplaceParts, Table, UploadContent, command, outcome, rejected::Code, row_change::Kind,
};

use super::{cluster::*, invariants::visible};

fn seen(cluster: &Cluster, table: Table) -> usize {
    visible(&cluster.tables).keys().filter(|(seen, _)| *seen == table).count()
}

fn contents_seen(cluster: &Cluster) -> Vec<String> {
    let all = visible(&cluster.tables).into_iter().filter(|((table, _), _)| *table == Table::Content);
    let mut texts: Vec<_> = all.map(|(_, (_, value))| String::from_utf8(value).unwrap()).collect();
    texts.sort();
    texts
}

#[test]
fn an_editable_api_is_seen_by_no_one_until_a_stage_leads_to_a_copy() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![put(Table::RestApi, &["a1"], b"api"), put(Table::Resource, &["a1", "r1"], b"/pets")]);
    cluster.done(vec![deploy("a1", "d1", None)]);
    assert_eq!(cluster.view().number(), 0);
    cluster.done(vec![Kind::Put(stage("a1", "prod", "d1", None))]);
    assert_eq!((seen(&cluster, Table::Stage), seen(&cluster, Table::Deployment)), (1, 1));
    assert_eq!(contents_seen(&cluster), ["/pets", "api"]);
}

#[test]
fn a_changed_method_sends_its_part_its_row_and_what_points_there() {
    let mut cluster = Cluster::founded().with_served_api();
    let before = cluster.view().number();
    cluster.done(vec![put(Table::Method, &["a1", "r1", "GET"], b"method 2"), deploy("a1", "d2", Some("prod"))]);
    let delta = cluster.delta(before).unwrap();
    let mut tables: Vec<Table> = delta.rows.iter().map(|row| row.table).collect();
    tables.sort();
    assert_eq!(tables, [Table::Stage, Table::Deployment, Table::Part, Table::Content]);
    let mut gone: Vec<Table> = delta.tombstones.iter().map(|gone| gone.table).collect();
    gone.sort();
    assert_eq!(gone, [Table::Deployment, Table::Part, Table::Content]);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "method 2"]);
    cluster.done(vec![Kind::Put(stage("a1", "prod", "d1", None))]);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "method 1"], "a rollback finds the old copy");
}

#[test]
fn a_canary_is_seen_beside_the_deployment() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(vec![put(Table::Method, &["a1", "r1", "GET"], b"method 2"), deploy("a1", "d2", None)]);
    cluster.done(vec![Kind::Put(stage("a1", "prod", "d1", Some("d2")))]);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "method 1", "method 2"]);
}

#[test]
fn models_are_seen_only_where_the_deployment_names_them() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(vec![put(Table::Model, &["a1", "Pet"], b"pet"), put(Table::Model, &["a1", "Cat"], b"cat")]);
    let named = Deploy { models: vec!["Pet".to_owned()], ..deployment("d2") };
    cluster.done(vec![Kind::Deploy(named)]);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "method 1", "pet"]);
    let missing = Deploy { models: vec!["Dog".to_owned()], ..deployment("d3") };
    assert_eq!(cluster.refused(vec![Kind::Deploy(missing)]).code(), Code::NotFound);
}

fn deployment(id: &str) -> Deploy {
    match deploy("a1", id, Some("prod")) {
        Kind::Deploy(deploy) => deploy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deploy_copies_what_was_compiled_or_nothing() {
    let mut cluster = Cluster::founded();
    let compiled = cluster.done(vec![put(Table::RestApi, &["a1"], b"api")]).version;
    let at = |id: &str| Kind::Deploy(Deploy { expected_api_version: Some(compiled), ..deployment(id) });
    cluster.done(vec![put_at(Table::Resource, &["a1", "r1"], b"/x", 0), at("d1")]);
    assert_eq!(cluster.refused(vec![at("d2")]).code(), Code::VersionChanged);
    assert_eq!(cluster.refused(vec![deploy("a1", "d1", None)]).code(), Code::AlreadyExists);
    assert_eq!(cluster.refused(vec![deploy("a9", "d1", None)]).code(), Code::NotFound);
    let strange = Deploy { stage: Some(stage("a1", "prod", "d1", None)), ..deployment("d3") };
    assert_eq!(cluster.refused(vec![Kind::Deploy(strange)]).code(), Code::Invalid);
}

#[test]
fn an_entry_needs_its_api_and_a_method_its_resource() {
    let mut cluster = Cluster::founded();
    assert_eq!(cluster.refused(vec![put(Table::Resource, &["a1", "r1"], b"x")]).code(), Code::NotFound);
    cluster.done(vec![put(Table::RestApi, &["a1"], b"api")]);
    assert_eq!(cluster.refused(vec![put(Table::Method, &["a1", "r1", "GET"], b"x")]).code(), Code::NotFound);
    cluster.done(vec![put(Table::Resource, &["a1", "r1"], b"/x"), put(Table::Method, &["a1", "r1", "GET"], b"get")]);
    cluster.done(vec![delete(Table::Resource, &["a1", "r1"])]);
    assert!(cluster.view().entry(Table::Method, &["a1", "r1", "GET"]).is_none(), "its methods went with it");
    assert_eq!(cluster.refused(vec![delete(Table::Method, &["a1", "r1", "GET"])]).code(), Code::NotFound);
}

#[test]
fn entries_have_the_version_of_their_api() {
    let mut cluster = Cluster::founded();
    let version =
        cluster.done(vec![put(Table::RestApi, &["a1"], b"api"), put(Table::Resource, &["a1", "r1"], b"x")]).version;
    assert_eq!(cluster.view().entry(Table::Resource, &["a1", "r1"]).unwrap().version, version);
    let edited = vec![
        put_at(Table::Resource, &["a1", "r1"], b"y", version),
        put_at(Table::Model, &["a1", "M"], b"m", 0),
        put_at(Table::RestApi, &["a1"], b"api 2", version),
    ];
    cluster.done(edited);
    assert_eq!(
        cluster.refused(vec![put_at(Table::Resource, &["a1", "r1"], b"z", version)]).code(),
        Code::VersionChanged
    );
    assert_eq!(cluster.refused(vec![put_at(Table::Model, &["a1", "M"], b"z", 0)]).code(), Code::AlreadyExists);
}

#[test]
fn an_import_uploads_first_and_then_is_one_revision() {
    let entries = vec![
        (Table::RestApi, vec!["a1"], "api"),
        (Table::Resource, vec!["a1", "r1"], "/pets"),
        (Table::Method, vec!["a1", "r1", "GET"], "get"),
    ];
    let (upload, replace) = import("a1", &entries);
    let mut cluster = Cluster::founded();
    assert_eq!(cluster.refused(vec![replace.clone()]).code(), Code::NotFound, "nothing is uploaded yet");
    done(cluster.apply(upload.clone()));
    done(cluster.apply(upload));
    cluster.done(vec![replace, deploy("a1", "d1", Some("prod"))]);
    assert_eq!(cluster.view().number(), 1);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "get"]);
    assert_eq!(cluster.view().by_name(Table::RestApi, "api a1"), [["a1"]]);
    let listed = cluster.view().entries("a1", Table::Method, None, 10);
    assert_eq!(listed.items[0].0, ["a1", "r1", "GET"]);
    assert_eq!(listed.items[0].1.bytes, "get");
}

/// Methods `VERB0`, `VERB1`, ... of the resource `r1`, which share its part.
fn verbs(numbers: std::ops::Range<usize>) -> Vec<Kind> {
    numbers.map(|verb| put(Table::Method, &["a1", "r1", &format!("VERB{verb}")], b"m")).collect()
}

#[test]
fn a_part_does_not_grow_beyond_its_bound_however_small_the_edits_are() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.bounds.part_bytes_max = 2_000;
    let before = cluster.tables.clone();
    let refused = cluster.refused(verbs(0..100));
    assert_eq!((refused.code(), refused.row), (Code::Capacity, Some(row(Table::RestApi, &["a1"]))));
    for word in ["a1", "bytes", "2000", "split"] {
        assert!(refused.message.contains(word), "{word} in {}", refused.message);
    }
    assert_eq!(cluster.tables.rows().len(), before.rows().len(), "nothing of it stays");
    let mut taken = 0;
    while matches!(cluster.change(verbs(taken..taken + 1)).kind, Some(outcome::Kind::Done(_))) {
        taken += 1;
    }
    assert!(taken > 10 && taken < 100, "{taken}");
    let last = verbs(taken..taken + 1);
    let deployed = [last.clone(), vec![deploy("a1", "d2", Some("prod"))]].concat();
    assert_eq!(cluster.refused(deployed).code(), Code::Capacity, "nor on the way to a stage");
    assert!(cluster.view().entry(Table::Method, &["a1", "r1", &format!("VERB{}", taken - 1)]).is_some());
    // What makes room is taken, and then there is room.
    cluster.done(vec![delete(Table::Method, &["a1", "r1", "VERB0"])]);
    cluster.done(last);
}

#[test]
fn a_part_from_before_there_was_a_bound_is_kept_and_may_not_grow() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(verbs(0..100));
    cluster.bounds.part_bytes_max = 2_000;
    assert_eq!(cluster.refused(verbs(100..101)).code(), Code::Capacity);
    cluster.done(vec![put(Table::Method, &["a1", "r1", "VERB1"], b"changed")]);
    cluster.done(vec![delete(Table::Method, &["a1", "r1", "VERB0"])]);
    cluster.done(vec![deploy("a1", "d2", Some("prod"))]);
    cluster.done(vec![delete(Table::Resource, &["a1", "r1"])]);
}

#[test]
fn a_part_above_the_bound_is_not_uploaded() {
    let keys: Vec<String> = (0..100).map(|verb| format!("VERB{verb}")).collect();
    let mut entries = vec![(Table::RestApi, vec!["a1"], "api"), (Table::Resource, vec!["a1", "r1"], "/pets")];
    entries.extend(keys.iter().map(|verb| (Table::Method, vec!["a1", "r1", verb], "m")));
    let (upload, replace) = import("a1", &entries);
    let mut cluster = Cluster::founded();
    cluster.bounds.part_bytes_max = 2_000;
    assert_eq!(code(cluster.apply(upload.clone())), Code::Capacity);
    // It was uploaded before there was a bound.
    cluster.bounds = crate::apply::Bounds::PRODUCT;
    done(cluster.apply(upload));
    cluster.bounds.part_bytes_max = 2_000;
    assert_eq!(cluster.refused(vec![replace]).code(), Code::Capacity);
}

#[test]
fn parts_that_are_not_this_apis_are_refused() {
    let mut cluster = Cluster::founded();
    let (upload, replace) = import("a1", &[(Table::RestApi, vec!["a1"], "api")]);
    done(cluster.apply(upload));
    let Kind::ReplaceParts(replace) = replace else { panic!("an import replaces parts") };
    let other = ReplaceParts { api_id: "a2".to_owned(), ..replace.clone() };
    assert_eq!(cluster.refused(vec![Kind::ReplaceParts(other)]).code(), Code::Invalid);
    let mut shifted = replace.clone();
    shifted.parts.rotate_left(1);
    assert_eq!(cluster.refused(vec![Kind::ReplaceParts(shifted)]).code(), Code::Invalid);
    let mut empty = replace.clone();
    let number = part_of("a1");
    empty.parts[number] = empty.parts[(number + 1) % 64].clone();
    assert_eq!(cluster.refused(vec![Kind::ReplaceParts(empty)]).code(), Code::Invalid, "an api has its document");
    let mut short = replace.clone();
    short.parts.pop();
    assert_eq!(cluster.refused(vec![Kind::ReplaceParts(short)]).code(), Code::Invalid);
    let first = ReplaceParts { expected_version: Some(0), ..replace };
    cluster.done(vec![Kind::ReplaceParts(first.clone())]);
    assert_eq!(cluster.refused(vec![Kind::ReplaceParts(first)]).code(), Code::AlreadyExists);
}

#[test]
fn uploaded_parts_name_content_that_exists() {
    let mut cluster = Cluster::founded();
    let (upload, _) = import("a1", &[(Table::RestApi, vec!["a1"], "api")]);
    let command::Kind::UploadContent(upload) = upload else { panic!("an import uploads") };
    let parts_only = UploadContent { contents: Vec::new(), ..upload.clone() };
    assert_eq!(code(cluster.apply(command::Kind::UploadContent(parts_only))), Code::NotFound);
    let garbage = UploadContent { parts: vec![vec![0xff; 9].into()], ..upload };
    assert_eq!(code(cluster.apply(command::Kind::UploadContent(garbage))), Code::Invalid);
}

#[test]
fn what_nothing_refers_to_is_trimmed_after_ten_minutes_and_an_upload_makes_it_young() {
    let mut cluster = Cluster::founded();
    let (upload, replace) = import("a1", &[(Table::RestApi, vec!["a1"], "api")]);
    done(cluster.apply(upload.clone()));
    let uploaded = cluster.tables.rows().len();
    cluster.now_ms += limits::UNREFERENCED_MS_MAX;
    done(cluster.apply(upload));
    cluster.now_ms += 1;
    done(cluster.apply(trim()));
    assert_eq!(cluster.tables.rows().len(), uploaded, "it was uploaded again just now");
    assert!(!cluster.view().trim_is_due(cluster.now_ms));
    cluster.now_ms += limits::UNREFERENCED_MS_MAX;
    assert!(cluster.view().trim_is_due(cluster.now_ms));
    done(cluster.apply(trim()));
    assert_eq!(cluster.refused(vec![replace]).code(), Code::NotFound);
    cluster.now_ms += limits::UNREFERENCED_MS_MAX + 1;
    done(cluster.apply(trim()));
    assert_eq!(cluster.tables.rows().keys().filter(|key| key[0] == 8).count(), 0, "content goes after its parts");
}

#[test]
fn what_is_referred_to_is_never_trimmed() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(vec![put(Table::Method, &["a1", "r1", "GET"], b"method 2"), deploy("a1", "d2", Some("prod"))]);
    cluster.now_ms += 10 * limits::UNREFERENCED_MS_MAX;
    done(cluster.apply(trim()));
    cluster.done(vec![Kind::Put(stage("a1", "prod", "d1", None))]);
    assert_eq!(contents_seen(&cluster), ["/pets", "api", "method 1"]);
}

#[test]
fn an_api_goes_with_its_stages_unless_a_plan_refers_to_one() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(vec![plan("p1", &[("a1", "prod")])]);
    let refused = cluster.refused(vec![delete(Table::RestApi, &["a1"])]);
    assert_eq!((refused.code(), refused.other), (Code::Referenced, Some(row(Table::Plan, &["p1"]))));
    assert_eq!(cluster.refused(vec![delete(Table::Stage, &["a1", "prod"])]).code(), Code::Referenced);
    assert_eq!(cluster.refused(vec![delete(Table::Deployment, &["a1", "d1"])]).code(), Code::Referenced);
    cluster.done(vec![plan("p1", &[]), delete(Table::RestApi, &["a1"])]);
    assert_eq!(contents_seen(&cluster), Vec::<String>::new());
    assert!(cluster.view().get(Table::Stage, &["a1", "prod"]).is_none());
    assert!(cluster.view().deployment("a1", "d1").is_none());
}

#[test]
fn a_stage_needs_its_api_and_a_deployment_of_it() {
    let mut cluster = Cluster::founded().with_served_api();
    cluster.done(vec![put(Table::RestApi, &["a2"], b"api 2")]);
    assert_eq!(cluster.refused(vec![Kind::Put(stage("a1", "test", "d9", None))]).code(), Code::NotFound);
    assert_eq!(cluster.refused(vec![Kind::Put(stage("a9", "test", "d1", None))]).code(), Code::NotFound);
    let mut foreign = stage("a2", "test", "d1", None);
    foreign.refs = vec![row(Table::Deployment, &["a1", "d1"])];
    assert_eq!(cluster.refused(vec![Kind::Put(foreign)]).code(), Code::Invalid);
}

#[test]
fn a_row_that_comes_back_leaves_no_tombstone() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![plan("p1", &[])]);
    cluster.done(vec![delete(Table::Plan, &["p1"])]);
    assert_eq!(cluster.delta(1).unwrap().tombstones.len(), 1);
    cluster.done(vec![plan("p1", &[])]);
    let delta = cluster.delta(1).unwrap();
    assert_eq!((delta.tombstones.len(), delta.rows.len(), delta.to), (0, 1, 3));
}
