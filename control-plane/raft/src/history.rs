//! The past that can be brought back: older checkpoints, and the log from the first of them on.
//!
//! A checkpoint that a newer one replaces joins the older ones, and the log behind it is not dropped. Both are bounded: the
//! log by the bytes that were appended since this process started, from the oldest point on, and the checkpoints by their
//! number, since each holds files that the state has long replaced. A whole state that was received begins a new past: the log before it has holes.
//! Promise: from every point that is listed the log says all that followed. Absent: making a state again (`rewind`).

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{log::KeptLog, store::checkpoint::StateCheckpoint};

/// Older checkpoints, most.
const OLDER_MAX: usize = 4;

/// The past of one node.
pub(crate) struct History {
    log: KeptLog,
    /// Of the log; 0 keeps no past.
    bytes_max: u64,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    /// The log is there from its first entry on: the empty state is a point too.
    from_start: bool,
    /// Bytes of log from there to the first checkpoint.
    start_bytes: u64,
    /// Oldest first.
    older: Vec<Older>,
}

/// A checkpoint that was replaced.
struct Older {
    checkpoint: Arc<StateCheckpoint>,
    /// Bytes of log from it to the next; 0 where an earlier process wrote them.
    bytes: u64,
}

impl Past {
    fn bytes(&self) -> u64 {
        let start = if self.from_start { self.start_bytes } else { 0 };
        start + self.older.iter().map(|each| each.bytes).sum::<u64>()
    }

    /// Gives up the oldest point; false when there is none but the newest checkpoint.
    fn drop_oldest(&mut self) -> bool {
        if self.from_start {
            self.from_start = false;
        } else if self.older.is_empty() {
            return false;
        } else {
            self.older.remove(0).checkpoint.retire();
        }
        true
    }

    /// Gives up the checkpoint that is closest behind the one before it, never the oldest: its log belongs to that now.
    fn drop_least_missed(&mut self) {
        let gap = |index: &usize| next_of(&self.older[*index].checkpoint) - next_of(&self.older[*index - 1].checkpoint);
        if let Some(index) = (1..self.older.len()).min_by_key(gap) {
            let gone = self.older.remove(index);
            self.older[index - 1].bytes += gone.bytes;
            gone.checkpoint.retire();
        }
    }
}

/// Where making a state again begins: a checkpoint, or nothing at all.
pub(crate) type Base = Option<Arc<StateCheckpoint>>;

impl History {
    /// The past that an earlier process left: `older` checkpoints, oldest first, before `newest`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn open(
        log: KeptLog,
        bytes_max: u64,
        older: Vec<Arc<StateCheckpoint>>,
        newest: Option<&StateCheckpoint>,
    ) -> io::Result<Self> {
        let first = log.first()?;
        let is_kept = |checkpoint: &Arc<StateCheckpoint>| first.is_some_and(|first| next_of(checkpoint) >= first);
        let (kept, gone): (Vec<_>, Vec<_>) = older.into_iter().partition(|each| bytes_max > 0 && is_kept(each));
        gone.iter().for_each(|checkpoint| checkpoint.retire());
        let from_start = bytes_max > 0 && first.unwrap_or(0) == 0;
        let older = kept.into_iter().map(|checkpoint| Older { checkpoint, bytes: 0 }).collect();
        let history = Self { log, bytes_max, past: Mutex::new(Past { from_start, start_bytes: 0, older }) };
        history.keep_log(&history.past(), newest);
        Ok(history)
    }

    /// `newest` has taken the place of `before`, `bytes` of log later.
    pub(crate) fn replaced(&self, before: Arc<StateCheckpoint>, newest: &StateCheckpoint, bytes: u64) {
        if self.bytes_max == 0 {
            before.retire();
            return;
        }
        let mut past = self.past();
        past.older.push(Older { checkpoint: before, bytes });
        self.trim(&mut past, newest);
    }

    /// There was no checkpoint before `newest`, and `bytes` of log.
    pub(crate) fn first_taken(&self, newest: &StateCheckpoint, bytes: u64) {
        let mut past = self.past();
        past.start_bytes += bytes;
        self.trim(&mut past, newest);
    }

    /// A whole state was received: nothing leads from before to `newest`.
    pub(crate) fn begin_anew(&self, newest: &StateCheckpoint) {
        let mut past = self.past();
        past.from_start = false;
        past.older.drain(..).for_each(|older| older.checkpoint.retire());
        self.keep_log(&past, Some(newest));
    }

    /// Where a state may be made from, oldest first; `newest` is the last.
    pub(crate) fn bases(&self, newest: Base) -> Vec<Base> {
        let past = self.past();
        let start = past.from_start.then_some(None);
        start
            .into_iter()
            .chain(past.older.iter().map(|older| Some(older.checkpoint.clone())))
            .chain(newest.map(Some))
            .collect()
    }

    pub(crate) fn log(&self) -> &KeptLog {
        &self.log
    }

    fn trim(&self, past: &mut Past, newest: &StateCheckpoint) {
        while past.bytes() > self.bytes_max && past.drop_oldest() {}
        while past.older.len() > OLDER_MAX {
            past.drop_least_missed();
        }
        self.keep_log(past, Some(newest));
    }

    fn keep_log(&self, past: &Past, newest: Option<&StateCheckpoint>) {
        let from = match (self.bytes_max, newest) {
            (0, _) => u64::MAX,
            (_, Some(newest)) => first_kept(past, newest),
            // No checkpoint: nothing was purged.
            (_, None) => 0,
        };
        self.log.keep_from(from);
    }

    fn past(&self) -> std::sync::MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first entry that has to be kept.
fn first_kept(past: &Past, newest: &StateCheckpoint) -> u64 {
    if past.from_start { 0 } else { next_of(past.older.first().map_or(newest, |oldest| &oldest.checkpoint)) }
}

/// The entry after a checkpoint.
fn next_of(checkpoint: &StateCheckpoint) -> u64 {
    checkpoint.meta().last_log_id.map_or(0, |id| id.index + 1)
}
