//! Generates the gRPC stubs over the messages of `sluice-proto`, and the descriptors that server reflection shows.

use std::{io::Result, path::Path};

use prost::Message as _;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let services = [
        "admin/v1/backup",
        "admin/v1/config",
        "admin/v1/api",
        "admin/v1/key",
        "admin/v1/fleet",
        "admin/v1/cluster",
        "admin/v1/operator",
        "admin/v1/audit",
        "admin/v1/error",
        "raft/v1/peer",
        "sync/v1/sync",
    ];
    let files = services.map(|name| root.join(format!("sluice/{name}.proto")));
    let descriptors = protox::compile(files, [&root]).map_err(std::io::Error::other)?;
    let out = std::path::PathBuf::from(
        std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("cargo sets OUT_DIR"))?,
    );
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".sluice.model.v1", "::sluice_proto::model")
        .extern_path(".sluice.admin.v1", "::sluice_proto::admin")
        .extern_path(".sluice.raft.v1", "::sluice_proto::raft")
        .extern_path(".sluice.sync.v1", "::sluice_proto::sync")
        .compile_fds(descriptors)
}
