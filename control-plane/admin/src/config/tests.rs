//! Requests: replays, races, lists and files.

use serde_json::json;
use sluice_proto::{
    admin::{
        ApplyReply, ApplyRequest, ChangeReply, ChangeRequest, ExportRequest, GetRequest, ListRequest, Object,
        Operation, operation,
    },
    model::{ApiKey, Kind, RestApi},
    raft::{Command, command},
};
use sluice_rpc::admin::config_server::Config as _;
use tonic::{Code, Request, Status};

use crate::{
    call::new_request_id,
    testing::{MemoryReplica, deploy, founded, id_of, key_of, named, patch, put, rest_api_of},
};

type Admin = crate::admin::Admin<MemoryReplica>;

async fn change(admin: &Admin, request_id: &[u8], operations: Vec<Operation>) -> Result<ChangeReply, Status> {
    let request = ChangeRequest { request_id: request_id.to_vec(), operations };
    Ok(Admin::change(admin, Request::new(request)).await?.into_inner())
}

fn new_api(name: &str) -> Operation {
    put(RestApi { name: name.into(), ..RestApi::default() })
}

#[tokio::test]
async fn a_replay_is_answered_from_the_rows_and_changes_nothing() {
    let admin = founded();
    let id = new_request_id();
    let operations = || vec![new_api("pets"), put(ApiKey { name: "alice".into(), ..ApiKey::default() })];
    let first = change(&admin, &id, operations()).await.unwrap();
    let index = admin.replica.log_index();
    let second = change(&admin, &id, operations()).await.unwrap();
    assert_eq!(admin.replica.log_index(), index);
    assert_eq!(rest_api_of(&second.results[0]), rest_api_of(&first.results[0]));
    assert_eq!(key_of(&second.results[1]), key_of(&first.results[1]));
    assert!(key_of(&second.results[1]).value.is_some());
    assert_eq!(second.revision, first.revision);
}

#[tokio::test]
async fn a_request_id_is_not_used_for_another_request() {
    let admin = founded();
    let id = new_request_id();
    change(&admin, &id, vec![new_api("pets")]).await.unwrap();
    let status = change(&admin, &id, vec![new_api("cats")]).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_lost_race_is_planned_again_and_its_replay_finds_the_outcome() {
    let admin = founded();
    let api = id_of(&admin.done(new_api("pets")).await);
    let described = |text: &str| patch(Kind::RestApi, &[&api], &[("replace", "description", text)]);
    let other = admin.clone();
    let faster = patch(Kind::RestApi, &[&api], &[("replace", "version", "2")]);
    admin.replica.before_next(move || {
        let plan = |view: &sluice_state::View<_>| {
            let tools = &other.tools;
            let mut ids = crate::ids::Ids::of_request("other", b"1");
            let stamp = sluice_proto::raft::Stamp { actor: "other".into(), ..Default::default() };
            let planned = crate::plan::plan(&view.0, tools, &mut ids, &stamp, &[faster]).unwrap();
            crate::propose::change(stamp, planned.into_iter().flat_map(|one| one.rows).collect())
        };
        let view = crate::replica::Replica::view(&other.replica);
        let command = plan(&view);
        other.replica.apply(&command);
    });
    let id = new_request_id();
    let first = change(&admin, &id, vec![described("hello")]).await.unwrap();
    let api_now = rest_api_of(&first.results[0]);
    assert_eq!((api_now.description.as_deref(), api_now.version.as_deref()), (Some("hello"), Some("2")));
    let index = admin.replica.log_index();
    let replay = change(&admin, &id, vec![described("hello")]).await.unwrap();
    assert_eq!(rest_api_of(&replay.results[0]), api_now);
    assert_eq!(admin.replica.log_index(), index);
}

#[tokio::test]
async fn writers_that_meet_on_one_api_all_get_through() {
    let admin = founded();
    let api = rest_api_of(&admin.done(new_api("pets")).await);
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (admin, api) = (admin.clone(), api.clone());
        writers.spawn(async move {
            let resource = sluice_proto::model::Resource {
                api_id: api.id,
                parent_id: Some(api.root_resource_id),
                path_part: Some(format!("p{number}")),
                ..Default::default()
            };
            admin.done(put(resource)).await
        });
    }
    assert_eq!(writers.join_all().await.len(), 16);
}

