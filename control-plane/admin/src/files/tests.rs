//! What is written back is what is there, whatever else has happened to it.

use serde_json::json;
use sluice_proto::{
    admin::{ApplyReply, ApplyRequest, ErrorDetails, ExportRequest, Object, operation},
    model::{Kind, RestApi, Stage},
};
use sluice_rpc::admin::config_server::Config as _;
use tonic::Request;

use crate::{
    noun::Noun as _,
    read,
    testing::{MemoryReplica, deploy, founded, id_of, patch, put},
};

type Admin = crate::admin::Admin<MemoryReplica>;

async fn apply(admin: &Admin, objects: Vec<Object>) -> ApplyReply {
    let request = ApplyRequest { objects, ..ApplyRequest::default() };
    Admin::apply(admin, Request::new(request)).await.unwrap().into_inner()
}

async fn exported(admin: &Admin) -> Vec<Object> {
    let request = ExportRequest { kind: "RestApi".into(), ..ExportRequest::default() };
    Admin::export(admin, Request::new(request)).await.unwrap().into_inner().objects
}

/// An API whose one route answers by itself, deployed.
fn answering(text: &str) -> Object {
    let spec = json!({
        "resources": {"/": {"methods": {"GET": {
            "methodIntegration": {"type": "MOCK", "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
                "integrationResponses": {"200": {"statusCode": "200", "responseTemplates": {"application/json": text}}}},
            "methodResponses": {"200": {"statusCode": "200"}}
        }}}},
        "stages": {"prod": {"deploy": true}}
    });
    Object { kind: "RestApi".into(), name: "pets".into(), spec_json: spec.to_string(), ..Object::default() }
}

async fn round_trip(admin: &Admin) {
    let index = admin.replica.log_index();
    let reply = apply(admin, exported(admin).await).await;
    let changed: Vec<_> = reply.objects.iter().filter(|one| one.effect != "unchanged").collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert!(reply.objects.iter().all(|one| one.differences.is_empty()), "{:?}", reply.objects);
    assert_eq!(admin.replica.log_index(), index);
}

#[tokio::test]
async fn a_stage_that_was_rolled_back_is_written_so() {
    let admin = founded();
    let api = apply(&admin, vec![answering("one")]).await.objects[0].id.clone();
    let view = crate::replica::Replica::view(&admin.replica);
    let first = read::find::<Stage, _>(&view, &[api.clone(), "prod".into()]).unwrap().document.deployment_id;
    apply(&admin, vec![answering("two")]).await;
    round_trip(&admin).await;
    let mut back = deploy(&api, "prod");
    if let Some(operation::Kind::Deploy(deploy)) = &mut back.kind {
        deploy.deployment_id = Some(first.clone());
    }
    admin.done(back).await;
    round_trip(&admin).await;
    let view = crate::replica::Replica::view(&admin.replica);
    let stage = read::find::<Stage, _>(&view, &[api.clone(), "prod".into()]).unwrap().document;
    assert_eq!(stage.deployment_id, first);
    admin.done(patch(Kind::RestApi, &[&api], &[("replace", "description", "edited")])).await;
    round_trip(&admin).await;
}

#[tokio::test]
async fn an_authorizer_is_written_with_the_names_that_aws_has() {
    let admin = founded();
    let pool = json!({"type": "COGNITO_USER_POOLS", "providerARNs": ["arn:aws:cognito-idp:eu-west-1:1:userpool/p"]});
    let spec = json!({"authorizers": {"pool": pool}});
    let file = Object { kind: "RestApi".into(), name: "pets".into(), spec_json: spec.to_string(), ..Object::default() };
    apply(&admin, vec![file]).await;
    let written: serde_json::Value = serde_json::from_str(&exported(&admin).await[0].spec_json).unwrap();
    assert_eq!(written["authorizers"]["pool"], pool);
    round_trip(&admin).await;
}

#[tokio::test]
async fn what_an_import_wanted_its_author_to_know_stays_with_the_api() {
    let admin = founded();
    let api = RestApi { name: "pets".into(), warnings: vec!["paths[\"/a\"]: said".into()], ..RestApi::default() };
    let id = id_of(&admin.done(put(api)).await);
    round_trip(&admin).await;
    let mut objects = exported(&admin).await;
    objects[0].spec_json = objects[0].spec_json.replacen('{', "{\"description\":\"new\",", 1);
    assert_eq!(apply(&admin, objects).await.objects[0].differences, ["description: (none) -> \"new\""]);
    let view = crate::replica::Replica::view(&admin.replica);
    let api = read::find::<RestApi, _>(&view, &[id]).unwrap().document;
    assert_eq!(api.warnings.len(), 1, "{} keeps them", RestApi::KIND.as_str_name());
}

fn object(kind: &str, name: &str, spec: serde_json::Value) -> Object {
    Object { kind: kind.into(), name: name.into(), spec_json: spec.to_string(), ..Object::default() }
}

