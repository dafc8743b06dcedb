//! Rules of keys, plans, nodes, tokens and the cluster, case by case.

use prost::Message;
use sluice_proto::raft::{
    Command, DeleteNode, DeleteRow, KeyView, Node, PutJoinToken, PutNode, PutRow, RaiseLevel, RenewCertificate, Table,
    UseJoinToken, command, rejected::Code, row_change::Kind,
};

use super::cluster::*;
use crate::MemoryTables;

#[test]
fn nothing_applies_before_the_cluster_is_founded_and_it_is_founded_once() {
    let mut cluster = Cluster { tables: MemoryTables::new(), ..Cluster::founded() };
    assert_eq!(code(cluster.apply(change(Vec::new()))), Code::Invalid);
    done(cluster.apply(found()));
    assert_eq!(code(cluster.apply(found())), Code::AlreadyExists);
    assert_eq!(cluster.view().revision(), sluice_model::Revision::new("g1", 0));
}

#[test]
fn commands_without_kind_or_stamp_are_refused() {
    let mut cluster = Cluster::founded();
    assert_eq!(code(cluster.apply_command(&Command { kind: None })), Code::Invalid);
    assert_eq!(code(cluster.apply_command(&Command { kind: Some(trim()) })), Code::Invalid);
    // A kind that this release does not know: number 3, which is reserved.
    assert_eq!(Command::decode(&[0x1a, 0x00][..]).unwrap(), Command { kind: None });
}

#[test]
fn the_stamp_never_goes_back() {
    let mut cluster = Cluster::founded();
    let founded = cluster.view().stamp();
    cluster.now_ms -= 5_000;
    cluster.apply(trim());
    assert_eq!(cluster.view().stamp(), founded);
}

#[test]
fn only_what_data_nodes_see_moves_the_number() {
    let mut cluster = Cluster::founded();
    assert_eq!(cluster.done(vec![put(Table::RestApi, &["a1"], b"api")]).number, 0);
    assert_eq!(cluster.done(vec![plan("p1", &[])]).number, 1);
    assert_eq!(cluster.done(vec![plan("p1", &[])]).number, 1, "the same bytes are no change");
    assert_eq!(cluster.done(vec![plan("p2", &[]), key("k1", 1, true)]).number, 2, "one command is one number");
    assert_eq!(cluster.done(vec![plan("p3", &[]), delete(Table::Plan, &["p3"])]).number, 2, "nothing is left of it");
}

#[test]
fn a_key_is_seen_with_its_plans_from_the_same_command_on() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![plan("p1", &[]), plan("p2", &[]), key("k1", 1, true)]);
    cluster.done(vec![put(Table::PlanKey, &["p2", "k1"], b"m"), put(Table::PlanKey, &["p1", "k1"], b"m")]);
    let view = |cluster: &Cluster| KeyView::decode(cluster.view().get(Table::KeyView, &["k1"]).unwrap().bytes).unwrap();
    assert_eq!(view(&cluster).plan_ids, ["p1", "p2"]);
    cluster.done(vec![key("k1", 1, false)]);
    assert!(!view(&cluster).enabled);
    assert_eq!(view(&cluster).plan_ids.len(), 2, "a changed key keeps its plans");
    cluster.done(vec![delete(Table::Plan, &["p1"])]);
    assert_eq!(view(&cluster).plan_ids, ["p2"]);
    cluster.done(vec![delete(Table::ApiKey, &["k1"])]);
    assert!(cluster.view().get(Table::KeyView, &["k1"]).is_none());
    assert!(cluster.view().get(Table::PlanKey, &["p2", "k1"]).is_none());
}

#[test]
fn a_member_needs_both_its_ends() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![plan("p1", &[])]);
    let refused = cluster.refused(vec![put(Table::PlanKey, &["p1", "k1"], b"m")]);
    assert_eq!((refused.code(), refused.row), (Code::NotFound, Some(row(Table::ApiKey, &["k1"]))));
}

