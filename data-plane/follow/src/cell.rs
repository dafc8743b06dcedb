//! The place from which traffic cores take the snapshot that counts.
//!
//! Promise: asking whether there is a newer one is one load; a core that holds an old one is never waited for. The publisher
//! keeps what it replaced until no one else has it, so that the memory of a snapshot is freed on its thread, never on a
//! core: a core that is idle should ask now and then, else it keeps what it saw last.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use sluice_compile::Snapshot;

/// What is served at one moment.
#[derive(Clone)]
pub struct Served {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Under what API keys are hashed to be found.
    pub lookup_key: [u8; 32],
}

impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Served").field("revision", &self.snapshot.revision).finish_non_exhaustive()
    }
}

/// Holds what is served. Clones share it.
#[derive(Clone, Default)]
pub struct SnapshotCell {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Raised after each swap.
    version: AtomicU64,
    served: ArcSwapOption<Served>,
}

impl fmt::Debug for SnapshotCell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SnapshotCell").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl SnapshotCell {
    /// Returns a number that differs whenever `load` would answer otherwise; 0 before there is anything.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Returns what is served; `None` before there is anything.
    pub fn load(&self) -> Option<Served> {
        self.shared.served.load().as_deref().cloned()
    }
}

/// The one writer of a cell.
#[derive(Debug)]
pub(crate) struct Publisher {
    cell: SnapshotCell,
    /// Replaced and still held by someone else when last looked at.
    retired: Vec<Arc<Snapshot>>,
}

impl Publisher {
    pub(crate) fn new(cell: SnapshotCell) -> Self {
        Self { cell, retired: Vec::new() }
    }

    pub(crate) fn publish(&mut self, served: Served) {
        let before = self.cell.shared.served.swap(Some(Arc::new(served)));
        self.cell.shared.version.fetch_add(1, Ordering::Release);
        self.retired.extend(before.map(|before| before.snapshot.clone()));
        self.collect();
    }

    /// Drops what only this publisher still has.
    pub(crate) fn collect(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// How many replaced snapshots someone still holds.
    #[cfg(test)]
    pub(crate) fn retired(&self) -> usize {
        self.retired.len()
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Revision;

    use super::*;

    fn served(number: u64) -> Served {
        Served { snapshot: Arc::new(Snapshot::empty(Revision::new("g", number))), lookup_key: [1; 32] }
    }

    #[test]
    fn a_new_snapshot_has_a_new_version() {
        let cell = SnapshotCell::default();
        let mut publisher = Publisher::new(cell.clone());
        assert!(cell.load().is_none() && cell.version() == 0);
        for number in 1..4 {
            publisher.publish(served(number));
            assert_eq!((cell.version(), cell.load().unwrap().snapshot.revision.number), (number, number));
        }
    }

    #[test]
    fn the_publisher_drops_a_replaced_snapshot_after_its_last_reader() {
        let cell = SnapshotCell::default();
        let mut publisher = Publisher::new(cell.clone());
        publisher.publish(served(1));
        let reader = cell.load().unwrap();
        let weak = Arc::downgrade(&reader.snapshot);
        publisher.publish(served(2));
        publisher.publish(served(3));
        assert_eq!(publisher.retired(), 1);
        drop(reader);
        assert!(weak.upgrade().is_some(), "a reader's drop frees nothing");
        publisher.collect();
        assert!(weak.upgrade().is_none());
    }
}
