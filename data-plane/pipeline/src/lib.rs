//! The journey of a request through a data node, a file per phase:
//! `route → guard → authorize → admit → validate → map_request → integrate → map_response`.
//!
//! Promise: each phase takes the proof of the one before by value, so that none can be left out; only `respond` turns a
//! fault into bytes; a request pins one snapshot for its life; nothing on its way is shared between cores but read-only
//! data and the words of the rate limits. Absent: sockets (`sluice-data`), backends (`sluice-integrate`), compiling
//! (`sluice-compile`).

mod address;
mod address_connections;
mod address_rate;
mod answer_body;
mod bound;
mod client;
mod core;
mod exchange;
mod fault;
mod gateway;
mod journey;
pub mod limits;
mod phase;
mod received;
mod request_id;
pub mod tally;
mod time;
mod values;
mod view;

mod route;

mod guard;

mod authorize;

mod admit;

mod validate;

mod map_request;

mod integrate;

mod map_response;

mod respond;

pub use address::PathAddresses;
pub use address_connections::{AddressConnections, AddressSeat};
pub use address_rate::{ADDRESSES_MAX, AddressRate};
pub use answer_body::AnswerBody;
pub use bound::{BOUNDS, Bound};
pub use client::{NotANetwork, TrustedProxies};
pub use core::GatewaySettings;
pub use gateway::{Connection, Gateway, Parts, Scheme};
pub use received::{BODY_BYTES_MAX, HEADER_VALUE_BYTES_MAX, TARGET_BYTES_MAX};
pub use view::{Served, SnapshotSource};
