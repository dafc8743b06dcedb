//! The models that a deployment needs at run time: those that validators check bodies against.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use sluice_compile::Entry;
use sluice_proto::{
    model::{Method, RequestValidator},
    raft::Table,
};

/// Names of the models that a validating method of these entries uses, sorted.
pub(crate) fn models_needed(entries: &[Entry]) -> Vec<String> {
    let of = |table: Table| entries.iter().filter(move |entry| entry.table == table);
    let validators: BTreeMap<String, bool> = of(Table::RequestValidator)
        .filter_map(|entry| RequestValidator::decode(entry.bytes.as_ref()).ok())
        .map(|validator| (validator.id, validator.validate_request_body.unwrap_or(false)))
        .collect();
    if !validators.values().any(|checks_body| *checks_body) {
        return Vec::new();
    }
    let methods = of(Table::Method).filter_map(|entry| Method::decode(entry.bytes.as_ref()).ok());
    let checks_body = |method: &Method| {
        let id = method.request_validator_id.as_ref();
        id.and_then(|id| validators.get(id)).copied().unwrap_or(false)
    };
    let used = methods.filter(checks_body).flat_map(|method| method.request_models.into_values());
    used.collect::<BTreeSet<_>>().into_iter().collect()
}