#[test]
fn a_key_value_is_held_once() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![key("k1", 1, true)]);
    let refused = cluster.refused(vec![plan("p1", &[]), key("k2", 1, true)]);
    assert_eq!((refused.code(), refused.operation), (Code::NotUnique, 1));
    assert_eq!(refused.other, Some(row(Table::ApiKey, &["k1"])));
    assert!(cluster.view().get(Table::Plan, &["p1"]).is_none(), "the first operation is undone");
    cluster.done(vec![key("k1", 2, true), key("k2", 1, true)]);
    assert_eq!(cluster.view().by_unique(Table::ApiKey, &[1; 16]), Some(vec!["k2".to_owned()]));
    assert_eq!(cluster.view().by_name(Table::ApiKey, "key k2"), [["k2"]]);
}

#[test]
fn a_key_without_a_hash_of_16_bytes_is_invalid() {
    let mut cluster = Cluster::founded();
    assert_eq!(cluster.refused(vec![put(Table::ApiKey, &["k1"], b"doc")]).code(), Code::Invalid);
}

#[test]
fn versions_are_those_before_the_command() {
    let mut cluster = Cluster::founded();
    let first = cluster.done(vec![put_at(Table::Plan, &["p1"], b"1", 0)]).version;
    assert_eq!(cluster.refused(vec![put_at(Table::Plan, &["p1"], b"2", 0)]).code(), Code::AlreadyExists);
    assert_eq!(cluster.refused(vec![put_at(Table::Plan, &["p1"], b"2", first + 9)]).code(), Code::VersionChanged);
    assert_eq!(cluster.refused(vec![put_at(Table::Plan, &["p2"], b"2", first)]).code(), Code::NotFound);
    let twice = vec![put_at(Table::Plan, &["p1"], b"2", first), put_at(Table::Plan, &["p1"], b"3", first)];
    let second = cluster.done(twice).version;
    assert_eq!(cluster.view().get(Table::Plan, &["p1"]).unwrap().version, second);
    let stale = DeleteRow { row: Some(row(Table::Plan, &["p1"])), expected_version: Some(first) };
    assert_eq!(cluster.refused(vec![Kind::Delete(stale)]).code(), Code::VersionChanged);
}

#[test]
fn keys_tables_and_sizes_are_checked() {
    let mut cluster = Cluster::founded();
    for wrong in [
        put(Table::Plan, &["a/b"], b""),
        put(Table::Plan, &["a", "b"], b""),
        put(Table::Plan, &[""], b""),
        put(Table::Content, &["x"], b""),
        put(Table::KeyView, &["x"], b""),
        put(Table::Node, &["x"], b""),
        put(Table::Unspecified, &["x"], b""),
        Kind::Put(PutRow::default()),
        Kind::Delete(DeleteRow::default()),
        delete(Table::Part, &["x"]),
    ] {
        assert_eq!(cluster.refused(vec![wrong]).code(), Code::Invalid);
    }
    let large = vec![0; sluice_model::limits::DOCUMENT_BYTES_MAX + 1];
    assert_eq!(cluster.refused(vec![put(Table::Plan, &["p"], &large)]).code(), Code::Capacity);
}

#[test]
fn a_token_admits_one_node_of_its_role_in_its_time() {
    let mut cluster = Cluster::founded();
    let expires_ms = cluster.now_ms + 60_000;
    let put = |id: &str| command::Kind::PutJoinToken(PutJoinToken { stamp: None, token: Some(token(id, expires_ms)) });
    let using = |id: &str, secret: u8, role: &str| {
        command::Kind::UseJoinToken(UseJoinToken {
            stamp: None,
            id: id.to_owned(),
            secret_hash: vec![secret; 32].into(),
            node: Some(node("n1", role, 0)),
        })
    };
    done(cluster.apply(put("t1")));
    done(cluster.apply(put("t2")));
    assert_eq!(code(cluster.apply(put("t1"))), Code::AlreadyExists);
    assert_eq!(code(cluster.apply(using("t1", 8, "data"))), Code::Invalid);
    assert_eq!(code(cluster.apply(using("t1", 7, "control"))), Code::Invalid);
    done(cluster.apply(using("t1", 7, "data")));
    assert_eq!(cluster.view().nodes().len(), 1);
    assert_eq!(code(cluster.apply(using("t1", 7, "data"))), Code::NotFound, "a token is used once");
    assert_eq!(code(cluster.apply(using("t2", 7, "data"))), Code::AlreadyExists, "a node is nobody else's to become");
    cluster.now_ms = expires_ms;
    assert_eq!(code(cluster.apply(using("t2", 7, "data"))), Code::Expired);
    assert!(cluster.view().trim_is_due(expires_ms));
    done(cluster.apply(trim()));
    assert!(cluster.view().join_tokens().is_empty());
}

