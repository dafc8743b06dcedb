//! The consensus of the control plane: openraft over gRPC, with its log and the replicated state in RocksDB.

mod durable;
mod failure;
mod log;
mod machine;
mod settings;
mod shim;
mod states;
mod store;
#[cfg(test)]
mod suite;
mod types;

pub use failure::{ProposeFailure, RaftFailure, ReadFailure};
pub use settings::RaftSettings;
pub use store::StoreSnapshot;
