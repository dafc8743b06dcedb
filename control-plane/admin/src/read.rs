//! Reads of documents: stored bytes as the types of the model.
//!
//! Promise: bytes that cannot be decoded as what their table holds count as absent and are logged; they were written by
//! a release that this one does not know. Absent: rules.

use prost::Message;
use sluice_model::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use sluice_proto::{
    model::{ApiKey, Document, Kind, Ref, UsagePlan, document},
    raft::{DeploymentRow, KeyView, Table},
};
use sluice_state::{Stored, Tables, View};
use tracing::error;

use crate::{
    noun::{Noun, Place},
    refused::Refused,
};

/// Documents of one noun that one API may hold; far above what its 64 parts can.
const ENTRIES_MAX: usize = 1_000_000;
/// Rows read of an index at a time.
const INDEX_PAGE: usize = 1_000;

/// A document with the version of its row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found<N> {
    pub(crate) document: N,
    pub(crate) version: u64,
}

/// The document under `key`.
pub(crate) fn find<N: Noun, T: Tables>(view: &View<T>, key: &[String]) -> Option<Found<N>> {
    let stored = view.get(N::TABLE, key)?;
    Some(Found { document: decode_row(N::TABLE, &stored.bytes)?, version: stored.version })
}

/// The document of any kind under `key`, with its version.
pub(crate) fn document<T: Tables>(view: &View<T>, kind: Kind, key: &[String]) -> Option<(Document, u64)> {
    let place = Place::of(kind)?;
    let stored = view.get(place.table, key)?;
    Some((enveloped(kind, &stored)?, stored.version))
}

/// The version of the row under `key`.
pub(crate) fn version<T: Tables>(view: &View<T>, kind: Kind, key: &[String]) -> Option<u64> {
    view.get(Place::of(kind)?.table, key).map(|stored| stored.version)
}

/// Whether there is a row.
pub(crate) fn exists<T: Tables>(view: &View<T>, table: Table, key: &[String]) -> bool {
    view.get(table, key).is_some()
}

/// Whether there is an API of this id.
pub(crate) fn api_exists<T: Tables>(view: &View<T>, api_id: &str) -> bool {
    !api_id.contains('/') && view.api_row(api_id).is_some()
}

/// The version of an API; with it, of everything the API holds.
pub(crate) fn api_version<T: Tables>(view: &View<T>, api_id: &str) -> Option<u64> {
    view.api_row(api_id).map(|(version, _)| version)
}

/// Whether there is a deployment of this id.
pub(crate) fn deployment_exists<T: Tables>(view: &View<T>, api_id: &str, id: &str) -> bool {
    view.deployment(api_id, id).is_some()
}

/// All documents of one noun that an API holds, in the order of keys.
pub(crate) fn all_of_api<N: Noun, T: Tables>(view: &View<T>, api_id: &str) -> Vec<Found<N>> {
    let page = view.list(N::TABLE, &[api_id], None, ENTRIES_MAX);
    let found = page
        .items
        .into_iter()
        .map(|(_, stored)| Some(Found { document: decode_row(N::TABLE, &stored.bytes)?, version: stored.version }));
    found.flatten().collect()
}

/// Ids of the rows of a table that have this name.
pub(crate) fn named_so<T: Tables>(view: &View<T>, table: Table, name: &str) -> Vec<String> {
    view.by_name(table, name).into_iter().filter_map(|key| key.into_iter().next()).collect()
}

/// The plans that a key is in.
pub(crate) fn plans_of_key<T: Tables>(view: &View<T>, key_id: &str) -> Vec<String> {
    let row = view.get(Table::KeyView, &[key_id]);
    row.and_then(|row| decode::<KeyView>(Table::KeyView, &row.bytes)).map(|view| view.plan_ids).unwrap_or_default()
}

/// The keys that a plan has, in order.
pub(crate) fn keys_of_plan<T: Tables>(view: &View<T>, plan_id: &str) -> impl Iterator<Item = String> {
    let mut after: Option<Vec<String>> = None;
    let mut page = Vec::new().into_iter();
    let mut ended = false;
    std::iter::from_fn(move || {
        loop {
            if let Some(key) = page.next() {
                return Some(key);
            }
            if ended {
                return None;
            }
            let next = view.list(Table::PlanKey, &[plan_id], after.as_deref(), INDEX_PAGE);
            ended = !next.more;
            after = next.items.last().map(|(key, _)| key.clone());
            let keys = next.items.into_iter().filter_map(|(key, _)| key.into_iter().nth(1));
            page = keys.collect::<Vec<_>>().into_iter();
        }
    })
}

