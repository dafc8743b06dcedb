//! The configuration as one core sees it: a pinned snapshot, with the core's own things beside each stage.
//!
//! Promise: a request pins one view for its life, and pinning costs one load and one count that no other core touches;
//! the snapshot's own count is touched once per change and core. Absent: where snapshots come from.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use sluice_compile::{CompiledStage, Snapshot};

use crate::tally::{CoreTally, StageTally};

/// What is served at one moment.
#[derive(Debug, Clone)]
pub struct Served {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Under what API keys are hashed to be found.
    pub lookup_key: [u8; 32],
}

/// Where a core finds the configuration that counts now.
pub trait SnapshotSource: Send + Sync {
    /// A number that differs whenever `load` would answer otherwise. Asked once per request: one load.
    fn version(&self) -> u64;

    /// What is served; `None` before there is anything.
    fn load(&self) -> Option<Served>;
}

/// A pinned configuration.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) lookup_key: [u8; 32],
    /// By address of the stage, which stays what it is while the snapshot is held.
    seats: RefCell<AHashMap<usize, Rc<StageSeat>>>,
}

/// A core's own things of one stage.
#[derive(Debug)]
pub(crate) struct StageSeat {
    tally: Arc<StageTally>,
}

impl StageSeat {
    pub(crate) fn tally(&self) -> &StageTally {
        &self.tally
    }
}

impl View {
    fn new(served: Served) -> Self {
        Self { snapshot: served.snapshot, lookup_key: served.lookup_key, seats: RefCell::default() }
    }

    /// The core's things of `stage`, which is a stage of this snapshot.
    pub(crate) fn seat(&self, stage: &Arc<CompiledStage>, tally: &CoreTally) -> Rc<StageSeat> {
        let seat = || {
            let name = (Arc::clone(&stage.api_id), Arc::clone(&stage.name));
            Rc::new(StageSeat { tally: tally.stage(&name) })
        };
        Rc::clone(self.seats.borrow_mut().entry(Arc::as_ptr(stage).addr()).or_insert_with(seat))
    }
}

/// The view that a core uses now, renewed when the source has another version.
pub(crate) struct Pin {
    source: Arc<dyn SnapshotSource>,
    version: Cell<Option<u64>>,
    view: RefCell<Option<Rc<View>>>,
}

impl Pin {
    pub(crate) fn new(source: Arc<dyn SnapshotSource>) -> Self {
        Self { source, version: Cell::new(None), view: RefCell::new(None) }
    }

    /// The newest view; also lets go of the one before.
    pub(crate) fn view(&self) -> Option<Rc<View>> {
        // The version is read first: if the snapshot changes in between, the next request looks again.
        let version = self.source.version();
        if self.version.get() != Some(version) {
            *self.view.borrow_mut() = self.source.load().map(|served| Rc::new(View::new(served)));
            self.version.set(Some(version));
        }
        self.view.borrow().clone()
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pin").field("version", &self.version).finish_non_exhaustive()
    }
}
