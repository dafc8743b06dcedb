//! Which state is the current one, its newest checkpoint, and how far both have come.
//!
//! Promise: readers get the state as it is after whole batches, and keep it however it is replaced; the newest
//! checkpoint never goes back. Absent: applying (`machine`).

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use sluice_state::View;
use tokio::sync::watch;

use crate::{
    RaftFailure,
    fail::Point,
    log::Growth,
    store::{Applied, StateStore, StoreSnapshot, checkpoint::StateCheckpoint, folders::Folders, image::ImageWriter},
};

/// The state of one node. Shared by the state machine, readers and the peer service.
pub(crate) struct States {
    folders: Folders,
    current: RwLock<Arc<StateStore>>,
    checkpoint: Mutex<Option<Arc<StateCheckpoint>>>,
    /// Held while a checkpoint is taken: one at a time.
    taking: Mutex<()>,
    growth: Arc<Growth>,
    /// Made when the cluster is founded; known from then on.
    generation: OnceLock<Arc<str>>,
    number: watch::Sender<u64>,
    applied: watch::Sender<Option<u64>>,
}

impl States {
    /// Opens the current state, or makes an empty one; removes what a crash left.
    pub(crate) fn open(folders: Folders, growth: Arc<Growth>) -> Result<Self, RaftFailure> {
        let failure = |error: std::io::Error| folders.failure(&error);
        let store = match folders.current_state().map_err(failure)? {
            Some(folder) => StateStore::open(folder)?,
            None => {
                let store = StateStore::open(folders.new_state())?;
                folders.switch_to(store.path()).map_err(failure)?;
                store
            }
        };
        let checkpoint = StateCheckpoint::newest(&folders).map_err(failure)?;
        folders.remove_strays(store.path(), checkpoint.as_ref().map(|found| found.path())).map_err(failure)?;
        let applied = store.applied()?;
        let number = View(&store).revision().number;
        Ok(Self {
            folders,
            current: RwLock::new(Arc::new(store)),
            checkpoint: Mutex::new(checkpoint),
            taking: Mutex::new(()),
            growth,
            generation: OnceLock::new(),
            number: watch::Sender::new(number),
            applied: watch::Sender::new(applied.log_id.map(|id| id.index)),
        })
    }

    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(crate) fn store(&self) -> Arc<StateStore> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn view(&self) -> View<StoreSnapshot> {
        View(StoreSnapshot::of(self.store()))
    }

    /// The generation of the cluster; empty before it is founded.
    pub(crate) fn generation(&self) -> Arc<str> {
        if let Some(known) = self.generation.get() {
            return known.clone();
        }
        let found = View(&*self.store()).revision().generation;
        if found.is_empty() { found } else { self.generation.get_or_init(|| found).clone() }
    }

    /// The number after each batch that changed it.
    pub(crate) fn numbers(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// The index of the last applied entry.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    /// Tells readers how far the state has come.
    pub(crate) fn advanced(&self, index: u64, number: u64) {
        self.number.send_if_modified(|current| std::mem::replace(current, number) != number);
        self.applied.send_replace(Some(index));
    }

    pub(crate) fn checkpoint(&self) -> Option<Arc<StateCheckpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a checkpoint of the current state and makes it the newest. Blocks on the disk.
    pub(crate) fn take_checkpoint(&self) -> std::io::Result<Arc<StateCheckpoint>> {
        let _one_at_a_time = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        self.growth.reset();
        let taken = StateCheckpoint::take(&self.store(), &self.folders)?;
        let mut newest = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = &*newest
            && newest.meta().last_log_id >= taken.meta().last_log_id
        {
            if newest.path() != taken.path() {
                taken.retire();
            }
            return Ok(newest.clone());
        }
        if let Some(before) = newest.replace(taken.clone()) {
            before.retire();
        }
        Ok(taken)
    }

    /// Puts a whole, synced state in place of the current one. Blocks on the disk.
    pub(crate) fn install(&self, store: Arc<StateStore>) -> Result<Applied, RaftFailure> {
        let applied = store.applied()?;
        let number = View(&*store).revision().number;
        self.folders.hit(Point::SnapshotReceived);
        store.keep();
        self.folders.switch_to(store.path()).map_err(|error| self.folders.failure(&error))?;
        self.folders.hit(Point::SnapshotAfterSwitch);
        let before = std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), store);
        before.retire();
        if let Some(last) = &applied.log_id {
            self.advanced(last.index, number);
        }
        self.take_checkpoint().map_err(|error| self.folders.failure(&error))?;
        Ok(applied)
    }

    /// Begins a state that is to be received.
    pub(crate) fn receive(&self) -> Result<ImageWriter, RaftFailure> {
        ImageWriter::begin(&self.folders)
    }
}
