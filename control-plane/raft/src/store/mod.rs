//! The replicated state in a RocksDB of its own: the rows that apply writes, and how far it has applied.
//!
//! Promise: rows, applied log id and membership change together, in one batch; a restart finds some earlier whole state
//! and replays the log from there, since the write-ahead log is on but not synced. A failed read or write stops the
//! process. Absent: what the rows mean (`sluice-state`), and which folder is the current one (`states`).

pub(crate) mod checkpoint;
pub(crate) mod folders;
pub(crate) mod image;
mod snapshot;

use std::{io, path::Path};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, IteratorMode, Options, ReadOptions, WriteBatch,
};
use sluice_state::{Rows, Tables, Writes};

use self::folders::Folder;
pub use self::snapshot::StoreSnapshot;
use crate::{
    RaftFailure, damage,
    durable::Durable,
    failure::{stop_process, stop_raft},
    types::{LogId, StoredMembership},
};

/// First byte of Raft's own keys; rows of the state begin with 1 to 12 (`sluice_state`).
const OWN: u8 = 0xff;
const APPLIED: &[u8] = b"\xffapplied";
const MEMBERSHIP: &[u8] = b"\xffmembership";
/// Memory for blocks of the state.
const CACHE_BYTES: usize = 64 << 20;

/// How far the state has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) log_id: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

/// The state at its newest. Removes its folder when it is dropped after [`StateStore::retire`].
pub(crate) struct StateStore {
    // Declared before the folder: closed before that may be removed.
    db: DB,
    folder: Folder,
}

impl StateStore {
    /// Opens the state in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// `Damaged` when a file is not as it was written; `Storage` when it cannot be used.
    pub(crate) fn open(folder: Folder) -> Result<Self, RaftFailure> {
        let path = folder.path();
        let failure = |error: io::Error| RaftFailure::Storage { path: path.to_owned(), problem: error.to_string() };
        std::fs::create_dir_all(path).map_err(failure)?;
        let db = DB::open(&options(), path).map_err(|error| damage::failure_of(path, &error))?;
        damage::read_whole(&db, path)?;
        Ok(Self { db, folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Nobody will open this store again: its folder goes with its last reader.
    pub(crate) fn retire(&self) {
        self.folder.retire();
    }

    /// A received state is in use from now on.
    pub(crate) fn keep(&self) {
        self.folder.keep();
    }

    /// How far this store has come.
    pub(crate) fn applied(&self) -> Result<Applied, RaftFailure> {
        read_applied(&self.db).map_err(|problem| RaftFailure::Storage { path: self.path().to_owned(), problem })
    }

    /// Takes over what entries up to `applied` wrote, at once.
    ///
    /// # Errors
    /// A write that failed: nothing may be applied after it.
    pub(crate) fn write(
        &self,
        writes: Writes,
        applied: &LogId,
        membership: Option<&StoredMembership>,
    ) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in writes {
            assert!(key.first().is_some_and(|first| *first != OWN), "rows of the state keep out of raft's keys");
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch.put(APPLIED, applied.encode());
        if let Some(membership) = membership {
            batch.put(MEMBERSHIP, membership.encode());
        }
        self.db.write(batch).map_err(|error| stop_raft("writing the state", &error))
    }

    /// The database, for a checkpoint or an image.
    fn db(&self) -> &DB {
        &self.db
    }
}

impl Tables for StateStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.db.get(key).unwrap_or_else(|error| stop_process("reading the state", &error))
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.db.iterator_opt(IteratorMode::Start, range)),
            None => Box::new(std::iter::empty()),
        }
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.db.iterator_opt(IteratorMode::End, range)),
            None => Box::new(std::iter::empty()),
        }
    }
}

/// Bounds of a scan; none when nothing lies between.
fn range(from: &[u8], to: &[u8]) -> Option<ReadOptions> {
    if from >= to {
        return None;
    }
    let mut range = ReadOptions::default();
    range.set_iterate_lower_bound(from);
    range.set_iterate_upper_bound(to);
    Some(range)
}

fn rows<'a>(found: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>> + 'a) -> Rows<'a> {
    Box::new(found.map(|row| match row {
        Ok((key, value)) => (key.into_vec(), value.into_vec()),
        Err(error) => stop_process("reading the state", &error),
    }))
}

fn read_applied(db: &DB) -> Result<Applied, String> {
    let read = |key: &[u8]| db.get(key).map_err(|error| error.to_string());
    let log_id = read(APPLIED)?.map(LogId::decode).transpose().map_err(|error| error.to_string())?;
    let membership = read(MEMBERSHIP)?.map(StoredMembership::decode).transpose().map_err(|error| error.to_string())?;
    Ok(Applied { log_id, membership: membership.unwrap_or_default() })
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
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // Most reads of apply ask whether something is there that is not: a new id, name or request.
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    blocks.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&blocks);
    options
}
