//! The one thread that writes the log.
//!
//! Promise: takes writes in order; writes all that wait as one batch with one sync; then completes them in order.
//! A failed write ends it, and Raft with it: nothing that waits is acknowledged any more. Absent: reading.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::Instant,
};

use openraft::storage::IOFlushed;
use rocksdb::WriteBatch;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{Shared, keys, synced};
use crate::{
    fail::{FailPoints, Point},
    failure::stop_raft,
    mark::Mark,
    meters::LogMeters,
    types::TypeConfig,
};

/// Writes that may wait; more make the caller wait.
const WAITING_MAX: usize = 256;
/// Bytes written with one sync, about.
const BATCH_BYTES: usize = 8 << 20;

/// One write, with whom to tell when it is on disk.
pub(super) enum Write {
    /// Entries one behind the other in `bytes`, the first at index `first`.
    Append { first: u64, bytes: Vec<u8>, rows: Vec<Range<usize>>, flushed: IOFlushed<TypeConfig> },
    /// A vote.
    Vote { bytes: Vec<u8>, done: oneshot::Sender<()> },
    /// Everything from `from` on is dropped.
    Truncate { from: u64, done: oneshot::Sender<()> },
    /// Everything through `index` is dropped; `purged` is its log id, encoded.
    Purge { index: u64, purged: Vec<u8>, done: oneshot::Sender<()> },
}

impl Write {
    fn before_sync(&self) -> Option<Point> {
        match self {
            Self::Append { .. } => Some(Point::AppendBeforeSync),
            Self::Vote { .. } => Some(Point::VoteBeforeSync),
            Self::Truncate { .. } | Self::Purge { .. } => None,
        }
    }

    fn after_sync(&self) -> Point {
        match self {
            Self::Append { .. } => Point::AppendAfterSync,
            Self::Vote { .. } => Point::VoteAfterSync,
            Self::Truncate { .. } => Point::TruncateAfterSync,
            Self::Purge { .. } => Point::PurgeAfterSync,
        }
    }
}

/// The way to the thread.
#[derive(Clone)]
pub(super) struct FlushQueue {
    queue: mpsc::WeakSender<Write>,
    meters: LogMeters,
}

/// The thread itself. It ends when this is dropped, and everything asked for before is on disk.
pub(crate) struct FlushThread {
    parts: Mutex<Option<(mpsc::Sender<Write>, thread::JoinHandle<()>)>>,
}

impl FlushThread {
    /// Ends the thread and waits for it: then it no longer holds the log.
    pub(crate) async fn stop(&self) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((queue, thread)) = parts else { return };
        drop(queue);
        // A panic of it has been told by its hook.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

impl Drop for FlushThread {
    /// Waits too: a process that ends while the thread still closes the log would abort in RocksDB's destructors.
    fn drop(&mut self) {
        let parts = self.parts.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some((queue, thread)) = parts else { return };
        drop(queue);
        // A panic of it has been told by its hook.
        let _ = thread.join();
    }
}

impl FlushQueue {
    /// `unmarked`: the mark that the first write makes, where there is none yet.
    pub(super) fn start(
        shared: Arc<Shared>,
        unmarked: Option<Mark>,
        meters: LogMeters,
        fail_points: FailPoints,
    ) -> io::Result<(Self, FlushThread)> {
        let (queue, writes) = mpsc::channel(WAITING_MAX);
        let this = Self { queue: queue.downgrade(), meters: meters.clone() };
        let thread = thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || run(&shared, writes, unmarked, &meters, &fail_points))?;
        Ok((this, FlushThread { parts: Mutex::new(Some((queue, thread))) }))
    }

    /// Hands `write` over. Waits while too many do.
    pub(super) async fn send(&self, write: Write) -> io::Result<()> {
        let queue = self.queue.upgrade().ok_or_else(ended)?;
        match queue.try_send(write) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(ended()),
            Err(TrySendError::Full(write)) => {
                self.meters.queue_full.increment(1);
                queue.send(write).await.map_err(|_| ended())
            }
        }
    }

    /// Hands a write over and waits until it is on disk.
    pub(super) async fn wait(&self, write: impl FnOnce(oneshot::Sender<()>) -> Write) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.send(write(done)).await?;
        written.await.map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that writes the log has ended")
}

