//! Entries of refused calls, on their way into the audit trail.
//!
//! Promise: whoever calls, a node proposes at most one command of at most 32 entries every two seconds; equal calls are one
//! entry with their number, and what is too much is counted and shown with the next entry. Absent: durability: what waits
//! when the node stops is gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sluice_model::limits::RECORDED_CALLS_MAX;
use sluice_proto::raft::{AuditEntry, Stamp};
use sluice_telemetry::{Counter, Metrics, bound, metric};
use tokio::sync::Notify;
use tracing::debug;

use super::record;
use crate::{
    propose::{self, now_ms},
    replica::Replica,
};

/// How long entries are collected before they are proposed.
const COLLECT: Duration = Duration::from_secs(2);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Collects entries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    waiting: Arc<Mutex<Waiting>>,
    some: Arc<Notify>,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By what equal calls have in common.
    entries: BTreeMap<Likeness, AuditEntry>,
    /// Calls that nothing is kept of.
    dropped: u64,
}

/// What equal calls have in common: the caller without its port, the method and what became of it.
type Likeness = (String, String, String, String);

fn likeness(entry: &AuditEntry) -> Likeness {
    let call = entry.call.clone().unwrap_or_default();
    let host = call.address.rsplit_once(':').map_or(call.address.as_str(), |(host, _)| host);
    (entry.actor.clone(), host.to_owned(), call.method, entry.outcome.clone())
}

impl Recorder {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let lost = metrics.counter(&metric::BOUNDS_HIT, &[bound::REFUSED_CALLS]);
        Self { waiting: Arc::default(), some: Arc::default(), lost }
    }

    /// Takes an entry; never waits.
    pub(crate) fn take(&self, entry: AuditEntry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.entries.len() < RECORDED_CALLS_MAX;
        match waiting.entries.get_mut(&likeness(&entry)) {
            Some(same) => {
                same.count = same.count.max(1) + 1;
                same.time_ms = entry.time_ms;
            }
            None if has_room => {
                waiting.entries.insert(likeness(&entry), entry);
            }
            None => {
                waiting.dropped += 1;
                self.lost.increment(1);
            }
        }
        self.some.notify_one();
    }

    /// Proposes what waits, until it is dropped.
    pub(crate) async fn write<R: Replica>(self, replica: R, node_id: String) {
        loop {
            self.some.notified().await;
            tokio::time::sleep(COLLECT).await;
            let Some(entries) = self.collected() else { continue };
            let count = entries.len() as u64;
            let time_ms = now_ms(replica.view().stamp());
            let stamp = Stamp { actor: format!("node:{node_id}"), time_ms, ..Stamp::default() };
            let proposed = propose::anywhere(&replica, record(stamp, entries), Instant::now() + PROPOSE_TIMEOUT).await;
            if let Err(refused) = proposed {
                debug!(reason = %refused.message, "refused calls were not recorded");
                self.lost.increment(count);
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).dropped += count;
            }
        }
    }

    /// What waits, in the order of time.
    pub(super) fn collected(&self) -> Option<Vec<AuditEntry>> {
        let Waiting { entries, dropped } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut entries: Vec<_> = entries.into_values().collect();
        entries.sort_by_key(|entry| entry.time_ms);
        let first = entries.first_mut()?;
        first.dropped = dropped;
        Some(entries)
    }
}
