//! Where a node's log stands.

use openraft::async_runtime::WatchReceiver;

use super::Raft;

/// Indexes of a node's log; none where there is nothing yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPositions {
    /// The last entry that was appended here.
    pub last: Option<u64>,
    /// The last entry that this node knows to be committed.
    pub committed: Option<u64>,
    /// The last entry applied here.
    pub applied: Option<u64>,
    /// The last entry that is part of the newest snapshot here.
    pub snapshot: Option<u64>,
    /// The last entry that is no longer in the log here.
    pub purged: Option<u64>,
}

impl Raft {
    /// Where this node's log stands.
    pub fn log_positions(&self) -> LogPositions {
        let metrics = self.inner.core.metrics();
        let metrics = metrics.borrow_watched();
        LogPositions {
            last: metrics.last_log_index,
            committed: metrics.cluster_committed.as_ref().map(|id| id.index),
            applied: self.applied_index(),
            snapshot: metrics.snapshot.as_ref().map(|id| id.index),
            purged: metrics.purged.as_ref().map(|id| id.index),
        }
    }

    /// The index of the last entry applied on this node.
    pub fn applied_index(&self) -> Option<u64> {
        *self.inner.states.applied().borrow()
    }
}
