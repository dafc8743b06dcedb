//! What a node of Raft is told when it starts.

use std::{path::PathBuf, time::Duration};

use openraft::{Config, SnapshotPolicy};

use crate::{FailPoints, RaftFailure};

/// Sending, receiving and installing a state; beyond that it begins again.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

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
    /// Where a test ends this node. Default: nowhere.
    pub fail_points: FailPoints,
    /// Bytes of log, about, from which earlier states can be made again; 0 keeps none. Default: 256 MiB.
    pub history_log_bytes: u64,
    /// Free disk below which changes are refused, in bytes; 0 for none. Default: 256 MiB.
    pub disk_reserve_bytes: u64,
    /// What is added to the system's clock before others hear of it, in milliseconds: for tests. Default: 0.
    pub clock_skew_ms: i64,
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
            fail_points: FailPoints::default(),
            history_log_bytes: 256 << 20,
            disk_reserve_bytes: 256 << 20,
            clock_skew_ms: 0,
        }
    }

    /// Whether the times agree with each other, before anything is made on disk.
    ///
    /// # Errors
    /// `Settings` with what contradicts what.
    pub fn check(&self) -> Result<(), RaftFailure> {
        self.config().map(drop)
    }

    /// What openraft is told.
    pub(crate) fn config(&self) -> Result<Config, RaftFailure> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: self.cluster_id.clone(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            install_snapshot_timeout: ms(SNAPSHOT_TIMEOUT),
            max_payload_entries: 1024,
            // By bytes and time (`upkeep`): openraft counts entries.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.kept_log_entries,
            enable_pre_vote: Some(true),
            // The state may be behind the log after a power cut: a restarted leader is elected before it answers.
            enable_leader_restore: Some(false),
            backoff: "50ms 100ms 200ms ...500ms".to_owned(),
            ..Config::default()
        };
        config.validate().map_err(|error| RaftFailure::Settings { problem: error.to_string() })
    }
}
