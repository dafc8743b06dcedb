//! Patches: AWS's patch operations on any document, resolved to the whole document.
//!
//! Promise: a path is AWS's (`*/*/throttling/rateLimit`) or the JSON field path
//! (`methodSettings/*/*/throttlingRateLimit`), with or without a leading slash; all wrong operations are reported at
//! once, each with the nearest valid path. Absent: checks of the resulting document (`plan`).

mod aws;
mod edit;
mod path;

use serde_json::Value;
use sluice_proto::admin::PatchOperation;
use sluice_proto::model::Diagnostic;

use crate::{
    noun::Noun,
    patch::{edit::Edit, path::Resolved},
    refused::{Refused, fault},
    schema::Schema,
};

/// Operations of one patch.
const OPERATIONS_MAX: usize = 1_000;

/// Returns `document` with `operations` carried out in order.
///
/// Fields that have no JSON form (sealed values, hashes, the level) are lost: the caller puts them back.
///
/// # Errors
/// `Invalid` with one diagnostic per operation that cannot be carried out.
pub(crate) fn patched<N: Noun>(schema: &Schema, document: &N, operations: &[PatchOperation]) -> Result<N, Refused> {
    if operations.len() > OPERATIONS_MAX {
        let message = format!("expected at most {OPERATIONS_MAX} operations, found {}", operations.len());
        return Err(Refused::invalid("operations", message, "send several patches"));
    }
    let mut value = serde_json::to_value(document).expect("documents always have a JSON form");
    let mut faults = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        if let Err(mut found) = carry_out(schema, N::MESSAGE, &mut value, operation) {
            found.at = format!("operations[{index}].{}", found.at);
            faults.push(found);
        }
    }
    if !faults.is_empty() {
        return Err(Refused::faults(faults));
    }
    serde_json::from_value(value).map_err(|error| Refused::invalid("", error.to_string(), ""))
}

fn carry_out(
    schema: &Schema,
    message: &str,
    document: &mut Value,
    operation: &PatchOperation,
) -> Result<(), Diagnostic> {
    let target = path::resolve(schema, message, &operation.path).map_err(|found| at_path(found, "path"))?;
    if is_read_only(message, &target) {
        return Err(fault(
            "read-only",
            "path",
            format!("`{}` cannot be changed", operation.path.trim_start_matches('/')),
            "",
        ));
    }
    let edit = match operation.op.as_str() {
        "add" => Edit::Add(&operation.value),
        "replace" => Edit::Replace(&operation.value),
        "remove" => Edit::Remove(&operation.value),
        "copy" => {
            let from = path::resolve(schema, message, &operation.from).map_err(|found| at_path(found, "from"))?;
            let copied = edit::read(document, &from)
                .ok_or_else(|| fault("invalid", "from", format!("`{}` holds nothing to copy", operation.from), ""))?;
            return edit::copy(document, &target, copied);
        }
        other => {
            return Err(fault(
                "invalid",
                "op",
                format!("expected one of add, remove, replace, copy, found `{other}`"),
                "",
            ));
        }
    };
    edit::apply(schema, document, &target, &edit)
}

fn at_path(mut found: Diagnostic, field: &str) -> Diagnostic {
    field.clone_into(&mut found.at);
    found
}

/// Identity and what the leader stamps or derives.
fn is_read_only(message: &str, target: &Resolved) -> bool {
    let fields: &[&str] = match message {
        "RestApi" => &["id", "rootResourceId", "createdDate", "warnings"],
        "Resource" => &["id", "apiId", "path"],
        "Method" => &["apiId", "resourceId", "httpMethod"],
        "Model" => &["id", "apiId", "name"],
        "RequestValidator" | "Authorizer" | "UsagePlan" => &["id", "apiId"],
        "GatewayResponse" => &["apiId", "responseType"],
        "Deployment" => &["id", "apiId", "createdDate"],
        "Stage" => &["apiId", "stageName", "createdDate", "lastUpdatedDate", "previousDeploymentId"],
        "ApiKey" => &["id", "value", "createdDate", "lastUpdatedDate"],
        "UsagePlanKey" => &["planId", "keyId"],
        _ => &[],
    };
    fields.contains(&target.first_field())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
