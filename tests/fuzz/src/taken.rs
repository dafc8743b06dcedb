//! Files of crates that are not PURE, taken in whole by their paths.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "a target drives a part of what its crate drives, and tests another"
)]

// The HTTP/1 codec towards backends (`sluice-integrate`).
#[path = "../../../data-plane/integrate/src/chunked.rs"]
pub(crate) mod chunked;
#[path = "../../../data-plane/integrate/src/fault.rs"]
pub(crate) mod fault;
#[path = "../../../data-plane/integrate/src/fields.rs"]
pub(crate) mod fields;
#[path = "../../../data-plane/integrate/src/response.rs"]
pub(crate) mod response;

// The text of a join token (`sluice-identity`).
#[path = "../../../common/identity/src/join_token/text.rs"]
pub(crate) mod token_text;

// What settings are made of (`sluice-settings`).
#[path = "../../../common/settings/src/quantity.rs"]
pub(crate) mod quantity;
#[path = "../../../common/settings/src/table.rs"]
pub(crate) mod table;

// Keys by CSV, and patches of documents (`sluice-admin`).
#[path = "../../../control-plane/admin/src/keys/csv.rs"]
pub(crate) mod key_csv;
#[path = "../../../control-plane/admin/src/nearest.rs"]
pub(crate) mod nearest;
#[path = "../../../control-plane/admin/src/patch/mod.rs"]
pub(crate) mod patch;
#[path = "../../../control-plane/admin/src/schema.rs"]
pub(crate) mod schema;

// What a data node holds of the configuration, and the records of its last-good files (`sluice-follow`).
#[path = "../../../data-plane/follow/src/holding.rs"]
pub(crate) mod holding;
#[path = "../../../data-plane/follow/src/record.rs"]
pub(crate) mod record;
#[path = "../../../data-plane/follow/src/row_store.rs"]
pub(crate) mod row_store;

// PROXY headers (`sluice-data`).
#[path = "../../../data-plane/server/src/entry/proxy_protocol.rs"]
pub(crate) mod proxy_protocol;