fn run(
    shared: &Shared,
    mut writes: mpsc::Receiver<Write>,
    mut unmarked: Option<Mark>,
    meters: &LogMeters,
    fail_points: &FailPoints,
) {
    let synced = synced();
    let mut waiting = Vec::with_capacity(WAITING_MAX);
    while let Some(first) = writes.blocking_recv() {
        waiting.push(first);
        let mut batch = WriteBatch::default();
        let mut added = 0;
        loop {
            while let Some(write) = waiting.get(added) {
                add(&mut batch, write, shared);
                added += 1;
            }
            if batch.size_in_bytes() >= BATCH_BYTES {
                break;
            }
            match writes.try_recv() {
                Ok(write) => waiting.push(write),
                Err(_) => break,
            }
        }
        waiting.iter().filter_map(Write::before_sync).for_each(|point| fail_points.hit(point));
        let (bytes, began) = (batch.size_in_bytes(), Instant::now());
        // Purges too: whole files of entries are deleted behind them, which must not outlive the mark that says so.
        let written = shared.db.write_opt(batch, &synced);
        // The mark comes after what it vouches for, and before anyone is told.
        let marked = written.map_err(io::Error::other).and_then(|()| match unmarked.take() {
            Some(mark) => mark.make(),
            None => Ok(()),
        });
        if let Err(error) = marked {
            return refuse(waiting, &stop_raft("writing the log", &error));
        }
        meters.synced(waiting.len(), bytes, began.elapsed());
        waiting.iter().for_each(|write| fail_points.hit(write.after_sync()));
        waiting.drain(..).for_each(|write| complete(shared, write));
    }
}

fn add(batch: &mut WriteBatch, write: &Write, shared: &Shared) {
    match write {
        Write::Append { first, bytes, rows, .. } => {
            for (index, row) in (*first..).zip(rows) {
                batch.put(keys::entry(index), &bytes[row.clone()]);
            }
        }
        Write::Vote { bytes, .. } => batch.put(keys::VOTE, bytes),
        Write::Truncate { from, .. } => {
            batch.delete_range(keys::entry(*from).as_slice(), keys::after_entries().as_slice());
        }
        Write::Purge { index, purged, .. } => {
            batch.delete_range(keys::entry(0), keys::entry(dropped_before(shared, *index)));
            batch.put(keys::PURGED, purged);
        }
    }
}

/// Tells who waits that nothing more is written. Those whose write is dropped see that the thread has ended.
fn refuse(waiting: Vec<Write>, failure: &io::Error) {
    for write in waiting {
        if let Write::Append { flushed, .. } = write {
            flushed.io_completed(Err(io::Error::other(failure.to_string())));
        }
    }
}

/// Tells who waits. One who no longer does has been cancelled: its write stands.
fn complete(shared: &Shared, write: Write) {
    match write {
        Write::Append { first, rows, flushed, .. } => {
            shared.tail().written(first + rows.len() as u64);
            flushed.io_completed(Ok(()));
        }
        Write::Vote { done, .. } | Write::Truncate { done, .. } => {
            let _ = done.send(());
        }
        Write::Purge { index, done, .. } => {
            // Whole files of purged entries go at once; a failure leaves them to compaction. Both ends are meant: a file
            // that ends with the next entry, which stays, must stay too.
            let before = dropped_before(shared, index);
            if before > 0 {
                let _ = shared.db.delete_file_in_range(keys::entry(0), keys::entry(before - 1));
            }
            let _ = done.send(());
        }
    }
}

/// Of entries purged through `index`, the first that stays on disk.
fn dropped_before(shared: &Shared, index: u64) -> u64 {
    shared.kept_from.load(Ordering::Acquire).min(index + 1)
}
