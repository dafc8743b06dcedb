//! gRPC clients and servers over the messages of `sluice-proto`, generated.
//!
//! The only generated crate that knows tonic. Channels and listeners are made in `sluice-identity`.

/// The admin API: what operators call.
pub mod admin {
    tonic::include_proto!("sluice.admin.v1");
}

/// Calls between control nodes.
pub mod raft {
    tonic::include_proto!("sluice.raft.v1");
}

/// The config stream.
pub mod sync {
    tonic::include_proto!("sluice.sync.v1");
}

/// The compiled `.proto` files, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
