//! What a follower is told when it is started.

use std::path::PathBuf;

/// Settings of following.
#[derive(Debug, Clone)]
pub struct FollowSettings {
    /// Folder of the last-good copy and its key; made if it is missing.
    pub data_dir: PathBuf,
    /// Control nodes to begin with, `HOST:PORT` of their gRPC for data nodes; more are learned from them.
    pub control: Vec<String>,
    /// The cluster this node belongs to.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: String,
    /// Where clients reach this node, `HOST:PORT`; shown in the fleet view.
    pub address: String,
    /// The release.
    pub version: String,
    /// A fail point: compiling panics over rows that hold this text. None: no row does.
    pub fail_compile: Option<String>,
}
