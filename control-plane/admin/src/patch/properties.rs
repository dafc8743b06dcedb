//! Whatever a patch says, it is carried out as a whole or refused with every fault.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;
use sluice_proto::model::{Authorizer, Method, RestApi, Stage, UsagePlan};

use super::*;

/// Steps of paths, right and wrong, in AWS's words and in the field's.
const STEPS: [&str; 42] = [
    "*",
    "~1pets",
    "~1",
    "~0",
    "~",
    "GET",
    "throttling",
    "rateLimit",
    "burstLimit",
    "throttle",
    "methodSettings",
    "variables",
    "throttlingRateLimit",
    "caching",
    "ttlInSeconds",
    "canarySettings",
    "percentTraffic",
    "stageVariableOverrides",
    "deploymentId",
    "description",
    "apiStages",
    "a1:prod",
    "quota",
    "limit",
    "binaryMediaTypes",
    "image~1png",
    "tags",
    "endpointConfiguration",
    "types",
    "methodIntegration",
    "integrationResponses",
    "200",
    "responseParameters",
    "requestParameters",
    "method.request.path.id",
    "providerARNs",
    "0",
    "-",
    "99999999999999999999",
    "",
    "é",
    "id",
];
const VALUES: [&str; 12] =
    ["", "1", "-1", "1.5", "true", "false", "d2", "a1:prod", "null", "1e400", "[\"x\"]", "18446744073709551616"];

/// Reading the descriptors takes longer than a patch.
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![9 => prop::sample::select(&STEPS[..]).prop_map(str::to_owned), 1 => "[^/]{0,4}"];
    (any::<bool>(), prop::collection::vec(step, 0..6))
        .prop_map(|(slash, steps)| format!("{}{}", if slash { "/" } else { "" }, steps.join("/")))
}

fn operation() -> impl Strategy<Value = PatchOperation> {
    let op = prop::sample::select(vec!["add", "replace", "remove", "copy", "move", ""]);
    let value = prop::sample::select(&VALUES[..]);
    (op, path(), value, path()).prop_map(|(op, path, value, from)| PatchOperation {
        op: op.into(),
        path,
        value: value.into(),
        from: if op == "copy" { from } else { String::new() },
    })
}

/// Carries it out on a document, one operation after the other and all at once.
fn check<N: Noun + PartialEq + std::fmt::Debug>(document: Value, operations: &[PatchOperation]) {
    let document: N = serde_json::from_value(document).unwrap();
    let mut stepwise = Ok(serde_json::from_value::<N>(serde_json::to_value(&document).unwrap()).unwrap());
    for operation in operations {
        let Ok(before) = &stepwise else { break };
        stepwise = patched(&SCHEMA, before, std::slice::from_ref(operation));
    }
    match patched(&SCHEMA, &document, operations) {
        Ok(whole) => {
            let again: N = serde_json::from_value(serde_json::to_value(&whole).unwrap()).unwrap();
            assert_eq!(again, whole, "what comes out is a document");
            if let Ok(stepwise) = stepwise {
                assert_eq!(whole, stepwise, "operations are carried out in their order");
            }
        }
        Err(refused) => {
            assert!(stepwise.is_err(), "one of them is refused by itself: {refused:?}");
            assert!(refused.diagnostics.len() <= operations.len().max(1), "{refused:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_patch_is_carried_out_whole_or_refused(operations in prop::collection::vec(operation(), 1..5)) {
        let canary = json!({"percentTraffic": 5.0, "deploymentId": "d2", "stageVariableOverrides": {"a": "b"}});
        let stage = json!({"apiId": "a1", "stageName": "prod", "deploymentId": "d1", "variables": {"a": "1"}, "canarySettings": canary});
        check::<Stage>(stage, &operations);
        let plan = json!({"id": "p1", "name": "gold", "apiStages": [{"apiId": "a1", "stage": "prod"}]});
        check::<UsagePlan>(plan, &operations);
        let response = json!({"statusCode": "200", "responseParameters": {"method.response.header.x": "'1'"}});
        let integration = json!({"type": "MOCK", "integrationResponses": {"200": response}});
        check::<Method>(json!({"apiId": "a1", "httpMethod": "GET", "methodIntegration": integration}), &operations);
        check::<RestApi>(json!({"name": "pets", "binaryMediaTypes": ["image/png"]}), &operations);
        check::<Authorizer>(json!({"name": "mine", "type": "TOKEN"}), &operations);
    }
}
