//! Which state is the current one, its newest checkpoint, and how far both have come.
//!
//! Promise: readers get the state as it is after whole batches, and keep it however it is replaced; the newest
//! checkpoint never goes back. Absent: applying (`machine`).

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sluice_model::LEVEL;
use sluice_state::{Tables, View};
use tokio::sync::watch;
use tracing::warn;

use crate::{
    RaftFailure,
    fail::Point,
    history::History,
    log::{Growth, KeptLog},
    store::{Applied, StateStore, StoreSnapshot, checkpoint::StateCheckpoint, folders::Folders, image::ImageWriter},
    types::SnapshotMeta,
};

/// The state of one node. Shared by the state machine, readers and the peer service.
pub(crate) struct States {
    folders: Folders,
    current: RwLock<Arc<StateStore>>,
    checkpoint: Mutex<Option<Arc<StateCheckpoint>>>,
    history: History,
    /// Held while a checkpoint is taken: one at a time.
    taking: Mutex<()>,
    growth: Arc<Growth>,
    /// As it was last read; none when it may have changed.
    generation: Mutex<Option<Arc<str>>>,
    number: watch::Sender<u64>,
    applied: watch::Sender<Option<u64>>,
}

impl States {
    /// Opens the current state, or makes an empty one; removes what a crash left. `past` is of the log that leads to it, and
    /// `history_bytes_max` of it are kept.
    ///
    /// # Errors
    /// `Damaged` when the state is, and cannot be made again; `Storage` when it cannot be used.
    pub(crate) fn open(
        folders: Folders,
        growth: Arc<Growth>,
        past: KeptLog,
        history_bytes_max: u64,
    ) -> Result<Self, RaftFailure> {
        let failure = |error: std::io::Error| folders.failure(&error);
        let mut checkpoints = StateCheckpoint::all(&folders).map_err(failure)?;
        let store = current(&folders, &checkpoints, &past)?;
        let kept: Vec<_> = checkpoints.iter().map(|found| found.path()).collect();
        folders.remove_strays(store.path(), &kept).map_err(failure)?;
        let checkpoint = checkpoints.pop();
        let history = History::open(past, history_bytes_max, checkpoints, checkpoint.as_deref()).map_err(failure)?;
        let applied = store.applied()?;
        let number = View(&*store).revision().number;
        check_level(&View(&*store), &folders)?;
        Ok(Self {
            folders,
            current: RwLock::new(store),
            checkpoint: Mutex::new(checkpoint),
            history,
            taking: Mutex::new(()),
            growth,
            generation: Mutex::default(),
            number: watch::Sender::new(number),
            applied: watch::Sender::new(applied.log_id.map(|id| id.index)),
        })
    }

    /// That this release does not know what a cluster of `level` does.
    pub(crate) fn downgraded(&self, level: u32) -> RaftFailure {
        downgraded(level, &self.folders)
    }

    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn store(&self) -> Arc<StateStore> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn view(&self) -> View<StoreSnapshot> {
        View(StoreSnapshot::of(self.store()))
    }

    /// The generation of the cluster; empty before it is founded.
    pub(crate) fn generation(&self) -> Arc<str> {
        let mut known = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return known.clone();
        }
        // Read under the lock: what is forgotten meanwhile is forgotten after it.
        let found = View(&*self.store()).revision().generation;
        *known = Some(found.clone()).filter(|found| !found.is_empty());
        found
    }

    /// The state has another generation now, or may have.
    pub(crate) fn forget_generation(&self) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        self.take(Past::GoesOn)
    }

    fn take(&self, past: Past) -> std::io::Result<Arc<StateCheckpoint>> {
        let _one_at_a_time = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.growth.reset();
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
        match (newest.replace(taken.clone()), past) {
            (Some(before), Past::GoesOn) => self.history.replaced(before, &taken, bytes),
            (None, Past::GoesOn) => self.history.first_taken(&taken, bytes),
            (before, Past::Ends) => {
                if let Some(before) = before {
                    before.retire();
                }
                self.history.begin_anew(&taken);
            }
        }
        Ok(taken)
    }

    /// Puts a whole, synced state in place of the current one. Blocks on the disk.
    pub(crate) fn install(&self, store: Arc<StateStore>) -> Result<Applied, RaftFailure> {
        let applied = store.applied()?;
        let number = View(&*store).revision().number;
        check_level(&View(&*store), &self.folders)?;
        self.folders.hit(Point::SnapshotReceived);
        store.keep();
        self.folders.switch_to(store.path()).map_err(|error| self.folders.failure(&error))?;
        self.folders.hit(Point::SnapshotAfterSwitch);
        let before = std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), store);
        before.retire();
        self.forget_generation();
        if let Some(last) = &applied.log_id {
            self.advanced(last.index, number);
        }
        self.take(Past::Ends).map_err(|error| self.folders.failure(&error))?;
        Ok(applied)
    }

    /// Begins a state that is to be received.
    pub(crate) fn receive(&self) -> Result<ImageWriter, RaftFailure> {
        ImageWriter::begin(&self.folders)
    }
}

/// Whether a checkpoint follows from what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    GoesOn,
    /// The state was received whole.
    Ends,
}

/// The state in use. One that is damaged is made again, from the newest checkpoint that is whole or, where the log is there
/// from its first entry on, from nothing: the log is applied to it as after any restart.
fn current(
    folders: &Folders,
    checkpoints: &[Arc<StateCheckpoint>],
    log: &KeptLog,
) -> Result<Arc<StateStore>, RaftFailure> {
    let opened = match folders.current_state() {
        Ok(Some(folder)) => StateStore::open(folder),
        Ok(None) => {
            let store = Arc::new(StateStore::open(folders.new_state())?);
            folders.switch_to(store.path()).map_err(|error| folders.failure(&error))?;
            return Ok(store);
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(RaftFailure::Damaged { path: folders.states(), problem: error.to_string() })
        }
        Err(error) => Err(folders.failure(&error)),
    };
    let damage = match opened {
        Ok(store) => return Ok(Arc::new(store)),
        Err(damage @ RaftFailure::Damaged { .. }) => damage,
        Err(failure) => return Err(failure),
    };
    let again = checkpoints.last().map(|newest| ImageWriter::copy(newest, folders));
    let store = match again {
        Some(Ok(store)) => store,
        Some(Err(_)) | None if log.is_whole() => ImageWriter::empty(folders, &SnapshotMeta::default())?,
        Some(Err(_)) | None => return Err(damage),
    };
    warn!(%damage, "the state is damaged and made again from a checkpoint and the log; check the disk");
    store.keep();
    folders.switch_to(store.path()).map_err(|error| folders.failure(&error))?;
    Ok(store)
}

/// Refuses a state in which commands may follow that this release does not know.
fn check_level<T: Tables>(view: &View<T>, folders: &Folders) -> Result<(), RaftFailure> {
    match view.cluster() {
        Some(cluster) if cluster.level > LEVEL => Err(downgraded(cluster.level, folders)),
        Some(_) | None => Ok(()),
    }
}

fn downgraded(level: u32, folders: &Folders) -> RaftFailure {
    RaftFailure::Downgraded { level, known: LEVEL, folder: folders.root().to_owned() }
}
