//! Data-driven cases of patches: document, operations, and what comes out.

use serde_json::{Value, json};
use sluice_proto::model::{Authorizer, Method, RestApi, Stage, UsagePlan};

use super::*;

/// `op path=value`, `op path` or `copy from->path`.
fn operation(text: &str) -> PatchOperation {
    let (op, rest) = text.split_once(' ').unwrap();
    if let Some((from, path)) = rest.split_once("->") {
        return PatchOperation { op: op.into(), from: from.into(), path: path.into(), value: String::new() };
    }
    let (path, value) = rest.split_once('=').unwrap_or((rest, ""));
    PatchOperation { op: op.into(), path: path.into(), value: value.into(), from: String::new() }
}

fn check<N: Noun>(document: Value, operations: &[&str], expect: &Value) {
    let noun: N = serde_json::from_value(document).unwrap();
    let operations: Vec<_> = operations.iter().map(|text| operation(text)).collect();
    let patched = patched(&Schema::new(), &noun, &operations).unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(&serde_json::to_value(patched).unwrap(), expect, "{operations:?}");
}

fn refuse<N: Noun>(document: Value, text: &str) -> Diagnostic {
    let noun: N = serde_json::from_value(document).unwrap();
    patched(&Schema::new(), &noun, &[operation(text)]).unwrap_err().diagnostics.remove(0)
}

#[test]
fn aws_paths_of_a_stage() {
    let stage = || json!({"apiId": "a", "stageName": "prod", "deploymentId": "d1"});
    let with = |more: Value| {
        let mut stage = stage();
        stage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stage
    };
    let settings = |key: &str, field: &str, value: Value| with(json!({"methodSettings": {key: {field: value}}}));
    let cases: [(&str, Value); 12] = [
        ("replace deploymentId=d2", json!({"apiId": "a", "stageName": "prod", "deploymentId": "d2"})),
        ("replace /description=x", with(json!({"description": "x"}))),
        ("replace */*/throttling/rateLimit=100", settings("*/*", "throttlingRateLimit", json!(100.0))),
        ("replace /*/*/throttling/burstLimit=5", settings("*/*", "throttlingBurstLimit", json!(5))),
        ("replace ~1pets/GET/caching/ttlInSeconds=60", settings("~1pets/GET", "cacheTtlInSeconds", json!(60))),
        ("replace ~1pets~1{id}/GET/metrics/enabled=true", settings("~1pets~1{id}/GET", "metricsEnabled", json!(true))),
        ("add ~1/ANY/logging/loglevel=INFO", settings("~1/ANY", "loggingLevel", json!("INFO"))),
        ("replace methodSettings/*/*/throttlingRateLimit=2.5", settings("*/*", "throttlingRateLimit", json!(2.5))),
        ("replace methodSettings/*~1*/throttlingRateLimit=2", settings("*/*", "throttlingRateLimit", json!(2.0))),
        ("replace variables/backend=b1", with(json!({"variables": {"backend": "b1"}}))),
        ("replace canarySettings/percentTraffic=10", with(json!({"canarySettings": {"percentTraffic": 10.0}}))),
        ("replace variables={\"a\":\"1\"}", with(json!({"variables": {"a": "1"}}))),
    ];
    for (text, expect) in cases {
        check::<Stage>(stage(), &[text], &expect);
    }
}

#[test]
fn what_was_set_is_removed() {
    let stage = json!({"stageName": "prod", "variables": {"a": "1", "b": "2"},
        "methodSettings": {"*/*": {"throttlingRateLimit": 1.0, "throttlingBurstLimit": 2}, "~1pets/GET": {"cachingEnabled": true}}});
    let expect =
        json!({"stageName": "prod", "variables": {"b": "2"}, "methodSettings": {"*/*": {"throttlingBurstLimit": 2}}});
    check::<Stage>(stage, &["remove variables/a", "remove */*/throttling/rateLimit", "remove ~1pets/GET"], &expect);
}

#[test]
fn a_canary_is_promoted_by_copies() {
    let stage = json!({"stageName": "prod", "deploymentId": "old", "variables": {"a": "1", "b": "2"},
        "canarySettings": {"deploymentId": "new", "stageVariableOverrides": {"a": "9"}}});
    let operations = [
        "copy /canarySettings/deploymentId->/deploymentId",
        "copy canarySettings/stageVariableOverrides->variables",
        "remove /canarySettings",
    ];
    check::<Stage>(
        stage,
        &operations,
        &json!({"stageName": "prod", "deploymentId": "new", "variables": {"a": "9", "b": "2"}}),
    );
}

