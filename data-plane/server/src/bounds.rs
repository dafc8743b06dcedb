//! The bounds that were hit on a node's traffic cores, and on what those share, as the metrics show them.
//!
//! Promise: nothing is counted here; the counts of cores are summed up when someone asks. Absent: bounds off the cores,
//! which are counted where they are.

use std::sync::Arc;

use sluice_pipeline::AddressRate;
use sluice_pipeline::limits::Buckets;
use sluice_pipeline::tally::CoreTally;
use sluice_telemetry::{Counter, Metrics, bound, metric};

/// The counters of a node.
pub(crate) struct BoundCounters {
    /// In the order of `BOUNDS`.
    cores: Vec<Counter>,
    buckets: Counter,
    addresses: Counter,
}

impl BoundCounters {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let counter = |kind| metrics.counter(&metric::BOUNDS_HIT, &[kind]);
        Self {
            cores: bound::CORES.iter().map(|kind| counter(kind)).collect(),
            buckets: counter(bound::BUCKETS),
            addresses: counter(bound::ADDRESSES),
        }
    }

    /// Brings the counters to what was counted.
    pub(crate) fn update(&self, cores: &[Arc<CoreTally>], buckets: &Buckets, addresses: &AddressRate) {
        for (at, counter) in self.cores.iter().enumerate() {
            counter.absolute(cores.iter().map(|core| core.bound_counts()[at]).sum());
        }
        self.buckets.absolute(buckets.refused());
        self.addresses.absolute(addresses.unlimited());
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Instant;

    use sluice_pipeline::{BOUNDS, Bound};

    use super::*;

    #[test]
    fn what_cores_count_is_what_the_metrics_name() {
        assert_eq!(bound::CORES, BOUNDS);
    }

    #[test]
    fn cores_are_summed_up_and_bounds_that_were_not_hit_are_shown_too() {
        let metrics = Metrics::new();
        let counters = BoundCounters::register(&metrics);
        let cores = [Arc::new(CoreTally::default()), Arc::new(CoreTally::default())];
        cores[0].hit(Bound::HeadBytes);
        cores[1].hit(Bound::HeadBytes);
        cores[1].set_hits(Bound::UpstreamIdle, 7);
        let rate = AddressRate::new(NonZeroU32::MIN, NonZeroU32::MIN);
        for _ in 0..2 {
            counters.update(&cores, &Buckets::new(Instant::now()), &rate);
        }
        let page = metrics.render();
        for line in ["head_bytes\"} 2", "upstream_idle\"} 7", "connections\"} 0", "buckets\"} 0", "addresses\"} 0"] {
            let line = format!("sluice_bounds_hit_total{{kind=\"{line}");
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
