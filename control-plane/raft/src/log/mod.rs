//! The log of Raft in a RocksDB of its own: entries, vote, what was purged, and whose log it is.
//!
//! Promise: what is acknowledged is synced; writes reach the disk in the order in which they were asked for, all that
//! wait at once with one sync (`flush`); every entry can be read as soon as `append` returns (`tail`); a failed write
//! stops Raft. A log that is gone though its node was a member is refused (`mark`). Absent: the state (`store`), and what entries mean.

mod flush;
mod kept;
mod keys;
mod reader;
mod storage;
mod tail;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::Message;
use rocksdb::{DB, DBCompressionType, DBRecoveryMode, IteratorMode, Options, ReadOptions, WriteOptions};
use sluice_proto::raft::LogIdentity;
use tokio::sync::Notify;

use self::{flush::FlushQueue, tail::Tail};
pub(crate) use self::{flush::FlushThread, kept::KeptLog, reader::LogReader};
use crate::{
    FailPoints, RaftFailure, damage,
    durable::Durable,
    mark::Mark,
    meters::LogMeters,
    types::{Entry, LogId, Vote},
};

/// Version of the key layout in `keys`.
const FORMAT: u32 = 1;
/// Memory for the end of the log; also what the followers that are up to date are served from.
const TAIL_BYTES: usize = 32 << 20;

/// The log. Clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    flush: FlushQueue,
}

/// What writer and readers share.
struct Shared {
    db: DB,
    tail: Mutex<Tail>,
    position: Mutex<Position>,
    growth: Arc<Growth>,
    /// Purged entries from here on stay on disk.
    kept_from: AtomicU64,
}

/// Both ends of the log, and the vote.
#[derive(Debug, Default, Clone)]
struct Position {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

impl Position {
    fn is_pristine(&self) -> bool {
        self.vote.is_none() && self.last.is_none() && self.purged.is_none()
    }
}

/// Bytes appended since the last snapshot.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    bytes: AtomicU64,
    limit: u64,
    exceeded: Notify,
}

impl Growth {
    fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < self.limit && before + bytes >= self.limit {
            self.exceeded.notify_one();
        }
    }

    /// Whether it has grown past its limit since the last reset.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.limit
    }

    /// Begins to count anew: a snapshot is being taken. Returns the bytes since the last.
    pub(crate) fn reset(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }

    /// Returns when the log has grown past its limit since the last reset. Cancel-safe.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }
}

impl LogStore {
    /// Opens the log in `folder`, or makes it, for the node of `mark`.
    ///
    /// # Errors
    /// `WrongNode`, `WrongCluster`, `WrongFormat` and `OtherMember` when it is not this node's; `LostLog` when it is
    /// empty and was not before; `Storage` when it cannot be read.
    pub(crate) fn open(
        folder: &Path,
        mark: Mark,
        growth_bytes_max: u64,
        meters: LogMeters,
        fail_points: FailPoints,
    ) -> Result<(Self, FlushThread), RaftFailure> {
        let storage = |problem: String| RaftFailure::Storage { path: folder.to_owned(), problem };
        std::fs::create_dir_all(folder).map_err(|error| storage(error.to_string()))?;
        let db = DB::open(&options(), folder).map_err(|error| damage::failure_of(folder, &error))?;
        damage::read_whole(&db, folder)?;
        check_identity(&db, folder, mark.raft_id(), mark.cluster_id())?;
        let position = read_position(&db).map_err(storage)?;
        let unmarked = match (mark.found()?, position.is_pristine()) {
            (true, true) => return Err(mark.lost()),
            (false, false) => {
                // Cut off between the first write and the mark, or written by a release without marks.
                mark.make().map_err(|error| storage(error.to_string()))?;
                None
            }
            (true, false) => None,
            (false, true) => Some(mark),
        };
        let growth = Arc::new(Growth { limit: growth_bytes_max, ..Growth::default() });
        let (tail, position) = (Mutex::new(Tail::new(TAIL_BYTES)), Mutex::new(position));
        let shared = Arc::new(Shared { db, tail, position, growth, kept_from: AtomicU64::new(u64::MAX) });
        let (flush, thread) = FlushQueue::start(shared.clone(), unmarked, meters, fail_points)
            .map_err(|error| storage(error.to_string()))?;
        Ok((Self { shared, flush }, thread))
    }

    /// Whether nothing was ever written here but whose log it is.
    pub(crate) fn is_pristine(&self) -> bool {
        self.shared.position().is_pristine()
    }

    /// The index of the last entry, or of the last that was purged.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.shared.position().last.map(|last| last.index)
    }

    pub(crate) fn growth(&self) -> Arc<Growth> {
        self.shared.growth.clone()
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }
}

impl Shared {
    /// INVARIANT: no code panics while it holds one of the two locks, and neither is held across an await.
    fn position(&self) -> std::sync::MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(32 << 20);
    options.set_max_total_wal_size(128 << 20);
    options.set_keep_log_file_num(3);
    options.set_max_log_file_size(8 << 20);
    options.increase_parallelism(2);
    // A torn end is what a crash leaves of a batch that nobody was told of; damage before it must stop the start.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn check_identity(db: &DB, folder: &Path, raft_id: u64, cluster_id: &str) -> Result<(), RaftFailure> {
    let storage = |problem: String| RaftFailure::Storage { path: folder.to_owned(), problem };
    let Some(bytes) = db.get(keys::IDENTITY).map_err(|error| storage(error.to_string()))? else {
        let identity = LogIdentity { node_id: raft_id, cluster_id: cluster_id.to_owned(), format: FORMAT };
        return db
            .put_opt(keys::IDENTITY, identity.encode_to_vec(), &synced())
            .map_err(|error| storage(error.to_string()));
    };
    let found = LogIdentity::decode(bytes.as_slice()).map_err(|error| storage(error.to_string()))?;
    let folder = folder.to_owned();
    if found.format != FORMAT {
        return Err(RaftFailure::WrongFormat { expected: FORMAT, found: found.format, folder });
    }
    if found.cluster_id != cluster_id {
        let expected = cluster_id.to_owned();
        return Err(RaftFailure::WrongCluster { expected, found: found.cluster_id, folder });
    }
    if found.node_id != raft_id {
        return Err(RaftFailure::WrongNode { expected: raft_id, found: found.node_id, folder });
    }
    Ok(())
}

fn read_position(db: &DB) -> Result<Position, String> {
    let read = |key: &[u8]| db.get(key).map_err(|error| error.to_string());
    let vote = read(keys::VOTE)?.map(Vote::decode).transpose().map_err(|error| error.to_string())?;
    let purged = read(keys::PURGED)?.map(LogId::decode).transpose().map_err(|error| error.to_string())?;
    let mut range = ReadOptions::default();
    range.set_iterate_lower_bound(keys::entry(0));
    range.set_iterate_upper_bound(keys::after_entries());
    let last = match db.iterator_opt(IteratorMode::End, range).next() {
        None => None,
        Some(row) => {
            let (_, value) = row.map_err(|error| error.to_string())?;
            Some(Entry::decode(value.into_vec()).map_err(|error| error.to_string())?.log_id)
        }
    };
    // What is kept of the past may be all there is.
    Ok(Position { vote, purged, last: last.max(purged) })
}

#[cfg(test)]
mod tests;
