//! The log of one node on a disk that takes its time, and that forgets in a power cut what it was not asked to sync.
//!
//! Promise, as that of the log of `sluice-raft`: writes reach the disk in the order in which they were asked for, all that
//! wait at once with one sync; who asked is told after that. A crash leaves what was synced and a part, from the front, of
//! what was not.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, stream};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::{circumstances::Sabotage, disk::Pace, life::Life};

/// Entries in one append to a follower: small, so that what is late comes in several.
const REPLICATE_ENTRIES: u64 = 16;

/// The disk under the log. It outlives its node.
#[derive(Debug, Default)]
pub(crate) struct LogDisk {
    inner: Mutex<Inner>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Who may use it; 0: nobody.
    life: u32,
    /// What a crash leaves.
    synced: Content,
    /// What is read.
    written: Content,
    /// What lies between the two, in order.
    unsynced: VecDeque<(Write, Told)>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, Clone)]
enum Write {
    Append(Vec<Entry>),
    Vote(Vote),
    Truncate(u64),
    Purge(LogId),
}

/// Who is told that a write is on disk.
enum Told {
    Raft(IOFlushed<TypeConfig>),
    Waiter(oneshot::Sender<()>),
}

impl Debug for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("told")
    }
}

impl Content {
    fn take(&mut self, write: &Write) {
        match write {
            Write::Append(entries) => {
                self.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
            }
            Write::Vote(vote) => self.vote = Some(*vote),
            Write::Truncate(from) => drop(self.entries.split_off(from)),
            Write::Purge(log_id) => {
                self.entries = self.entries.split_off(&(log_id.index + 1));
                self.purged = self.purged.max(Some(*log_id));
            }
        }
    }

    fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).max(self.purged)
    }
}

impl LogDisk {
    /// Opens it for `life`, on a disk of this pace.
    pub(crate) fn open(self: &Arc<Self>, life: &Life, pace: Pace) -> LogStore {
        let mut inner = self.inner();
        inner.life = life.number();
        drop(inner);
        tokio::spawn(sync(self.clone(), life.clone(), pace));
        LogStore { disk: self.clone(), life: life.number() }
    }

    /// The power fails, or the process: of what was not synced, `kept` writes are there, from the front.
    pub(crate) fn crash(&self, kept: impl FnOnce(usize) -> usize) {
        let mut inner = self.inner();
        // Whoever asks after this is dead.
        inner.life = 0;
        let unsynced = std::mem::take(&mut inner.unsynced);
        let kept = kept(unsynced.len());
        unsynced.iter().take(kept).for_each(|(write, _)| inner.synced.take(write));
        inner.written = inner.synced.clone();
    }

    /// The last entry that is there.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.inner().written.last()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs what waits, again and again.
async fn sync(disk: Arc<LogDisk>, life: Life, pace: Pace) {
    loop {
        if life.run(disk.written.notified()).await.is_none() {
            return;
        }
        loop {
            let waiting = disk.inner().unsynced.len();
            if waiting == 0 {
                break;
            }
            if pace.sabotage() != Sabotage::SyncsNothing {
                sleep(pace.sync()).await;
            }
            if life.has_ended() {
                return;
            }
            let mut inner = disk.inner();
            let done: Vec<(Write, Told)> = inner.unsynced.drain(..waiting).collect();
            if pace.sabotage() != Sabotage::SyncsNothing {
                done.iter().for_each(|(write, _)| inner.synced.take(write));
            }
            drop(inner);
            for (_, told) in done {
                match told {
                    Told::Raft(flushed) => flushed.io_completed(Ok(())),
                    // Who no longer waits has been cancelled: its write stands.
                    Told::Waiter(done) => drop(done.send(())),
                }
            }
        }
    }
}

/// The log as openraft uses it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    disk: Arc<LogDisk>,
    life: u32,
}

impl LogStore {
    fn open(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.inner();
        if inner.life == self.life { Ok(inner) } else { Err(io::Error::other("the process that asks is dead")) }
    }

    fn write(&self, write: Write, told: Told) -> io::Result<()> {
        let mut inner = self.open()?;
        inner.written.take(&write);
        inner.unsynced.push_back((write, told));
        self.disk.written.notify_one();
        Ok(())
    }

    async fn write_and_wait(&self, write: Write) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.write(write, Told::Waiter(done))?;
        written.await.map_err(|_| io::Error::other("the disk is gone"))
    }

    fn read(&self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        Ok(self.open()?.written.entries.range(start..end).map(|(_, entry)| entry.clone()).collect())
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.read(start, end)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.open()?.written.vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end.min(start.saturating_add(REPLICATE_ENTRIES)))
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let items: Vec<io::Result<Entry>> = match self.read(start, end) {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(items)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let inner = self.open()?;
        Ok(LogState { last_purged_log_id: inner.written.purged, last_log_id: inner.written.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write_and_wait(Write::Vote(*vote)).await
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.write(Write::Append(entries), Told::Raft(flushed))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        self.write_and_wait(Write::Truncate(from)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.write_and_wait(Write::Purge(log_id)).await
    }
}
