//! The way back: what is there, as `apply` reads it.
//!
//! Promise: `apply(export(x))` changes nothing. Values of keys are left out; so are what the leader makes (ids, dates)
//! and what files cannot say (canaries, which name deployments).

use serde::Serialize;
use serde_json::{Map, Value, json};
use sluice_proto::{
    admin::Object,
    model::{ApiKey, RestApi, Stage, UsagePlan},
    raft::Table,
};
use sluice_state::{Tables, View};

use crate::{contents::Contents, plan::without_secrets, read};

/// Kinds that can be exported.
pub(crate) const EXPORTED_KINDS: [(&str, Table); 3] =
    [("RestApi", Table::RestApi), ("ApiKey", Table::ApiKey), ("UsagePlan", Table::Plan)];
/// Keys of a plan that are listed; a larger plan is exported without its keys, which leaves them as they are.
const KEYS_MAX: usize = 1_000;

/// The object of one row; none when it is gone.
pub(crate) fn exported<T: Tables>(view: &View<T>, kind: &str, id: &str) -> Option<Object> {
    let key = [id.to_owned()];
    let (name, spec) = match kind {
        "RestApi" => {
            let contents = Contents::load(view, id)?;
            let mut spec = api_spec(&contents);
            let stages = read::all_of_api::<Stage, _>(view, id);
            let mut exported = Map::new();
            for stage in stages {
                let mut one = stage_spec(&stage.document);
                set(&mut one, "deploy", json!(is_current(view, id, &stage.document)));
                exported.insert(stage.document.stage_name, one);
            }
            if !exported.is_empty() {
                set(&mut spec, "stages", Value::Object(exported));
            }
            (contents.rest_api.name, spec)
        }
        "ApiKey" => {
            let found = read::find::<ApiKey, _>(view, &key)?;
            let spec = key_spec(&found.document);
            (found.document.name, spec)
        }
        _ => {
            let found = read::find::<UsagePlan, _>(view, &key)?;
            let keys: Vec<String> = read::keys_of_plan(view, id).take(KEYS_MAX + 1).collect();
            let spec = plan_spec(view, &found.document, (keys.len() <= KEYS_MAX).then_some(keys));
            (found.document.name, spec)
        }
    };
    Some(Object { kind: kind.to_owned(), name, spec_json: spec.to_string(), ..Object::default() })
}

/// Whether a stage serves the API as it is now: then `deploy: true` does nothing.
fn is_current<T: Tables>(view: &View<T>, api_id: &str, stage: &Stage) -> bool {
    let served = view.deployment(api_id, &stage.deployment_id).map(|(_, row)| row.parts);
    served == view.api_row(api_id).map(|(_, row)| row.parts)
}

/// The spec of an API without its stages.
pub(super) fn api_spec(contents: &Contents) -> Value {
    let mut spec = json_of(&contents.rest_api);
    without(&mut spec, &["id", "name", "rootResourceId", "createdDate", "warnings"]);
    let mut resources = Map::new();
    let mut sorted: Vec<_> = contents.resources.iter().collect();
    sorted.sort_by(|left, right| left.path.cmp(&right.path));
    for resource in sorted {
        let mut methods = Map::new();
        for method in contents.methods.iter().filter(|method| method.resource_id == resource.id) {
            let mut one = json_of(method);
            without(&mut one, &["apiId", "resourceId", "httpMethod", "requestValidatorId", "authorizerId"]);
            let validator =
                contents.validators.iter().find(|one| Some(&one.id) == method.request_validator_id.as_ref());
            let authorizer = contents.authorizers.iter().find(|one| Some(&one.id) == method.authorizer_id.as_ref());
            validator.into_iter().for_each(|found| set(&mut one, "requestValidator", json!(found.name)));
            authorizer.into_iter().for_each(|found| set(&mut one, "authorizer", json!(found.name)));
            methods.insert(method.http_method.clone(), one);
        }
        let spec = if methods.is_empty() { json!({}) } else { json!({ "methods": methods }) };
        resources.insert(resource.path.clone(), spec);
    }
    let models = named(&contents.models, |one| &one.name, &["id", "apiId", "name"]);
    let validators = named(&contents.validators, |one| &one.name, &["id", "apiId", "name"]);
    let authorizers = named(&contents.authorizers, |one| &one.name, &["id", "apiId", "name"]);
    let responses = named(&contents.gateway_responses, |one| &one.response_type, &["apiId", "responseType"]);
    for (field, objects) in [
        ("resources", resources),
        ("models", models),
        ("requestValidators", validators),
        ("authorizers", authorizers),
        ("gatewayResponses", responses),
    ] {
        if !objects.is_empty() {
            set(&mut spec, field, Value::Object(objects));
        }
    }
    spec
}

