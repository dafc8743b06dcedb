//! The admin gRPC services: check, dry compile, propose; one file per noun.
//!
//! Promise: what is proposed was checked, compiled where it is to be served, and holds the versions that it relies on;
//! every refusal names the field, the reason and the fix; a request id makes any call safe to repeat. Absent: storage
//! and consensus (`sluice-raft`), what changes of rows mean (`sluice-state`), who may call (`sluice-identity`).

mod admin;
mod apis;
mod audit;
mod backups;
mod call;
mod cluster;
mod commit;
mod compiler;
mod config;
mod contents;
mod files;
mod fleet;
mod forward;
mod ids;
mod imports;
mod keys;
mod member;
mod nearest;
mod noun;
mod operators;
mod patch;
mod plan;
mod propose;
mod read;
mod refused;
mod replica;
mod rotation;
mod schema;
mod secrets;
mod services;
#[cfg(test)]
mod stale_tests;
mod succession;
#[cfg(test)]
mod testing;

pub use audit::{AuditLayer, Audited};
pub use fleet::{Sessions, Wanted};
pub use forward::{Forward, ForwardLayer, PeerCalls};
pub use operators::{KnownOperators, NewcomerLayer, Newcomers};
pub use refused::{Reason, Refused};
pub use services::{AdminSettings, Services};
