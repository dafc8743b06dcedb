//! What a node counts about its requests: per core, per API and stage, read when someone scrapes.
//!
//! Promise: counting is a load, an add and a store on memory that only this core writes; nothing on a request's way is
//! shared or locked. Absent: rates and percentiles; whoever scrapes works them out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_integrate::FaultKind;

use crate::bound::{BOUNDS, Bound};

/// Stages that a core counts by name; what comes later is counted as unrouted.
pub const STAGES_TALLIED_MAX: usize = 20_000;

/// Upper bounds of the latency histograms' buckets, seconds.
pub const LATENCY_BOUNDS_S: [f64; 17] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The same bounds in nanoseconds.
const BOUNDS_NS: [u64; 17] = {
    let mut bounds = [0; 17];
    let mut i = 0;
    while i < 17 {
        bounds[i] = (LATENCY_BOUNDS_S[i] * 1e9) as u64;
        i += 1;
    }
    bounds
};

/// A number that one thread raises and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. INVARIANT: only the core that owns this count calls it; that is why no locked instruction is needed.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Moves to a total that was counted elsewhere on the same core.
    pub fn set(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A response was sent, or begun, with this status.
    Answered(http::StatusCode),
    /// The client was gone before there was one.
    HungUp,
}

/// The label of each ending, in the order in which they are counted.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "hung_up"];

impl Ending {
    fn class(self) -> usize {
        match self {
            Self::Answered(status) => usize::from(status.as_u16() / 100).clamp(1, 5) - 1,
            Self::HungUp => 5,
        }
    }
}

/// Times by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Count; BOUNDS_NS.len() + 1],
    sum_ns: Count,
}

impl Histogram {
    /// Counts one time.
    pub fn record(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_NS.partition_point(|bound| *bound < ns)].add(1);
        self.sum_ns.add(ns);
    }
}

/// What one core counts for one stage.
#[derive(Debug, Default)]
pub struct StageTally {
    endings: [Count; CLASSES.len()],
    latency: Histogram,
    integration: Histogram,
}

impl StageTally {
    /// Counts a request that ended after `time`.
    pub fn end(&self, ending: Ending, time: Duration) {
        self.endings[ending.class()].add(1);
        self.latency.record(time);
    }

    /// Counts the time from the call of an integration until its answer began.
    pub fn integrated(&self, time: Duration) {
        self.integration.record(time);
    }
}

/// Which limit refused a request or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottledBy {
    /// A usage plan.
    Plan,
    /// The stage's limit on the method.
    Method,
    /// The rate of connections of one address.
    Connection,
}

/// The label of each, in the order in which they are counted.
pub const THROTTLED_BY: [&str; 3] = ["plan", "method", "connection"];

/// Names a stage: API id, stage name.
pub type StageName = (Arc<str>, Arc<str>);

/// What one core counts.
#[derive(Debug, Default)]
pub struct CoreTally {
    /// Requests that reached no stage.
    pub unrouted: Arc<StageTally>,
    /// Requests that ended in a panic of this program.
    pub panics: Count,
    /// Connections accepted.
    pub accepted: Count,
    /// Connections closed.
    pub closed: Count,
    /// Times that an idle connection was laid to rest.
    pub rests: Count,
    /// Times that one was woken, or ended.
    pub wakes: Count,
    /// Connections refused by a bound of this node.
    pub refused: Count,
    /// Connections accepted here and handed to another core.
    pub handed: Count,
    /// TLS handshakes that were done.
    pub handshakes: Count,
    /// TLS handshakes that failed.
    pub handshakes_failed: Count,
    /// Connections of trusted proxies that did not begin with a PROXY header.
    pub proxy_headers_failed: Count,
    /// Connections made to backends.
    pub upstream_opened: Count,
    /// Calls of backends sent again because a kept connection had died.
    pub upstream_retried: Count,
    throttled: [Count; THROTTLED_BY.len()],
    bounds: [Count; BOUNDS.len()],
    faults: [Count; FaultKind::ALL.len()],
    stages: Mutex<BTreeMap<StageName, Arc<StageTally>>>,
}

impl CoreTally {
    /// Counts a refusal by a limit.
    pub fn throttled(&self, by: ThrottledBy) {
        self.throttled[by as usize].add(1);
    }