#[test]
fn two_control_nodes_never_share_a_raft_id() {
    let mut cluster = Cluster::founded();
    let put =
        |id: &str, raft_id| command::Kind::PutNode(PutNode { stamp: None, node: Some(node(id, "control", raft_id)) });
    done(cluster.apply(put("n1", 1)));
    assert_eq!(code(cluster.apply(put("n2", 1))), Code::NotUnique);
    done(cluster.apply(put("n2", 2)));
    done(cluster.apply(put("n2", 2)));
    assert_eq!(cluster.view().nodes().iter().map(|node| node.raft_id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_level_never_falls() {
    let mut cluster = Cluster::founded();
    let raise = |level| command::Kind::RaiseLevel(RaiseLevel { stamp: None, level });
    done(cluster.apply(raise(2)));
    assert_eq!(code(cluster.apply(raise(1))), Code::Level);
    assert_eq!(cluster.view().cluster().unwrap().level, 2);
}

#[test]
fn lists_come_in_pages_in_the_order_of_keys() {
    let mut cluster = Cluster::founded();
    cluster.done(vec![plan("p2", &[]), plan("p1", &[]), plan("p3", &[])]);
    let first = cluster.view().list::<&str>(Table::Plan, &[], None, 2);
    assert_eq!(first.items.iter().map(|(key, _)| key[0].as_str()).collect::<Vec<_>>(), ["p1", "p2"]);
    assert!(first.more);
    let last = cluster.view().list::<&str>(Table::Plan, &[], Some(&first.items[1].0), 2);
    assert_eq!(last.items.iter().map(|(key, _)| key[0].as_str()).collect::<Vec<_>>(), ["p3"]);
    assert!(!last.more);
}

#[test]
fn a_removed_node_is_remembered_until_its_last_certificate_has_expired() {
    let mut cluster = Cluster::founded();
    let first_ms = cluster.now_ms + 10_000;
    let put = |expires_ms| {
        let node = Node { certificate_expires_ms: expires_ms, ..node("n1", "data", 0) };
        command::Kind::PutNode(PutNode { stamp: None, node: Some(node) })
    };
    let renew = |node_id: &str, expires_ms| {
        let node_id = node_id.to_owned();
        command::Kind::RenewCertificate(RenewCertificate { stamp: None, node_id, serial: "5e".into(), expires_ms })
    };
    let delete = |revoked_until_ms| {
        let node_id = "n1".to_owned();
        command::Kind::DeleteNode(DeleteNode { stamp: None, node_id, revoked_until_ms })
    };
    done(cluster.apply(put(first_ms)));
    assert_eq!(code(cluster.apply(renew("n2", first_ms))), Code::NotFound);
    done(cluster.apply(renew("n1", first_ms + 5_000)));
    // It says again what it has read before.
    done(cluster.apply(put(first_ms)));
    let kept = cluster.view().nodes().remove(0);
    assert_eq!((kept.certificate_serial.as_str(), kept.certificate_expires_ms), ("5e", first_ms + 5_000));
    done(cluster.apply(delete(0)));
    let revoked = cluster.view().revoked_nodes();
    assert_eq!(revoked.len(), 1);
    assert_eq!((revoked[0].id.as_str(), revoked[0].until_ms), ("n1", first_ms + 5_000));
    assert!(!cluster.view().trim_is_due(first_ms));
    cluster.now_ms = first_ms + 5_000;
    assert!(cluster.view().trim_is_due(cluster.now_ms));
    done(cluster.apply(trim()));
    assert!(cluster.view().revoked_nodes().is_empty());

    // Without certificates for as long as the command says; a command that says nothing leaves nothing.
    done(cluster.apply(put(0)));
    done(cluster.apply(delete(cluster.now_ms + 1)));
    assert_eq!(cluster.view().revoked_nodes().len(), 1);
    done(cluster.apply(put(0)));
    done(cluster.apply(delete(0)));
    assert_eq!(cluster.view().revoked_nodes().len(), 1);
}
