//! What a node counts of its Raft: proposals, elections, and the log's writes.
//!
//! Promise: counting is an atomic or two, never a lock. Absent: where the log stands, which is read when someone asks
//! (`Raft::log_positions`).

use std::time::Duration;

use sluice_telemetry::{Counter, Gauge, Histogram, Metrics, bound, metric};

use crate::{ProposeFailure, raft::Proposed};

/// The counts of one node.
#[derive(Clone)]
pub(crate) struct Meters {
    pub(crate) log: LogMeters,
    pub(crate) elections: Counter,
    in_flight: Gauge,
    applied: Counter,
    not_leader: Counter,
    timeout: Counter,
    too_large: Counter,
    disk_full: Counter,
    level: Counter,
    stopped: Counter,
}

/// Those of the log.
#[derive(Clone)]
pub(crate) struct LogMeters {
    sync_seconds: Histogram,
    synced_writes: Counter,
    synced_bytes: Counter,
    /// Writes that found the queue full.
    pub(crate) queue_full: Counter,
}

/// A proposal under way; dropping it ends that.
pub(crate) struct InFlight(Gauge);

impl Meters {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let proposals = |fate| metrics.counter(&metric::RAFT_PROPOSALS, &[fate]);
        Self {
            log: LogMeters::register(metrics),
            elections: metrics.counter(&metric::RAFT_ELECTIONS, &[]),
            in_flight: metrics.gauge(&metric::RAFT_PROPOSALS_IN_FLIGHT, &[]),
            applied: proposals("applied"),
            not_leader: proposals("not_leader"),
            timeout: proposals("timeout"),
            too_large: proposals("too_large"),
            disk_full: proposals("disk_full"),
            level: proposals("level"),
            stopped: proposals("stopped"),
        }
    }

    /// A proposal begins.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.increment(1.0);
        InFlight(self.in_flight.clone())
    }

    /// A proposal has ended so.
    pub(crate) fn proposed(&self, outcome: &Result<Proposed, ProposeFailure>) {
        let fate = match outcome {
            Ok(_) => &self.applied,
            Err(ProposeFailure::NotLeader { .. }) => &self.not_leader,
            Err(ProposeFailure::Timeout) => &self.timeout,
            Err(ProposeFailure::TooLarge { .. }) => &self.too_large,
            Err(ProposeFailure::DiskFull { .. }) => &self.disk_full,
            Err(ProposeFailure::Level { .. }) => &self.level,
            Err(ProposeFailure::Stopped) => &self.stopped,
        };
        fate.increment(1);
    }
}

impl LogMeters {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            sync_seconds: metrics.histogram(&metric::RAFT_SYNC_SECONDS, &[]),
            synced_writes: metrics.counter(&metric::RAFT_SYNCED_WRITES, &[]),
            synced_bytes: metrics.counter(&metric::RAFT_SYNCED_BYTES, &[]),
            queue_full: metrics.counter(&metric::BOUNDS_HIT, &[bound::LOG_QUEUE]),
        }
    }

    /// So many writes reached the disk with one sync.
    pub(crate) fn synced(&self, writes: usize, bytes: usize, time: Duration) {
        self.sync_seconds.record(time.as_secs_f64());
        self.synced_writes.increment(writes as u64);
        self.synced_bytes.increment(bytes as u64);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
