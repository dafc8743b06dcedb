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

// What a data node holds of the configuration, and the records of its last-good files (`sluice-follow`).
#[path = "../../../data-plane/follow/src/holding.rs"]
pub(crate) mod holding;
#[path = "../../../data-plane/follow/src/record.rs"]
pub(crate) mod record;
#[path = "../../../data-plane/follow/src/row_store.rs"]
pub(crate) mod row_store;
