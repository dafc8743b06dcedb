//! The consensus of the control plane: openraft over gRPC, with its log and the replicated state in RocksDB.

mod durable;
mod failure;
mod log;
mod machine;
mod network;
mod raft;
mod service;
mod settings;
mod states;
mod store;
#[cfg(test)]
mod suite;
mod types;

pub use failure::{ProposeFailure, RaftFailure, ReadFailure};
pub use raft::{Leadership, MemberStatus, Proposed, Raft};
pub use service::RaftService;
pub use settings::RaftSettings;
pub use store::StoreSnapshot;
