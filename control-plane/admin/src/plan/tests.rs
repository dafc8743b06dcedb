//! Operations against the real apply, on tables in memory.

use sluice_model::level;
use sluice_proto::{
    admin::{GetRequest, ListRequest, Stored},
    model::{
        ApiKey, ApiStage, Authorizer, Integration, Kind, Method, QuotaSettings, RequestValidator, Resource, RestApi,
        Stage, UsagePlan, UsagePlanKey,
    },
    raft::{Command, RaiseLevel, Stamp, command},
};
use sluice_rpc::admin::config_server::Config as _;
use tonic::Request;

use crate::testing::{
    MemoryReplica, as_admin, delete, deploy, founded, id_of, key_of, named, patch, put, resource_of, rest_api_of,
    stage_of,
};

type Admin = crate::admin::Admin<MemoryReplica>;

async fn api(admin: &Admin) -> RestApi {
    rest_api_of(&admin.done(put(RestApi { name: "pets".into(), ..RestApi::default() })).await)
}

async fn resource(admin: &Admin, parent: &str, api: &RestApi, part: &str) -> Resource {
    resource_of(&admin.done(put(new_resource(parent, api, part))).await)
}

fn new_resource(parent: &str, api: &RestApi, part: &str) -> Resource {
    Resource {
        api_id: api.id.clone(),
        parent_id: Some(parent.into()),
        path_part: Some(part.into()),
        ..Resource::default()
    }
}

#[tokio::test]
async fn a_document_above_the_level_of_the_cluster_is_refused() {
    let admin = founded();
    let named = |level| RestApi { name: "pets".into(), level, ..RestApi::default() };
    let (code, message) = admin.refused(put(named(2))).await;
    assert_eq!(code, "level");
    assert!(message.contains("level 2") && message.contains("has level 1"), "{message}");
    admin.done(put(named(1))).await;
}

#[tokio::test]
async fn a_document_has_the_level_it_needs_and_not_that_of_the_cluster() {
    let admin = founded();
    let raise = RaiseLevel { stamp: Some(Stamp { actor: "local".into(), ..Stamp::default() }), level: 7 };
    admin.replica.apply(&Command { kind: Some(command::Kind::RaiseLevel(raise)) });
    let api = rest_api_of(&admin.done(put(RestApi { name: "pets".into(), ..RestApi::default() })).await);
    let root = resource_of(&admin.done(put(new_resource(&api.root_resource_id, &api, "pets"))).await);
    assert_eq!((api.level, root.level), (level::FIRST, level::FIRST));
}

fn method(resource: &Resource, verb: &str) -> Method {
    Method {
        api_id: resource.api_id.clone(),
        resource_id: resource.id.clone(),
        http_method: verb.into(),
        method_integration: Some(Integration {
            r#type: "HTTP_PROXY".into(),
            http_method: Some("GET".into()),
            uri: Some("http://127.0.0.1:9000/pets".into()),
            ..Integration::default()
        }),
        ..Method::default()
    }
}

/// An API with one method, deployed to `prod`.
async fn deployed(admin: &Admin) -> RestApi {
    let api = api(admin).await;
    let pets = resource(admin, &api.root_resource_id, &api, "pets").await;
    admin.done(put(method(&pets, "GET"))).await;
    admin.done(deploy(&api.id, "prod")).await;
    api
}

async fn key(admin: &Admin, name: &str) -> ApiKey {
    key_of(&admin.done(put(ApiKey { name: name.into(), ..ApiKey::default() })).await)
}

async fn plan(admin: &Admin, name: &str, stages: &[(&str, &str)]) -> String {
    let stages = stages.iter().map(|(api, stage)| ApiStage {
        api_id: (*api).into(),
        stage: (*stage).into(),
        ..ApiStage::default()
    });
    let plan = UsagePlan { name: name.into(), api_stages: stages.collect(), ..UsagePlan::default() };
    id_of(&admin.done(put(plan)).await)
}

fn member(plan: &str, key: &str) -> UsagePlanKey {
    UsagePlanKey { plan_id: plan.into(), key_id: key.into(), ..UsagePlanKey::default() }
}