/// The plans that name a stage.
pub(crate) fn plans_of_stage<T: Tables>(view: &View<T>, api_id: &str, stage: &str) -> Vec<String> {
    let referrers = view.refs_to(Table::Stage, &[api_id, stage], ENTRIES_MAX);
    let plans = referrers.into_iter().filter(|(table, _)| *table == Table::Plan);
    plans.filter_map(|(_, key)| key.into_iter().next()).collect()
}

/// The key that holds a value of this hash.
pub(crate) fn key_by_hash<T: Tables>(view: &View<T>, hash: &[u8]) -> Option<ApiKey> {
    let key = view.by_unique(Table::ApiKey, hash)?;
    find::<ApiKey, _>(view, &key).map(|found| found.document)
}

/// A usage plan by id.
pub(crate) fn plan<T: Tables>(view: &View<T>, id: &str) -> Option<Found<UsagePlan>> {
    if id.contains('/') { None } else { find(view, &[id.to_owned()]) }
}

/// The kind and place of a document that a caller names, its key's length checked.
///
/// # Errors
/// `Invalid` at `at`.
pub(crate) fn named(name: &Ref, at: &str) -> Result<(Kind, Place), Refused> {
    let kind = name.kind();
    let Some(place) = Place::of(kind) else {
        return Err(Refused::invalid(format!("{at}.kind"), "expected the kind of a document, found none", ""));
    };
    let is_key = name.ids.len() == place.key_len && sluice_model::part::key_is_valid(&name.ids);
    if !is_key {
        let ids = if place.key_len == 1 { "1 id".to_owned() } else { format!("{} ids", place.key_len) };
        let message = format!("expected {ids} to name one {}, found [{}]", place.word, name.ids.join(", "));
        return Err(Refused::invalid(format!("{at}.ids"), message, ""));
    }
    Ok((kind, place))
}

/// How many items a page has.
///
/// # Errors
/// `Invalid` for a size that no page has.
pub(crate) fn page_size(asked: Option<u32>) -> Result<usize, Refused> {
    match asked.unwrap_or(PAGE_SIZE_DEFAULT) {
        size @ 1..=PAGE_SIZE_MAX => Ok(size as usize),
        other => {
            let message = format!("expected 1 to {PAGE_SIZE_MAX}, found {other}");
            Err(Refused::invalid("pageSize", message, ""))
        }
    }
}

/// A stored row as the envelope has it.
pub(crate) fn enveloped(kind: Kind, stored: &Stored) -> Option<Document> {
    use document::Kind as Of;
    let bytes = &stored.bytes;
    macro_rules! of {
        ($variant:ident) => {
            Of::$variant(decode_row(Place::of(kind)?.table, bytes)?)
        };
    }
    let kind = match kind {
        Kind::Unspecified => return None,
        Kind::RestApi => of!(RestApi),
        Kind::Resource => of!(Resource),
        Kind::Method => of!(Method),
        Kind::Model => of!(Model),
        Kind::RequestValidator => of!(RequestValidator),
        Kind::Authorizer => of!(Authorizer),
        Kind::GatewayResponse => of!(GatewayResponse),
        Kind::Deployment => of!(Deployment),
        Kind::Stage => of!(Stage),
        Kind::ApiKey => of!(ApiKey),
        Kind::UsagePlan => of!(UsagePlan),
        Kind::UsagePlanKey => of!(UsagePlanKey),
    };
    Some(Document { kind: Some(kind) })
}

/// The document of a row; that of a deployment stands within its row.
fn decode_row<M: Message + Default>(table: Table, bytes: &[u8]) -> Option<M> {
    if table == Table::Deployment {
        let row: DeploymentRow = decode(table, bytes)?;
        return decode(table, &row.document);
    }
    decode(table, bytes)
}

fn decode<M: Message + Default>(table: Table, bytes: &[u8]) -> Option<M> {
    match M::decode(bytes) {
        Ok(message) => Some(message),
        Err(cause) => {
            error!(table = table.as_str_name(), error = %cause, "a stored document cannot be decoded");
            None
        }
    }
}
