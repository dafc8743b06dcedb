//! Making an earlier state again: a checkpoint, and the log from there to a revision or an instant.
//!
//! Promise: the state is what this node had applied then, entry by entry; it lies in a folder of its own, which goes when the
//! last reader lets go. Absent: putting it in force: that is a restore, through the log.

use std::{io, sync::Arc};

use openraft::EntryPayload;
use prost::Message;
use sluice_proto::raft::Command;
use sluice_state::{Draft, View, apply};

use crate::{
    RewindFailure, StoreSnapshot,
    history::Base,
    states::States,
    store::{StateStore, image::ImageWriter},
    types::SnapshotMeta,
};

/// A moment in the life of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The number that data nodes saw.
    pub number: u64,
    /// The generation.
    pub generation: Arc<str>,
    /// The greatest stamp of a command, milliseconds since the epoch.
    pub time_ms: u64,
}

/// How far back, and up to when, states can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryWindow {
    /// The earliest.
    pub from: Moment,
    /// Now.
    pub to: Moment,
}

/// Which earlier state is meant: the last one of a number, or the last one at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewindTo {
    /// The state before the number rose beyond this one.
    Number(u64),
    /// The state before the first command that was stamped later than this, milliseconds since the epoch.
    Time(u64),
}

impl RewindTo {
    /// Whether a state of this moment is not yet past the one that is meant.
    fn admits(self, moment: &Moment) -> bool {
        match self {
            Self::Number(number) => moment.number <= number,
            Self::Time(time_ms) => moment.time_ms <= time_ms,
        }
    }

    fn is_within(self, window: &HistoryWindow) -> bool {
        self.admits(&window.from)
            && match self {
                Self::Number(number) => number <= window.to.number,
                Self::Time(_) => true,
            }
    }
}

/// The moment that a state shows; none before the cluster was founded.
pub(crate) fn moment_of<T: sluice_state::Tables>(view: &View<T>) -> Option<Moment> {
    view.cluster()?;
    let revision = view.revision();
    Some(Moment { number: revision.number, generation: revision.generation, time_ms: view.stamp() })
}

impl States {
    /// From when to when states can be made again. Blocks on the disk.
    ///
    /// # Errors
    /// When a checkpoint cannot be read, or the cluster is not founded yet.
    pub(crate) fn window(&self) -> Result<HistoryWindow, RewindFailure> {
        let unfounded = || RewindFailure::Storage("the cluster is not founded yet".to_owned());
        let to = moment_of(&self.view()).ok_or_else(unfounded)?;
        let oldest = self.history().bases(self.checkpoint()).into_iter().next();
        let from = match oldest {
            Some(Some(checkpoint)) => checkpoint.moment().map_err(storage)?.ok_or_else(unfounded)?,
            // From the founding on.
            Some(None) => self.founding().map_err(storage)?.ok_or_else(unfounded)?,
            None => to.clone(),
        };
        Ok(HistoryWindow { from, to })
    }

    /// The state that `to` means. Blocks for as long as it takes to apply the log again.
    ///
    /// # Errors
    /// `OutOfWindow` for one that cannot be made again; `Storage` when the disk fails, or drops the log meanwhile.
    pub(crate) fn rewind(&self, to: RewindTo) -> Result<View<StoreSnapshot>, RewindFailure> {
        let window = self.window()?;
        if !to.is_within(&window) {
            return Err(RewindFailure::OutOfWindow(window));
        }
        let end = self.applied().borrow().map_or(0, |index| index + 1);
        let store = self.begun_at(&self.base_for(to)?)?;
        let mut next = store.applied().map_err(storage)?.log_id.map_or(0, |id| id.index + 1);
        'log: while next < end {
            for entry in self.history().log().read(next, end).map_err(storage)? {
                next = entry.log_id.index + 1;
                let mut draft = Draft::new(&*store);
                if let EntryPayload::Normal(bytes) = &entry.payload {
                    let command = Command::decode(bytes.0.clone()).unwrap_or_default();
                    apply(&mut draft, entry.log_id.index, &command);
                    if moment_of(&View(&draft)).is_some_and(|moment| !to.admits(&moment)) {
                        break 'log;
                    }
                }
                store.write(draft.into_writes(), &entry.log_id, None).map_err(storage)?;
            }
        }
        Ok(View(StoreSnapshot::of(store)))
    }

    /// The last checkpoint that is not past what is meant.
    fn base_for(&self, to: RewindTo) -> Result<Base, RewindFailure> {
        let mut best: Base = None;
        for base in self.history().bases(self.checkpoint()).into_iter().flatten() {
            if base.moment().map_err(storage)?.is_some_and(|moment| to.admits(&moment)) {
                best = Some(base);
            }
        }
        Ok(best)
    }

    /// A state in a folder of its own, as it was at `base`.
    fn begun_at(&self, base: &Base) -> Result<Arc<StateStore>, RewindFailure> {
        let copied = match base {
            Some(checkpoint) => ImageWriter::copy(checkpoint, self.folders()),
            None => ImageWriter::empty(self.folders(), &SnapshotMeta::default()),
        };
        copied.map_err(storage)
    }

    /// The first moment of a cluster whose log is there from its first entry on.
    fn founding(&self) -> io::Result<Option<Moment>> {
        let tables = sluice_state::MemoryTables::new();
        let mut draft = Draft::new(&tables);
        let end = self.applied().borrow().map_or(0, |index| index + 1);
        let mut next = 0;
        while next < end {
            for entry in self.history().log().read(next, end)? {
                next = entry.log_id.index + 1;
                let EntryPayload::Normal(bytes) = &entry.payload else { continue };
                apply(&mut draft, entry.log_id.index, &Command::decode(bytes.0.clone()).unwrap_or_default());
                if let Some(moment) = moment_of(&View(&draft)) {
                    return Ok(Some(moment));
                }
            }
        }
        Ok(None)
    }
}

fn storage(problem: impl std::fmt::Display) -> RewindFailure {
    RewindFailure::Storage(problem.to_string())
}
