//! Patches: any operations on a document are carried out as a whole, in their order, or refused.
//!
//! An input is a line for each operation: what it does, where, and with what (for a copy: from where).

use std::sync::LazyLock;

use serde_json::{Value, json};
use sluice_proto::{
    admin::PatchOperation,
    model::{Authorizer, Method, RestApi, Stage, UsagePlan},
};

use crate::{
    Target,
    noun::Noun,
    patch::patched,
    schema::Schema,
    script::{lines, word},
};

/// The target.
pub const TARGET: Target = Target {
    name: "patches",
    run,
    seeds: Vec::new,
    words: &[
        "\nadd ",
        "\nreplace ",
        "\nremove ",
        "\ncopy ",
        "/*/*/throttling/rateLimit 1.5",
        "methodSettings/*/*/throttlingRateLimit 1e400",
        "~1pets~1{id}/GET/caching/ttlInSeconds 60",
        "canarySettings/percentTraffic 10",
        "canarySettings/stageVariableOverrides variables",
        "apiStages a1:prod",
        "apiStages/a1:prod/throttle/~1pets/GET/burstLimit 18446744073709551616",
        "binaryMediaTypes/image~1png",
        "methodIntegration/integrationResponses/200/responseParameters/method.response.header.x '1'",
        "providerARNs/0 [\"x\"]",
        "/-",
        "~0",
        "~",
        "//",
        " null",
        "id x",
    ],
};

/// Reading the descriptors takes longer than a patch.
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

/// Operations of one input.
const OPERATIONS_MAX: usize = 64;

/// Carries the operations out on a document of each kind.
///
/// # Panics
/// When a promise of patches is broken.
pub fn run(input: &[u8]) {
    let operations: Vec<PatchOperation> = lines(input).into_iter().take(OPERATIONS_MAX).map(operation).collect();
    let canary = json!({"percentTraffic": 5.0, "deploymentId": "d2", "stageVariableOverrides": {"a": "b"}});
    check::<Stage>(
        json!({"apiId": "a1", "stageName": "prod", "deploymentId": "d1", "variables": {"a": "1"}, "canarySettings": canary}),
        &operations,
    );
    let stages = json!([{"apiId": "a1", "stage": "prod"}]);
    check::<UsagePlan>(json!({"id": "p1", "name": "gold", "apiStages": stages}), &operations);
    let response = json!({"statusCode": "200", "responseParameters": {"method.response.header.x": "'1'"}});
    let integration = json!({"type": "MOCK", "integrationResponses": {"200": response}});
    check::<Method>(json!({"apiId": "a1", "httpMethod": "GET", "methodIntegration": integration}), &operations);
    check::<RestApi>(json!({"name": "pets", "binaryMediaTypes": ["image/png"]}), &operations);
    check::<Authorizer>(json!({"name": "mine", "type": "TOKEN"}), &operations);
}

fn operation((op, rest): (String, String)) -> PatchOperation {
    let mut rest = rest.as_str();
    let path = word(&mut rest).to_owned();
    let (value, from) = if op == "copy" { (String::new(), rest.to_owned()) } else { (rest.to_owned(), String::new()) };
    PatchOperation { op, path, value, from }
}

/// Carries them out one after the other, and all at once.
fn check<N: Noun>(document: Value, operations: &[PatchOperation]) {
    let document: N = serde_json::from_value(document).expect("the documents above are of the model");
    let mut stepwise = patched(&SCHEMA, &document, &[]);
    for operation in operations {
        let Ok(before) = &stepwise else { break };
        stepwise = patched(&SCHEMA, before, std::slice::from_ref(operation));
    }
    match patched(&SCHEMA, &document, operations) {
        Ok(whole) => {
            let json = serde_json::to_value(&whole).expect("documents always have a JSON form");
            let again: N = serde_json::from_value(json).expect("and it is read again");
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