#[tokio::test]
async fn keys_of_a_plan_differ_by_the_names_that_the_file_has() {
    let admin = founded();
    let objects = |names: &[&str]| {
        let keys = ["alice", "bob"].map(|name| object("ApiKey", name, json!({})));
        [vec![object("UsagePlan", "gold", json!({"keys": names}))], keys.into()].concat()
    };
    assert_eq!(apply(&admin, objects(&["alice"])).await.objects[0].differences, ["keys: (none) -> \"alice\""]);
    assert!(apply(&admin, objects(&["alice"])).await.objects.iter().all(|one| one.differences.is_empty()));
    let changed = apply(&admin, objects(&["bob"])).await;
    assert_eq!(changed.objects[0].differences, ["keys: \"alice\" -> (none)", "keys: (none) -> \"bob\""]);
}

#[tokio::test]
async fn a_key_that_was_disabled_and_enabled_is_what_its_file_says() {
    let admin = founded();
    let quiet = || vec![object("ApiKey", "alice", json!({}))];
    let id = apply(&admin, quiet()).await.objects[0].id.clone();
    let set = |value| patch(Kind::ApiKey, &[&id], &[("replace", "enabled", value)]);
    admin.done(set("false")).await;
    assert_eq!(apply(&admin, quiet()).await.objects[0].differences, ["enabled: false -> (none)"]);
    admin.done(set("false")).await;
    admin.done(set("true")).await;
    for spec in [json!({}), json!({"enabled": true})] {
        let applied = apply(&admin, vec![object("ApiKey", "alice", spec)]).await;
        assert_eq!((applied.objects[0].effect.as_str(), applied.objects[0].differences.len()), ("unchanged", 0));
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_file_is_said_at_once() {
    let admin = founded();
    let method = |integration| json!({"methods": {"GET": {"methodIntegration": integration, "color": 1}}});
    let proxy = |uri, timeout: i32| {
        let millis = json!(timeout);
        json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": uri, "timeoutInMillis": millis})
    };
    let resources = json!({"/a": method(proxy("http://h:99999/", 1)), "/b": method(json!({"type": "TELEPORT"}))});
    let api = json!({"colour": 1, "descriptoin": "x", "resources": resources, "minimumCompressionSize": -1,
        "stages": {"prod": {"deploy": true, "tabel": 1, "variables": {"a-b": "x"}}}});
    let plan = json!({"colour": 1, "throttle": {"rateLimit": -1}});
    let objects = vec![object("RestApi", "pets", api), object("UsagePlan", "gold", plan)];
    let request = ApplyRequest { request_id: Vec::new(), objects, dry_run: true, ..ApplyRequest::default() };
    let status = Admin::apply(&admin, Request::new(request)).await.unwrap_err();
    let details: ErrorDetails = prost::Message::decode(status.details()).unwrap();
    let mut found: Vec<_> = details.diagnostics.iter().map(|one| format!("{} {}", one.at, one.hint)).collect();
    found.sort();
    let expected = [
        "RestApi pets.spec.colour ",
        "RestApi pets.spec.descriptoin did you mean `description`",
        "RestApi pets.spec.minimumCompressionSize ",
        "RestApi pets.spec.resources[\"/a\"].methods[\"GET\"].color ",
        "RestApi pets.spec.resources[\"/a\"].methods[\"GET\"].methodIntegration.timeoutInMillis ",
        "RestApi pets.spec.resources[\"/a\"].methods[\"GET\"].methodIntegration.uri ",
        "RestApi pets.spec.resources[\"/b\"].methods[\"GET\"].color ",
        "RestApi pets.spec.resources[\"/b\"].methods[\"GET\"].methodIntegration.httpMethod ",
        "RestApi pets.spec.resources[\"/b\"].methods[\"GET\"].methodIntegration.type ",
        "RestApi pets.spec.resources[\"/b\"].methods[\"GET\"].methodIntegration.uri ",
        "RestApi pets.spec.stages[\"prod\"].tabel ",
        "RestApi pets.spec.stages[\"prod\"].variables[\"a-b\"] ",
        "UsagePlan gold.spec.colour ",
        "UsagePlan gold.spec.throttle.rateLimit ",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_limit_on_a_method_that_the_stage_does_not_serve_is_said_once() {
    let admin = founded();
    let limits = |places: &[&str]| {
        let throttle: serde_json::Map<_, _> =
            places.iter().map(|place| ((*place).to_owned(), json!({"rateLimit": 5}))).collect();
        object("UsagePlan", "gold", json!({"apiStages": [{"api": "pets", "stage": "prod", "throttle": throttle}]}))
    };
    let warned = |reply: ApplyReply| reply.diagnostics.into_iter().map(|one| one.at).collect::<Vec<_>>();
    let served = apply(&admin, vec![answering("one"), limits(&["//GET", "//*", "*/*"])]).await;
    assert!(warned(served).is_empty());
    let places = ["//GET", "/nosuch/GET", "//POST"];
    let at = |place: &str| format!("UsagePlan gold.apiStages[0].throttle[\"{place}\"]");
    let reply = apply(&admin, vec![limits(&places)]).await;
    assert_eq!(warned(reply), [at("//POST"), at("/nosuch/GET")]);
    assert!(warned(apply(&admin, vec![limits(&places)]).await).is_empty(), "the author knows it");
}

fn key(name: &str) -> Object {
    Object { kind: "ApiKey".into(), name: name.into(), spec_json: "{}".into(), ..Object::default() }
}

fn plan_of(api: &str, key: &str) -> Object {
    let spec = json!({"apiStages": [{"api": api, "stage": "prod"}], "keys": [key]});
    Object { kind: "UsagePlan".into(), name: "gold".into(), spec_json: spec.to_string(), ..Object::default() }
}

async fn apply_as(
    admin: &Admin,
    owner: &str,
    objects: Vec<Object>,
    more: ApplyRequest,
) -> Result<ApplyReply, tonic::Status> {
    let request = ApplyRequest { objects, owner: Some(owner.to_owned()), ..more };
    Ok(Admin::apply(admin, Request::new(request)).await?.into_inner())
}

fn pruning() -> ApplyRequest {
    ApplyRequest { prune: true, ..ApplyRequest::default() }
}

fn effects(reply: &ApplyReply) -> Vec<String> {
    reply.objects.iter().map(|one| format!("{} {} {}", one.kind, one.name, one.effect)).collect()
}

#[tokio::test]
async fn a_prune_deletes_what_this_owner_made_and_holds_no_more_and_nothing_else() {
    let admin = founded();
    apply(&admin, vec![key("by hand")]).await;
    apply_as(&admin, "other", vec![key("of another")], ApplyRequest::default()).await.unwrap();
    let all = || vec![answering("one"), key("alice"), key("by hand"), plan_of("pets", "alice")];
    apply_as(&admin, "shop", all(), ApplyRequest::default()).await.unwrap();

    // Without --prune, and as a dry run, nothing goes.
    let kept = apply_as(&admin, "shop", vec![key("alice")], ApplyRequest::default()).await.unwrap();
    assert_eq!(effects(&kept), ["ApiKey alice unchanged"]);
    let index = admin.replica.log_index();
    let dry = apply_as(&admin, "shop", vec![key("alice")], ApplyRequest { dry_run: true, ..pruning() }).await.unwrap();
    let expected = ["ApiKey alice unchanged", "UsagePlan gold deleted", "RestApi pets deleted"];
    assert_eq!((effects(&dry), admin.replica.log_index()), (expected.map(str::to_owned).to_vec(), index));

    let pruned = apply_as(&admin, "shop", vec![key("alice")], pruning()).await.unwrap();
    assert_eq!((effects(&pruned), admin.replica.log_index()), (expected.map(str::to_owned).to_vec(), index + 1));
    assert!(exported(&admin).await.is_empty());
    let view = crate::replica::Replica::view(&admin.replica);
    for name in ["alice", "by hand", "of another"] {
        assert_eq!(read::named_so(&view, sluice_proto::raft::Table::ApiKey, name).len(), 1, "{name}");
    }
    let again = apply_as(&admin, "shop", vec![key("alice")], pruning()).await.unwrap();
    assert_eq!((effects(&again), again.revision), (vec!["ApiKey alice unchanged".to_owned()], None));
}

#[tokio::test]
async fn an_object_of_one_owner_is_refused_to_another_until_it_is_deleted() {
    let admin = founded();
    let made = apply_as(&admin, "shop", vec![key("alice")], ApplyRequest::default()).await.unwrap();
    let refused = apply_as(&admin, "other", vec![key("alice")], pruning()).await.unwrap_err();
    assert!(refused.message().contains("owner shop"), "{refused}");
    assert_eq!(effects(&apply(&admin, vec![key("alice")]).await), ["ApiKey alice unchanged"]);
    admin.done(crate::testing::delete(Kind::ApiKey, &[&made.objects[0].id])).await;
    let view = crate::replica::Replica::view(&admin.replica);
    assert!(view.by_name(sluice_proto::raft::Table::Owned, "shop").is_empty(), "it goes with the object");
    apply_as(&admin, "other", vec![key("alice")], ApplyRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_prune_that_would_leave_a_reference_without_its_row_changes_nothing() {
    let admin = founded();
    let mine = || vec![answering("one"), key("alice")];
    apply_as(&admin, "shop", mine(), ApplyRequest::default()).await.unwrap();
    apply_as(&admin, "plans", vec![plan_of("pets", "alice")], ApplyRequest::default()).await.unwrap();
    let index = admin.replica.log_index();
    let refused = apply_as(&admin, "shop", vec![key("alice")], pruning()).await.unwrap_err();
    assert!(refused.message().contains("RestApi pets, which is to be deleted"), "{refused}");
    assert!(refused.message().contains("usage plan"), "{refused}");
    assert_eq!(admin.replica.log_index(), index);
    let nobody = ApplyRequest { objects: mine(), ..pruning() };
    assert!(Admin::apply(&admin, Request::new(nobody)).await.unwrap_err().message().contains("owner"));
}