/// The spec of a stage, but for `deploy`.
pub(super) fn stage_spec(stage: &Stage) -> Value {
    let mut spec = json_of(stage);
    let left_out = [
        "apiId",
        "stageName",
        "deploymentId",
        "canarySettings",
        "createdDate",
        "lastUpdatedDate",
        "previousDeploymentId",
    ];
    without(&mut spec, &left_out);
    spec
}

/// The spec of a key, without its value. A key is enabled whether it says so or not: only that it is not makes a difference.
pub(super) fn key_spec(key: &ApiKey) -> Value {
    let mut spec = json_of(&without_secrets(key.clone()));
    without(&mut spec, &["id", "name", "createdDate", "lastUpdatedDate"]);
    if key.enabled == Some(true) {
        without(&mut spec, &["enabled"]);
    }
    spec
}

/// The spec of a plan, with the keys of these ids.
pub(super) fn plan_spec<T: Tables>(view: &View<T>, plan: &UsagePlan, keys: Option<Vec<String>>) -> Value {
    let mut spec = json_of(plan);
    without(&mut spec, &["id", "name", "apiStages"]);
    let stages: Vec<Value> = plan
        .api_stages
        .iter()
        .map(|stage| {
            let api = read::find::<RestApi, _>(view, std::slice::from_ref(&stage.api_id));
            let name = api.map_or_else(|| stage.api_id.clone(), |api| api.document.name);
            let mut one = json!({ "api": name, "stage": stage.stage });
            if !stage.throttle.is_empty() {
                set(&mut one, "throttle", json_of(&stage.throttle));
            }
            one
        })
        .collect();
    if !stages.is_empty() {
        set(&mut spec, "apiStages", Value::Array(stages));
    }
    if let Some(keys) = keys {
        set(&mut spec, "keys", keys.iter().map(|id| json!(name_of_key(view, id))).collect());
    }
    spec
}

/// What files call a key; the id of one that is gone.
pub(super) fn name_of_key<T: Tables>(view: &View<T>, id: &str) -> String {
    let key = read::find::<ApiKey, _>(view, &[id.to_owned()]);
    key.map_or_else(|| id.to_owned(), |key| key.document.name)
}

fn named<N: Serialize>(documents: &[N], name: impl Fn(&N) -> &String, left_out: &[&str]) -> Map<String, Value> {
    let mut objects: Vec<(String, Value)> = documents
        .iter()
        .map(|document| {
            let mut one = json_of(document);
            without(&mut one, left_out);
            (name(document).clone(), one)
        })
        .collect();
    objects.sort_by(|left, right| left.0.cmp(&right.0));
    objects.into_iter().collect()
}

fn json_of<S: Serialize>(document: &S) -> Value {
    serde_json::to_value(document).expect("documents always have a JSON form")
}

fn without(spec: &mut Value, fields: &[&str]) {
    if let Some(spec) = spec.as_object_mut() {
        fields.iter().for_each(|field| drop(spec.shift_remove(*field)));
    }
}

fn set(spec: &mut Value, field: &str, value: Value) {
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(field.to_owned(), value);
    }
}