#[tokio::test]
async fn a_caller_that_expects_a_version_is_told_when_it_has_changed() {
    let admin = founded();
    let stored = admin.done(new_api("pets")).await;
    let mut expecting = patch(Kind::RestApi, &[&id_of(&stored)], &[("replace", "description", "x")]);
    if let Some(operation::Kind::Patch(patch)) = &mut expecting.kind {
        patch.expected_version = Some(stored.version);
    }
    admin.done(expecting.clone()).await;
    assert_eq!(admin.refused(expecting).await.0, "version-changed");
}

#[tokio::test]
async fn lists_go_on_where_they_stopped_and_find_names() {
    let admin = founded();
    for name in ["a", "b", "b", "c", "d"] {
        admin.done(put(ApiKey { name: name.into(), ..ApiKey::default() })).await;
    }
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let request =
            ListRequest { kind: Kind::ApiKey.into(), page_size: Some(2), page_token: token, ..ListRequest::default() };
        let page = Admin::list(&admin, Request::new(request)).await.unwrap().into_inner();
        names.extend(page.items.iter().map(|item| key_of(item).name));
        if page.next_page_token.is_empty() {
            break;
        }
        token = Some(page.next_page_token);
    }
    names.sort();
    assert_eq!(names, ["a", "b", "b", "c", "d"]);
    let named = ListRequest { kind: Kind::ApiKey.into(), name: Some("b".into()), ..ListRequest::default() };
    assert_eq!(Admin::list(&admin, Request::new(named)).await.unwrap().into_inner().items.len(), 2);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_by_its_words() {
    let admin = founded();
    let request = GetRequest { r#ref: Some(named(Kind::Stage, &["abc", "prod"])), ..GetRequest::default() };
    let status = Admin::get(&admin, Request::new(request)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "stage prod of abc does not exist"));
    let request = GetRequest { r#ref: Some(named(Kind::Stage, &["abc"])), ..GetRequest::default() };
    let status = Admin::get(&admin, Request::new(request)).await.unwrap_err();
    assert_eq!(status.message(), "ref.ids: expected 2 ids to name one stage, found [abc]");
}

fn object(kind: &str, name: &str, spec: &serde_json::Value) -> Object {
    Object {
        kind: kind.into(),
        name: name.into(),
        spec_json: spec.to_string(),
        source: format!("{name}.yaml[0]"),
        ..Object::default()
    }
}

fn pets() -> Object {
    object(
        "RestApi",
        "pets",
        &json!({
            "description": "Pets",
            "resources": {
                "/pets/{id}": {"methods": {"GET": {
                    "apiKeyRequired": true,
                    "requestValidator": "none",
                    "methodIntegration": {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://127.0.0.1:9000/pets/{id}",
                        "requestParameters": {"integration.request.path.id": "method.request.path.id"}},
                    "requestParameters": {"method.request.path.id": true}
                }}}
            },
            "requestValidators": {"none": {}},
            "models": {"Pet": {"schema": "{\"type\":\"object\"}", "contentType": "application/json"}},
            "gatewayResponses": {"THROTTLED": {"statusCode": "420"}},
            "stages": {"prod": {"deploy": true, "variables": {"backend": "b1"},
                "methodSettings": {"*/*": {"throttlingRateLimit": 100.0, "throttlingBurstLimit": 50}}}}
        }),
    )
}

fn everything() -> Vec<Object> {
    vec![
        object(
            "UsagePlan",
            "gold",
            &json!({
                "throttle": {"rateLimit": 10.0, "burstLimit": 20},
                "apiStages": [{"api": "pets", "stage": "prod", "throttle": {"/pets/{id}/GET": {"rateLimit": 5.0}}}],
                "keys": ["alice"]
            }),
        ),
        pets(),
        object("ApiKey", "alice", &json!({"value": "abcdefghij0123456789", "description": "hers"})),
    ]
}

async fn apply(admin: &Admin, objects: Vec<Object>, dry_run: bool) -> Result<ApplyReply, Status> {
    let request = ApplyRequest { objects, dry_run, ..ApplyRequest::default() };
    Ok(Admin::apply(admin, Request::new(request)).await?.into_inner())
}

fn effects(reply: &ApplyReply) -> Vec<(&str, &str)> {
    reply.objects.iter().map(|one| (one.name.as_str(), one.effect.as_str())).collect()
}

#[tokio::test]
async fn files_applied_twice_change_nothing_the_second_time() {
    let admin = founded();
    let first = apply(&admin, everything(), false).await.unwrap();
    assert_eq!(effects(&first), [("gold", "created"), ("pets", "created"), ("alice", "created")]);
    assert!(first.revision.is_some());
    let index = admin.replica.log_index();
    let second = apply(&admin, everything(), false).await.unwrap();
    assert_eq!(effects(&second), [("gold", "unchanged"), ("pets", "unchanged"), ("alice", "unchanged")]);
    let listed: Vec<_> = second.objects.iter().flat_map(|one| &one.differences).collect();
    assert!(listed.is_empty(), "{listed:?}");
    assert_eq!((second.revision, admin.replica.log_index()), (None, index));
}

#[tokio::test]
async fn that_nothing_differs_is_not_said_of_a_state_older_than_the_call() {
    let admin = founded();
    apply(&admin, everything(), false).await.unwrap();
    let before = admin.replica.tables();
    let mut objects = everything();
    objects[0].spec_json = objects[0].spec_json.replace("\"burstLimit\":20", "\"burstLimit\":30");
    apply(&admin, objects, false).await.unwrap();
    admin.replica.lag_at(before);
    let back = apply(&admin, everything(), false).await.unwrap();
    assert_eq!(effects(&back)[0], ("gold", "changed"));
    assert!(back.revision.is_some());
}

#[tokio::test]
async fn an_apply_is_one_commit_and_says_what_differs() {
    let admin = founded();
    apply(&admin, everything(), false).await.unwrap();
    let number = admin.replica.view_number();
    let mut objects = everything();
    objects[1].spec_json = objects[1].spec_json.replace("127.0.0.1:9000", "127.0.0.1:9001");
    objects[0].spec_json = objects[0].spec_json.replace("\"burstLimit\":20", "\"burstLimit\":30");
    let dry = apply(&admin, objects.clone(), true).await.unwrap();
    assert_eq!(admin.replica.view_number(), number);
    let reply = apply(&admin, objects, false).await.unwrap();
    assert_eq!(dry.objects, reply.objects);
    assert_eq!(effects(&reply), [("gold", "changed"), ("pets", "changed"), ("alice", "unchanged")]);
    assert_eq!(reply.objects[0].differences, ["throttle.burstLimit: 20 -> 30"]);
    assert_eq!(
        reply.objects[1].differences,
        [
            "resources[\"/pets/{id}\"].methods.GET.methodIntegration.uri: \
             \"http://127.0.0.1:9000/pets/{id}\" -> \"http://127.0.0.1:9001/pets/{id}\"",
            "stages.prod: deployed"
        ]
    );
    assert_eq!(admin.replica.view_number(), number + 1);
}

#[tokio::test]
async fn what_is_exported_changes_nothing_when_applied() {
    let admin = founded();
    apply(&admin, everything(), false).await.unwrap();
    let api = id_of(&admin.done(new_api("bare")).await);
    admin.done(put(ApiKey { name: "bob".into(), enabled: Some(false), ..ApiKey::default() })).await;
    let index = admin.replica.log_index();
    let mut objects = Vec::new();
    for kind in ["RestApi", "ApiKey", "UsagePlan"] {
        let request = ExportRequest { kind: kind.into(), ..ExportRequest::default() };
        objects.extend(Admin::export(&admin, Request::new(request)).await.unwrap().into_inner().objects);
    }
    assert_eq!(objects.len(), 5);
    assert!(!objects.iter().any(|object| object.spec_json.contains("abcdefghij0123456789")));
    let reply = apply(&admin, objects, false).await.unwrap();
    assert!(reply.objects.iter().all(|one| one.effect == "unchanged"), "{:?}", reply.objects);
    assert_eq!(admin.replica.log_index(), index);
    let one = ExportRequest { kind: "RestApi".into(), name: Some(api), ..ExportRequest::default() };
    assert_eq!(Admin::export(&admin, Request::new(one)).await.unwrap().into_inner().objects[0].name, "bare");
}

#[tokio::test]
async fn an_edited_api_that_is_deployed_by_hand_is_deployed_again_by_its_file() {
    let admin = founded();
    let applied = apply(&admin, vec![pets()], false).await.unwrap();
    let api = applied.objects[0].id.clone();
    admin.done(patch(Kind::RestApi, &[&api], &[("replace", "description", "Cats")])).await;
    admin.done(deploy(&api, "prod")).await;
    let reply = apply(&admin, vec![pets()], false).await.unwrap();
    assert_eq!(reply.objects[0].differences, ["description: \"Cats\" -> \"Pets\"", "stages.prod: deployed"]);
}

#[tokio::test]
async fn every_fault_of_every_file_is_reported_with_its_file_and_nothing_is_made() {
    let admin = founded();
    let objects = vec![
        object(
            "RestApi",
            "pets",
            &json!({"descripton": "x", "resources": {"pets": {}, "/a": {"methods": {"GET": {"requestValidator": "nope"}}}}}),
        ),
        object(
            "UsagePlan",
            "gold",
            &json!({"apiStages": [{"api": "nothere", "stage": "prod"}], "throttle": {"rateLimit": "x"}}),
        ),
        object("ApiKey", "alice", &json!({"value": "short"})),
    ];
    let status = apply(&admin, objects, false).await.unwrap_err();
    let details: sluice_proto::admin::ErrorDetails = prost::Message::decode(status.details()).unwrap();
    let found: Vec<_> = details.diagnostics.iter().map(|one| (one.at.as_str(), one.hint.as_str())).collect();
    assert!(found.contains(&("pets.yaml[0].spec.descripton", "did you mean `description`")), "{found:?}");
    assert!(found.iter().any(|(at, _)| *at == "pets.yaml[0].spec.resources[\"pets\"]"), "{found:?}");
    assert!(found.iter().any(|(at, _)| *at == "pets.yaml[0].spec.resources[\"/a\"].methods.GET.requestValidator"));
    assert!(found.iter().any(|(at, _)| *at == "gold.yaml[0].spec.apiStages[0].api"), "{found:?}");
    assert!(found.iter().any(|(at, _)| *at == "gold.yaml[0].spec.throttle.rateLimit"), "{found:?}");
    assert!(found.iter().any(|(at, _)| *at == "alice.yaml[0].spec.value"), "{found:?}");
    assert_eq!(admin.replica.log_index(), 1);
}

#[tokio::test]
async fn an_openapi_file_stands_in_the_place_of_resources() {
    let admin = founded();
    let mut file = object(
        "RestApi",
        "pets",
        &json!({"openapi": "./pets.yaml", "backend": "http://127.0.0.1:9000", "stages": {"prod": {"deploy": true}}}),
    );
    file.openapi = Some("openapi: 3.0.0\ninfo: {title: x, version: '1'}\npaths: {/pets: {get: {responses: {'200': {description: ok}}}}}\n".into());
    let first = apply(&admin, vec![file.clone()], false).await.unwrap();
    assert_eq!(effects(&first), [("pets", "created")]);
    assert_eq!(effects(&apply(&admin, vec![file], false).await.unwrap()), [("pets", "unchanged")]);
}

#[tokio::test]
async fn a_stamp_never_goes_back() {
    let admin = founded();
    let late = u64::MAX / 2;
    let stamp = sluice_proto::raft::Stamp { actor: "x".into(), time_ms: late, ..Default::default() };
    let trim = sluice_proto::raft::Trim { stamp: Some(stamp) };
    let command = Command { kind: Some(command::Kind::Trim(trim)) };
    assert_eq!(crate::propose::stamped(command, late + 5), {
        let stamp = sluice_proto::raft::Stamp { actor: "x".into(), time_ms: late + 5, ..Default::default() };
        Command { kind: Some(command::Kind::Trim(sluice_proto::raft::Trim { stamp: Some(stamp) })) }
    });
    drop(admin);
}
