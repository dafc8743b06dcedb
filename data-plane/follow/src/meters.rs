//! What following tells the metrics.

use sluice_telemetry::{Counter, Gauge, Metrics, bound, metric};

/// The handles of one node.
#[derive(Debug)]
pub(crate) struct Meters {
    /// 1 while a control node is followed.
    pub(crate) connected: Gauge,
    /// Control nodes lost or not reached.
    pub(crate) lost: Counter,
    /// Work that found the compiling thread's queue full.
    pub(crate) queue_full: Counter,
    /// Messages for which a control node that does not read left no room.
    pub(crate) outgoing_full: Counter,
}

impl Meters {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let hit = |kind| metrics.counter(&metric::BOUNDS_HIT, &[kind]);
        Self {
            connected: metrics.gauge(&metric::FOLLOW_CONNECTED, &[]),
            lost: metrics.counter(&metric::FOLLOW_LOST, &[]),
            queue_full: hit(bound::FOLLOW_QUEUE),
            outgoing_full: hit(bound::FOLLOW_OUTGOING),
        }
    }
}
