//! What a node of Raft is told when it starts.

use std::{path::PathBuf, time::Duration};

/// Settings of Raft on one control node.
#[derive(Debug, Clone)]
pub struct RaftSettings {
    /// Folder of the node; Raft keeps `raft/` in it.
    pub data_dir: PathBuf,
    /// Raft's number of this node, from 1 up; never used again for another node or another disk.
    pub raft_id: u64,
    /// The cluster that this node belongs to; a folder of another cluster is refused.
    pub cluster_id: String,
    /// `HOST:PORT` at which other control nodes reach this one (7101).
    pub advertise: String,
    /// Time between two heartbeats of a leader. Default: 100 ms.
    pub heartbeat: Duration,
    /// Shortest time without a leader before an election. Default: 600 ms.
    pub election_min: Duration,
    /// Longest time without a leader before an election. Default: 1,200 ms.
    pub election_max: Duration,
    /// Bytes of log after which a snapshot is taken and the log before it dropped. Default: 64 MiB.
    pub snapshot_log_bytes: u64,
    /// Time after which a snapshot is taken if anything was applied since the last. Default: 10 minutes.
    pub snapshot_interval: Duration,
    /// Entries of log kept behind a snapshot, for followers that are only a little late. Default: 256.
    pub kept_log_entries: u64,
}

impl RaftSettings {
    /// The defaults, for a node that is who it is.
    pub fn new(data_dir: PathBuf, raft_id: u64, cluster_id: String, advertise: String) -> Self {
        Self {
            data_dir,
            raft_id,
            cluster_id,
            advertise,
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1_200),
            snapshot_log_bytes: 64 << 20,
            snapshot_interval: Duration::from_secs(600),
            kept_log_entries: 256,
        }
    }
}