    /// Refusals so far, in the order of [`THROTTLED_BY`].
    pub fn throttled_counts(&self) -> [u64; THROTTLED_BY.len()] {
        std::array::from_fn(|by| self.throttled[by].get())
    }

    /// Counts that a bound was hit.
    pub fn hit(&self, bound: Bound) {
        self.bounds[bound as usize].add(1);
    }

    /// Moves to how often a bound was hit, as it was counted elsewhere on the same core.
    pub fn set_hits(&self, bound: Bound, total: u64) {
        self.bounds[bound as usize].set(total);
    }

    /// Bounds hit so far, in the order of [`BOUNDS`].
    pub fn bound_counts(&self) -> [u64; BOUNDS.len()] {
        std::array::from_fn(|bound| self.bounds[bound].get())
    }

    /// Moves to how often calls of integrations failed so, as it was counted elsewhere on the same core.
    pub fn set_faults(&self, kind: FaultKind, total: u64) {
        self.faults[kind as usize].set(total);
    }

    /// Failed calls of integrations so far, in the order of [`FaultKind::ALL`].
    pub fn fault_counts(&self) -> [u64; FaultKind::ALL.len()] {
        std::array::from_fn(|kind| self.faults[kind].get())
    }

    /// The counts of a stage; made when first asked for. Takes a lock: hold on to the answer.
    pub fn stage(&self, name: &StageName) -> Arc<StageTally> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = stages.get(name) {
            return Arc::clone(found);
        }
        if stages.len() >= STAGES_TALLIED_MAX {
            self.hit(Bound::Stages);
            return Arc::clone(&self.unrouted);
        }
        Arc::clone(stages.entry(name.clone()).or_default())
    }
}

/// The sum of several cores' counts.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// Requests by [`CLASSES`].
    pub endings: [u64; CLASSES.len()],
    /// Times of whole requests.
    pub latency: Times,
    /// Times of integrations, from the call to the head of the answer.
    pub integration: Times,
}

/// A histogram as it is read.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Times {
    /// Requests by bucket of [`LATENCY_BOUNDS_S`], not cumulative; the last is for all above.
    pub buckets: [u64; BOUNDS_NS.len() + 1],
    /// Sum of all times, nanoseconds.
    pub sum_ns: u64,
}

impl Times {
    fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += count.get();
        }
        self.sum_ns += histogram.sum_ns.get();
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Summary {
    fn add(&mut self, tally: &StageTally) {
        for (sum, count) in self.endings.iter_mut().zip(&tally.endings) {
            *sum += count.get();
        }
        self.latency.add(&tally.latency);
        self.integration.add(&tally.integration);
    }
}

/// Sums up all cores, stage by stage; `None` holds what reached no stage.
pub fn summarise<'a>(cores: impl IntoIterator<Item = &'a Arc<CoreTally>>) -> BTreeMap<Option<StageName>, Summary> {
    let mut sums = BTreeMap::<_, Summary>::new();
    for core in cores {
        sums.entry(None).or_default().add(&core.unrouted);
        let stages = core.stages.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tally) in stages.iter() {
            sums.entry(Some(name.clone())).or_default().add(tally);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_summed_by_stage() {
        let cores = [Arc::new(CoreTally::default()), Arc::new(CoreTally::default())];
        let name: StageName = ("abc".into(), "dev".into());
        for core in &cores {
            core.stage(&name).end(Ending::Answered(http::StatusCode::OK), Duration::from_millis(3));
            core.unrouted.end(Ending::HungUp, Duration::ZERO);
        }
        let sums = summarise(&cores);
        assert_eq!(sums[&Some(name.clone())].endings, [0, 2, 0, 0, 0, 0]);
        assert_eq!(sums[&Some(name.clone())].latency.buckets[5], 2);
        assert_eq!(sums[&Some(name)].latency.sum_ns, 6_000_000);
        assert_eq!(sums[&None].endings, [0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn a_time_on_a_bound_is_counted_within_it() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));
        histogram.record(Duration::from_secs(31));
        let mut times = Times::default();
        times.add(&histogram);
        assert_eq!((times.buckets[3], times.buckets[17], times.count()), (1, 1, 2));
    }
}
