//! The protobuf messages of Sluice: documents, commands and what travels between nodes.
//!
//! Promise: documents (`model`) are the only form of configuration on wire, log and disk, and, through serde, in files and
//! on the command line; unknown JSON fields are refused there. Absent: gRPC stubs (`sluice-rpc`), checks (`sluice-model`).

#![expect(missing_docs, reason = "generated; the docs are the comments of the .proto files")]
#![expect(clippy::large_enum_variant, reason = "generated; a message lives for one call")]

/// The packages, nested as generated code refers to them.
mod sluice {
    pub(crate) mod model {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sluice.model.v1.rs"));
        }
    }
    pub(crate) mod admin {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sluice.admin.v1.rs"));
        }
    }
    pub(crate) mod raft {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sluice.raft.v1.rs"));
        }
    }
    pub(crate) mod sync {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sluice.sync.v1.rs"));
        }
    }
}

pub use sluice::{admin::v1 as admin, model::v1 as model, raft::v1 as raft, sync::v1 as sync};

/// The compiled `.proto` files: what fields messages have.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Whether a plain number or flag holds the value that protobuf does not send.
fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
