//! The state as it travels: its rows in key order, counted and hashed.
//!
//! Promise: a received state is built beside the one in use and is nothing until every row has come, count and hash
//! agree, and it is synced; given up half-way it leaves no folder. Absent: RocksDB's files: releases and RocksDB
//! versions of two nodes may differ.

use std::{io, sync::Arc};

use rocksdb::{IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use sluice_proto::raft::SnapshotRow;

use super::{
    APPLIED, MEMBERSHIP, OWN, StateStore,
    checkpoint::StateCheckpoint,
    folders::{Folders, sync, sync_files},
};
use crate::{RaftFailure, durable::Durable, types::SnapshotMeta};

/// Bytes of rows in one chunk, about: well under the message limit of gRPC with one row of 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

/// Counts and hashes rows, on both sides in the same way.
#[derive(Default)]
pub(crate) struct RowTally {
    rows: u64,
    hasher: blake3::Hasher,
}

impl RowTally {
    fn add(&mut self, row: &SnapshotRow) {
        self.rows += 1;
        for part in [&row.key, &row.value] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    /// Number of rows, and blake3 over each row's key and value with their lengths.
    pub(crate) fn finish(&self) -> (u64, [u8; 32]) {
        (self.rows, *self.hasher.finalize().as_bytes())
    }
}

/// Hands the rows of `checkpoint` to `send` in chunks, until it has taken all or says no more are wanted.
///
/// # Errors
/// When the checkpoint cannot be read.
pub(crate) fn read_rows(
    checkpoint: &StateCheckpoint,
    mut send: impl FnMut(Vec<SnapshotRow>) -> Wanted,
) -> io::Result<RowTally> {
    let db = checkpoint.open()?;
    let mut range = ReadOptions::default();
    range.set_iterate_upper_bound([OWN]);
    let mut tally = RowTally::default();
    let mut chunk = Vec::new();
    let mut bytes = 0;
    for row in db.iterator_opt(IteratorMode::Start, range) {
        let (key, value) = row.map_err(io::Error::other)?;
        bytes += key.len() + value.len();
        let row = SnapshotRow { key: key.into_vec().into(), value: value.into_vec().into() };
        tally.add(&row);
        chunk.push(row);
        if bytes >= CHUNK_BYTES {
            bytes = 0;
            if send(std::mem::take(&mut chunk)) == Wanted::Nothing {
                return Ok(tally);
            }
        }
    }
    if !chunk.is_empty() {
        send(chunk);
    }
    Ok(tally)
}

/// Whether the receiver of rows wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    More,
    Nothing,
}

/// A state that is being received.
pub(crate) struct ImageWriter {
    store: StateStore,
    tally: RowTally,
}

impl ImageWriter {
    /// Begins an empty state in a folder of its own.
    pub(crate) fn begin(folders: &Folders) -> Result<Self, RaftFailure> {
        let folder = folders.new_state();
        // Until it is finished, it goes when it is dropped.
        folder.retire();
        Ok(Self { store: StateStore::open(folder)?, tally: RowTally::default() })
    }

    /// Adds rows. Nothing is synced yet.
    pub(crate) fn add(&mut self, rows: Vec<SnapshotRow>) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        for row in &rows {
            if row.key.first().is_none_or(|first| *first == OWN) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "expected rows of the state, found another key",
                ));
            }
            self.tally.add(row);
            batch.put(&row.key, &row.value);
        }
        self.store.db().write_opt(batch, &unlogged()).map_err(io::Error::other)
    }

    /// The state, whole and synced, as it was at `meta`.
    ///
    /// # Errors
    /// When `expected` (the sender's count and hash) is not what came.
    pub(crate) fn finish(self, meta: &SnapshotMeta, expected: (u64, &[u8])) -> io::Result<Arc<StateStore>> {
        let (rows, hash) = self.tally.finish();
        if rows != expected.0 || hash != *expected.1 {
            let problem = format!("expected {} rows with the sender's hash, found {rows}; send it again", expected.0);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let mut batch = WriteBatch::default();
        if let Some(last) = &meta.last_log_id {
            batch.put(APPLIED, last.encode());
        }
        batch.put(MEMBERSHIP, meta.last_membership.encode());
        self.store.db().write_opt(batch, &unlogged()).map_err(io::Error::other)?;
        self.store.db().flush().map_err(io::Error::other)?;
        sync_files(self.store.path())?;
        if let Some(parent) = self.store.path().parent() {
            sync(parent)?;
        }
        Ok(Arc::new(self.store))
    }

    /// A state without rows.
    pub(crate) fn empty(folders: &Folders, meta: &SnapshotMeta) -> Result<Arc<StateStore>, RaftFailure> {
        let (rows, hash) = RowTally::default().finish();
        Self::begin(folders)?.finish(meta, (rows, &hash)).map_err(|error| folders.failure(&error))
    }

    /// A state with the rows of a checkpoint of this node.
    pub(crate) fn copy(checkpoint: &StateCheckpoint, folders: &Folders) -> Result<Arc<StateStore>, RaftFailure> {
        let mut image = Self::begin(folders)?;
        let mut added = Ok(());
        let tally = read_rows(checkpoint, |rows| {
            added = image.add(rows);
            if added.is_ok() { Wanted::More } else { Wanted::Nothing }
        })
        .map_err(|error| folders.failure(&error))?;
        added.map_err(|error| folders.failure(&error))?;
        let (rows, hash) = tally.finish();
        image.finish(checkpoint.meta(), (rows, &hash)).map_err(|error| folders.failure(&error))
    }
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}