#[test]
fn lists_of_text_take_the_element_from_the_path_or_the_value() {
    let api = |types: Value| json!({"name": "a", "binaryMediaTypes": types});
    check::<RestApi>(json!({"name": "a"}), &["add /binaryMediaTypes/image~1png"], &api(json!(["image/png"])));
    check::<RestApi>(api(json!(["a/b"])), &["add binaryMediaTypes=c/d"], &api(json!(["a/b", "c/d"])));
    check::<RestApi>(api(json!(["a/b", "c/d"])), &["remove binaryMediaTypes/a~1b"], &api(json!(["c/d"])));
    check::<RestApi>(api(json!(["a/b"])), &["replace binaryMediaTypes/a~1b=c/d"], &api(json!(["c/d"])));
    check::<RestApi>(
        json!({"name": "a", "endpointConfiguration": {"types": ["EDGE"]}}),
        &["replace /endpointConfiguration/types/EDGE=REGIONAL"],
        &json!({"name": "a", "endpointConfiguration": {"types": ["REGIONAL"]}}),
    );
    check::<Authorizer>(
        json!({"name": "z"}),
        &["add /providerARNs=arn:x"],
        &json!({"name": "z", "providerARNs": ["arn:x"]}),
    );
}

#[test]
fn usage_plans_name_stages_as_aws_does() {
    let plan = |stages: Value| json!({"id": "p", "name": "gold", "apiStages": stages});
    let bare = json!({"id": "p", "name": "gold"});
    check::<UsagePlan>(bare.clone(), &["add /apiStages=abc:prod"], &plan(json!([{"apiId": "abc", "stage": "prod"}])));
    check::<UsagePlan>(plan(json!([{"apiId": "abc", "stage": "prod"}])), &["remove apiStages=abc:prod"], &bare);
    check::<UsagePlan>(
        plan(json!([{"apiId": "abc", "stage": "prod"}])),
        &["add apiStages/abc:prod/throttle/~1pets/GET/rateLimit=5"],
        &plan(json!([{"apiId": "abc", "stage": "prod", "throttle": {"/pets/GET": {"rateLimit": 5.0}}}])),
    );
    check::<UsagePlan>(
        bare,
        &["replace throttle/rateLimit=10", "replace /throttle/burstLimit=20"],
        &json!({"id": "p", "name": "gold", "throttle": {"rateLimit": 10.0, "burstLimit": 20}}),
    );
}

#[test]
fn a_method_is_patched_through_its_integration() {
    let method = json!({"httpMethod": "GET", "methodIntegration": {"type": "HTTP_PROXY", "uri": "http://a"}});
    check::<Method>(
        method,
        &[
            "replace methodIntegration/uri=http://b",
            "replace apiKeyRequired=true",
            "add requestModels/application~1json=Pet",
        ],
        &json!({"httpMethod": "GET", "apiKeyRequired": true, "requestModels": {"application/json": "Pet"},
            "methodIntegration": {"type": "HTTP_PROXY", "uri": "http://b"}}),
    );
}

#[test]
fn wrong_paths_name_the_nearest_valid_one() {
    for (text, hint) in [
        ("replace varaibles/x=1", "the nearest valid path is `variables/x`"),
        ("replace */*/throttling/rateLimits=1", "the nearest valid path is `*/*/throttling/rateLimit`"),
        ("replace deploymentid=x", "the nearest valid path is `deploymentId`"),
    ] {
        let found = refuse::<Stage>(json!({"stageName": "prod"}), text);
        assert_eq!(
            (found.code.as_str(), found.at.as_str(), found.hint.as_str()),
            ("invalid-path", "operations[0].path", hint)
        );
    }
}

#[test]
fn wrong_operations_and_values_are_refused() {
    for (text, at) in [
        ("move description=x", "operations[0].op"),
        ("replace tracingEnabled=maybe", "operations[0].value"),
        ("replace */*/throttling/burstLimit=1.5", "operations[0].value"),
        ("remove variables/none", "operations[0].path"),
        ("replace stageName=other", "operations[0].path"),
        ("replace description/deeper=x", "operations[0].path"),
        ("copy canarySettings/deploymentId->deploymentId", "operations[0].from"),
    ] {
        assert_eq!(refuse::<Stage>(json!({"stageName": "prod"}), text).at, at, "{text}");
    }
}
