//! The consensus of the control plane: openraft over gRPC, with its log and the replicated state in RocksDB.
//!
//! Promise: what is acknowledged is on the disks of a majority; every node applies the same commands in the same order;
//! a view is the state after whole batches and never changes. No other crate knows openraft or RocksDB.
//! Absent: what commands mean (`sluice-state`), who may give them (`sluice-admin`), channels (`sluice-identity`).

mod damage;
mod disk;
mod durable;
mod fail;
mod failure;
mod history;
mod log;
mod machine;
mod mark;
mod meters;
mod network;
mod raft;
mod rewind;
mod service;
mod settings;
mod states;
mod store;
#[cfg(test)]
mod suite;
mod types;

pub use disk::Shortage;
pub use fail::FailPoints;
pub use failure::{ProposeFailure, RaftFailure, ReadFailure, RewindFailure};
pub use raft::{Astray, Leadership, LogPositions, MemberStatus, Proposed, Raft};
pub use rewind::{HistoryWindow, Moment, RewindTo};
pub use service::RaftService;
pub use settings::RaftSettings;
pub use store::StoreSnapshot;
