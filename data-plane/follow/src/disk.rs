//! The thread that keeps the last-good copy.
//!
//! Promise: a slow or full disk never holds up a change: what cannot be queued is left out, and the copy is written anew,
//! whole, with a later change. Deltas are synced at most once a second. Absent: reading (`last_good`).

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use prost::Message;
use sluice_proto::sync::Delta;
use sluice_telemetry::Counter;
use tracing::{error, warn};

use crate::{
    last_good::{BaseCopy, LastGood},
    record,
    threads::Threads,
};

/// Changes that wait for the disk; each is shared with the node's memory, so that they cost little.
const QUEUE_MAX: usize = 64;
/// How long a delta may be only in the system's memory.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A base smaller than this is not folded: writing it often would cost more than it saves.
const FOLD_BYTES_MIN: u64 = 256 * 1024;
/// After a failure the copy is tried again not before this.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What the copy has to be brought to.
#[derive(Debug)]
pub(crate) enum DiskWork {
    /// This, whole.
    Base(BaseCopy),
    /// One delta more.
    Delta(Arc<Delta>),
}

/// The way to the disk's thread.
#[derive(Debug)]
pub(crate) struct Disk {
    way: Way,
    wants_base: Arc<AtomicBool>,
    /// Changes that are not written yet.
    waiting: Arc<AtomicUsize>,
    full: Counter,
}

/// Who writes.
#[derive(Debug)]
enum Way {
    /// The disk's thread.
    Thread(SyncSender<DiskWork>, JoinHandle<()>),
    /// Whoever hands a change over, at once.
    Here(Mutex<Writer>),
}

/// What the copy on disk is to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// There is none that can be appended to.
    Nothing,
    /// A base of this length, with deltas behind it.
    Base(u64),
}

impl Disk {
    /// Starts the thread, where there is one. Changes for which there is no room are counted in `full`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(copy: LastGood, start: Start, full: Counter, threads: Threads) -> io::Result<Self> {
        let wants_base = Arc::new(AtomicBool::new(start == Start::Nothing));
        let waiting = Arc::new(AtomicUsize::new(0));
        let base_bytes = if let Start::Base(bytes) = start { bytes } else { 0 };
        let writer = Writer {
            copy,
            deltas: None,
            base_bytes,
            delta_bytes: 0,
            wants_base: wants_base.clone(),
            waiting: waiting.clone(),
            unsynced_since: None,
            failed_at: None,
        };
        let way = match threads {
            Threads::Own => {
                let (work, queue) = sync_channel(QUEUE_MAX);
                let thread = std::thread::Builder::new().name("last-good".to_owned());
                Way::Thread(work, thread.spawn(move || writer.run(&queue))?)
            }
            Threads::Shared => Way::Here(Mutex::new(writer)),
        };
        Ok(Self { way, wants_base, waiting, full })
    }

    /// Hands a change to the disk; `base` makes the whole copy where the delta cannot be appended.
    pub(crate) fn keep(&self, delta: Option<Arc<Delta>>, base: impl FnOnce() -> BaseCopy) {
        if self.waiting.load(Ordering::Acquire) >= QUEUE_MAX {
            self.full.increment(1);
            // Later deltas would not fit onto what is on disk.
            self.wants_base.store(true, Ordering::Release);
            return;
        }
        let appended = delta.filter(|delta| delta.encoded_len() <= record::RECORD_BYTES_MAX);
        let item = match appended {
            Some(delta) if !self.wants_base.load(Ordering::Acquire) => DiskWork::Delta(delta),
            _ => {
                self.wants_base.store(false, Ordering::Release);
                DiskWork::Base(base())
            }
        };
        match &self.way {
            Way::Thread(work, _) => {
                self.waiting.fetch_add(1, Ordering::AcqRel);
                work.try_send(item).expect("no more than QUEUE_MAX wait, and the thread lives as long as its sender");
            }
            Way::Here(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(failure) = writer.write(item) {
                    writer.fail(&failure);
                }
            }
        }
    }

    /// Writes and syncs what waits, then ends the thread.
    pub(crate) fn stop(self) {
        match self.way {
            Way::Thread(work, thread) => {
                drop(work);
                if thread.join().is_err() {
                    error!("thread of the last-good copy panicked");
                }
            }
            Way::Here(writer) => {
                let mut writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
                if let Err(failure) = writer.sync() {
                    writer.fail(&failure);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Writer {
    copy: LastGood,
    deltas: Option<File>,
    base_bytes: u64,
    delta_bytes: u64,
    wants_base: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    unsynced_since: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<DiskWork>) {
        loop {
            let wait = self.unsynced_since.map_or(SYNC_EVERY, |since| SYNC_EVERY.saturating_sub(since.elapsed()));
            let received = queue.recv_timeout(wait);
            let ended = matches!(received, Err(RecvTimeoutError::Disconnected));
            let written = received.is_ok();
            let done = received.map_or(Ok(()), |work| self.write(work));
            let due = ended || self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY);
            let done = done.and_then(|()| if due { self.sync() } else { Ok(()) });
            if let Err(failure) = done {
                self.fail(&failure);
            }
            if written {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
            } else {
                sluice_trim::when_asked();
            }
            if ended {
                return;
            }
        }
    }

    fn write(&mut self, work: DiskWork) -> io::Result<()> {
        match work {
            DiskWork::Base(_) if self.failed_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) => {
                self.wants_base.store(true, Ordering::Release);
                Ok(())
            }
            DiskWork::Base(base) => {
                self.deltas = None;
                self.unsynced_since = None;
                self.base_bytes = self.copy.write_base(&base)?;
                self.delta_bytes = 0;
                self.failed_at = None;
                Ok(())
            }
            // A base failed before: what follows it has nothing to stand on.
            DiskWork::Delta(_) if self.failed_at.is_some() => Ok(()),
            DiskWork::Delta(delta) => self.append(&delta),
        }
    }

    fn append(&mut self, delta: &Delta) -> io::Result<()> {
        let mut file = match self.deltas.take() {
            Some(file) => file,
            None => {
                let file = self.copy.deltas()?;
                self.delta_bytes = file.metadata()?.len();
                file
            }
        };
        let number = delta.to.as_ref().map_or(0, |to| to.number);
        let mut bytes = Vec::new();
        // One write per record: a crash leaves at most one that is torn.
        self.delta_bytes += record::write(&mut bytes, number, &delta.encode_to_vec())?;
        file.write_all(&bytes)?;
        self.deltas = Some(file);
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.delta_bytes > self.base_bytes.max(FOLD_BYTES_MIN) {
            self.wants_base.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced_since = None;
        self.deltas.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn fail(&mut self, failure: &io::Error) {
        warn!(error = %failure, "last-good copy was not written; the node serves on, a restart may find an older one");
        self.deltas = None;
        self.unsynced_since = None;
        self.failed_at = Some(Instant::now());
        self.wants_base.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