async fn get(admin: &Admin, kind: Kind, ids: &[&str]) -> Stored {
    let request = GetRequest { r#ref: Some(named(kind, ids)), ..GetRequest::default() };
    Admin::get(admin, Request::new(request)).await.unwrap().into_inner().stored.unwrap()
}

#[tokio::test]
async fn an_api_comes_with_its_root_and_keeps_what_the_leader_made() {
    let admin = founded();
    let api = api(&admin).await;
    assert_eq!((api.id.len(), api.root_resource_id.len()), (10, 6));
    let root = resource_of(&get(&admin, Kind::Resource, &[&api.id, &api.root_resource_id]).await);
    assert_eq!(root.path, "/");
    let renamed = RestApi { id: api.id.clone(), name: "cats".into(), ..RestApi::default() };
    let renamed = rest_api_of(&admin.done(put(renamed)).await);
    assert_eq!(renamed.root_resource_id, api.root_resource_id);
    assert_eq!(renamed.created_date, api.created_date);
}

#[tokio::test]
async fn paths_follow_a_resource_that_moves() {
    let admin = founded();
    let api = api(&admin).await;
    let pets = resource(&admin, &api.root_resource_id, &api, "pets").await;
    let one = resource(&admin, &pets.id, &api, "{id}").await;
    assert_eq!(one.path, "/pets/{id}");
    admin.done(patch(Kind::Resource, &[&api.id, &pets.id], &[("replace", "pathPart", "cats")])).await;
    assert_eq!(resource_of(&get(&admin, Kind::Resource, &[&api.id, &one.id]).await).path, "/cats/{id}");
    let below_itself = patch(Kind::Resource, &[&api.id, &pets.id], &[("replace", "parentId", one.id.as_str())]);
    assert_eq!(admin.refused(below_itself).await.0, "invalid");
}

#[tokio::test]
async fn siblings_with_one_path_part_clash_and_variables_are_warned_of() {
    let admin = founded();
    let api = api(&admin).await;
    resource(&admin, &api.root_resource_id, &api, "{id}").await;
    assert_eq!(admin.refused(put(new_resource(&api.root_resource_id, &api, "{id}"))).await.0, "conflict");
    let other = put(new_resource(&api.root_resource_id, &api, "{name}"));
    let reply = admin.try_change(vec![other]).await.unwrap();
    assert_eq!(reply.results.len(), 1);
}

#[tokio::test]
async fn a_resource_takes_what_is_below_it_along_but_the_root_stays() {
    let admin = founded();
    let api = deployed(&admin).await;
    let pets = list(&admin, Kind::Resource, &api.id).await.into_iter().map(|one| resource_of(&one));
    let pets = pets.into_iter().find(|one| one.path == "/pets").unwrap();
    let below = resource(&admin, &pets.id, &api, "{id}").await;
    admin.done(put(method(&below, "ANY"))).await;
    admin.done(delete(Kind::Resource, &[&api.id, &pets.id])).await;
    assert_eq!(list(&admin, Kind::Resource, &api.id).await.len(), 1);
    assert!(list(&admin, Kind::Method, &api.id).await.is_empty());
    assert_eq!(admin.refused(delete(Kind::Resource, &[&api.id, &api.root_resource_id])).await.0, "invalid");
}

async fn list(admin: &Admin, kind: Kind, parent: &str) -> Vec<Stored> {
    let parent = if parent.is_empty() { Vec::new() } else { vec![parent.to_owned()] };
    let request = ListRequest { kind: kind.into(), parent, ..ListRequest::default() };
    Admin::list(admin, Request::new(request)).await.unwrap().into_inner().items
}

#[tokio::test]
async fn a_method_names_only_what_exists_and_holds_on_to_it() {
    let admin = founded();
    let api = api(&admin).await;
    let pets = resource(&admin, &api.root_resource_id, &api, "pets").await;
    let validator = RequestValidator { api_id: api.id.clone(), name: "all".into(), ..RequestValidator::default() };
    let validator = id_of(&admin.done(put(validator.clone())).await);
    let unknown = Method { request_validator_id: Some("nothere".into()), ..method(&pets, "GET") };
    assert_eq!(admin.refused(put(unknown)).await.0, "invalid");
    admin.done(put(Method { request_validator_id: Some(validator.clone()), ..method(&pets, "GET") })).await;
    let gone = delete(Kind::RequestValidator, &[&api.id, &validator]);
    assert_eq!(admin.refused(gone.clone()).await.0, "referenced");
    admin.done(delete(Kind::Method, &[&api.id, &pets.id, "GET"])).await;
    admin.done(gone).await;
}

#[tokio::test]
async fn authorizers_of_one_name_clash() {
    let admin = founded();
    let api = api(&admin).await;
    let authorizer = Authorizer {
        api_id: api.id.clone(),
        name: "tokens".into(),
        r#type: "TOKEN".into(),
        authorizer_uri: Some("arn:aws:apigateway:eu-west-1:lambda:path/x".into()),
        identity_source: Some("method.request.header.Authorization".into()),
        ..Authorizer::default()
    };
    admin.done(put(authorizer.clone())).await;
    assert_eq!(admin.refused(put(authorizer)).await.0, "conflict");
}

#[tokio::test]
async fn a_deployment_makes_its_stage_and_a_rollback_points_back() {
    let admin = founded();
    let api = deployed(&admin).await;
    let first = stage_of(&get(&admin, Kind::Stage, &[&api.id, "prod"]).await);
    admin.done(deploy(&api.id, "prod")).await;
    let second = stage_of(&get(&admin, Kind::Stage, &[&api.id, "prod"]).await);
    assert_ne!(first.deployment_id, second.deployment_id);
    assert_eq!(second.previous_deployment_id.as_deref(), Some(first.deployment_id.as_str()));
    assert_eq!(second.created_date, first.created_date);

    let mut back = deploy(&api.id, "prod");
    if let Some(sluice_proto::admin::operation::Kind::Deploy(deploy)) = &mut back.kind {
        deploy.deployment_id = Some(first.deployment_id.clone());
    }
    admin.done(back).await;
    assert_eq!(stage_of(&get(&admin, Kind::Stage, &[&api.id, "prod"]).await).deployment_id, first.deployment_id);
    let in_use = delete(Kind::Deployment, &[&api.id, &first.deployment_id]);
    assert_eq!(admin.refused(in_use).await.0, "referenced");
    admin.done(delete(Kind::Deployment, &[&api.id, &second.deployment_id])).await;
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_at_deployment_and_changes_nothing() {
    let admin = founded();
    let api = api(&admin).await;
    let pets = resource(&admin, &api.root_resource_id, &api, "pets").await;
    let mut lambda = method(&pets, "GET");
    lambda.method_integration = Some(Integration {
        r#type: "AWS_PROXY".into(),
        http_method: Some("POST".into()),
        uri: Some("arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/f/invocations".into()),
        ..Integration::default()
    });
    admin.done(put(lambda)).await;
    let before = admin.replica.log_index();
    let status = admin.try_change(vec![deploy(&api.id, "prod")]).await.unwrap_err();
    let details: sluice_proto::admin::ErrorDetails = prost::Message::decode(status.details()).unwrap();
    assert_eq!(details.diagnostics[0].code, "not-supported-yet");
    assert_eq!(admin.replica.log_index(), before);
}

#[tokio::test]
async fn a_changed_method_and_its_deployment_are_one_change() {
    let admin = founded();
    let api = deployed(&admin).await;
    let pets = list(&admin, Kind::Resource, &api.id).await.into_iter().map(|one| resource_of(&one));
    let pets = pets.into_iter().find(|one| one.path == "/pets").unwrap();
    let number = admin.replica.view_number();
    let target = [api.id.as_str(), pets.id.as_str(), "GET"];
    let changed = patch(Kind::Method, &target, &[("replace", "methodIntegration/uri", "http://127.0.0.1:9001/")]);
    let reply = admin.try_change(vec![changed, deploy(&api.id, "prod")]).await.unwrap();
    assert_eq!(reply.results.len(), 2);
    assert_eq!(reply.revision.unwrap().number, number + 1);
}

#[tokio::test]
async fn nothing_of_a_change_is_made_when_one_operation_is_refused() {
    let admin = founded();
    let first = put(RestApi { name: "one".into(), ..RestApi::default() });
    let second = put(Stage { api_id: "nothere".into(), stage_name: "prod".into(), ..Stage::default() });
    let status = admin.try_change(vec![first, second]).await.unwrap_err();
    let details: sluice_proto::admin::ErrorDetails = prost::Message::decode(status.details()).unwrap();
    assert_eq!(details.diagnostics[0].at, "operations[1]");
    assert!(list(&admin, Kind::RestApi, "").await.is_empty());
}

#[tokio::test]
async fn a_key_is_made_with_a_value_that_is_shown_once() {
    let admin = founded();
    let key = key(&admin, "alice").await;
    let value = key.value.clone().unwrap();
    assert_eq!(value.len(), 40);
    assert!(key.sealed_value.is_none() && key.value_hash.is_none());
    let read = key_of(&get(&admin, Kind::ApiKey, &[&key.id]).await);
    assert_eq!((read.value, read.sealed_value), (None, None));
    let request =
        GetRequest { r#ref: Some(named(Kind::ApiKey, &[&key.id])), show_value: true, ..GetRequest::default() };
    let shown = Admin::get(&admin, as_admin(request)).await.unwrap().into_inner().stored.unwrap();
    assert_eq!(key_of(&shown).value, Some(value.clone()));
    let again = ApiKey { name: "bob".into(), value: Some(value), ..ApiKey::default() };
    assert_eq!(admin.refused(put(again)).await.0, "conflict");
}

#[tokio::test]
async fn a_disabled_key_keeps_its_value() {
    let admin = founded();
    let key = key(&admin, "alice").await;
    admin.done(patch(Kind::ApiKey, &[&key.id], &[("replace", "enabled", "false")])).await;
    let request =
        GetRequest { r#ref: Some(named(Kind::ApiKey, &[&key.id])), show_value: true, ..GetRequest::default() };
    let shown = Admin::get(&admin, as_admin(request)).await.unwrap().into_inner().stored.unwrap();
    assert_eq!((key_of(&shown).value, key_of(&shown).enabled), (key.value, Some(false)));
    let value = patch(Kind::ApiKey, &[&key.id], &[("replace", "value", "abcdefghij0123456789")]);
    assert_eq!(admin.refused(value).await.0, "invalid");
}

#[tokio::test]
async fn a_key_is_in_one_plan_per_stage() {
    let admin = founded();
    let api = deployed(&admin).await;
    admin.done(deploy(&api.id, "test")).await;
    let gold = plan(&admin, "gold", &[(&api.id, "prod")]).await;
    let silver = plan(&admin, "silver", &[(&api.id, "prod")]).await;
    let other = plan(&admin, "other", &[(&api.id, "test")]).await;
    let key = key(&admin, "alice").await;
    admin.done(put(member(&gold, &key.id))).await;
    admin.done(put(member(&other, &key.id))).await;
    assert_eq!(admin.refused(put(member(&silver, &key.id))).await.0, "conflict");
    assert_eq!(admin.refused(put(member(&gold, &key.id))).await.0, "conflict");
    let gains = patch(Kind::UsagePlan, &[&other], &[("add", "apiStages", &format!("{}:prod", api.id))]);
    assert_eq!(admin.refused(gains).await.0, "conflict");
}

#[tokio::test]
async fn what_is_named_is_not_deleted() {
    let admin = founded();
    let api = deployed(&admin).await;
    let gold = plan(&admin, "gold", &[(&api.id, "prod")]).await;
    let key = key(&admin, "alice").await;
    admin.done(put(member(&gold, &key.id))).await;
    assert_eq!(admin.refused(delete(Kind::Stage, &[&api.id, "prod"])).await.0, "referenced");
    assert_eq!(admin.refused(delete(Kind::RestApi, &[&api.id])).await.0, "referenced");
    assert_eq!(admin.refused(delete(Kind::UsagePlan, &[&gold])).await.0, "referenced");
    admin.done(delete(Kind::ApiKey, &[&key.id])).await;
    admin.done(delete(Kind::UsagePlan, &[&gold])).await;
    admin.done(delete(Kind::RestApi, &[&api.id])).await;
    assert!(list(&admin, Kind::RestApi, "").await.is_empty());
}

#[tokio::test]
async fn a_quota_is_refused_until_something_counts_it() {
    let admin = founded();
    let quota = QuotaSettings { limit: Some(10), period: Some("DAY".into()), ..QuotaSettings::default() };
    let plan = UsagePlan { name: "gold".into(), quota: Some(quota), ..UsagePlan::default() };
    let status = admin.try_change(vec![put(plan)]).await.unwrap_err();
    let details: sluice_proto::admin::ErrorDetails = prost::Message::decode(status.details()).unwrap();
    assert_eq!(
        (details.diagnostics[0].code.as_str(), details.diagnostics[0].at.as_str()),
        ("not-supported-yet", "quota")
    );
}

#[tokio::test]
async fn a_stage_is_set_by_aws_paths() {
    let admin = founded();
    let api = deployed(&admin).await;
    let set = [("replace", "*/*/throttling/rateLimit", "100"), ("replace", "variables/backend", "b1")];
    admin.done(patch(Kind::Stage, &[&api.id, "prod"], &set)).await;
    let stage = stage_of(&get(&admin, Kind::Stage, &[&api.id, "prod"]).await);
    assert_eq!(stage.method_settings["*/*"].throttling_rate_limit, Some(100.0));
    assert_eq!(stage.variables["backend"], "b1");
}

#[tokio::test]
async fn the_eleventh_stage_is_made_with_a_warning() {
    let admin = founded();
    let api = deployed(&admin).await;
    for number in 1..10 {
        let reply = admin.try_change(vec![deploy(&api.id, &format!("s{number}"))]).await.unwrap();
        assert!(reply.diagnostics.is_empty(), "{:?}", reply.diagnostics);
    }
    let reply = admin.try_change(vec![deploy(&api.id, "more")]).await.unwrap();
    assert_eq!(reply.diagnostics[0].code, "aws-limit");
}
