//! The state at one instant, owned: readers keep it as long as they like.
//!
//! Promise: what it shows never changes, also when the store is written, or replaced by a received snapshot meanwhile;
//! it is cheap to make and to clone. Absent: unsafe code of ours; `self_cell` ties RocksDB's snapshot to its database.

use std::sync::Arc;

use rocksdb::{DB, IteratorMode, SnapshotWithThreadMode};
use self_cell::self_cell;
use sluice_state::{Rows, Tables};

use super::{APPLIED, StateStore, range, rows};
use crate::{durable::Durable as _, failure::stop_process, types::LogId};

type Instant<'a> = SnapshotWithThreadMode<'a, DB>;

self_cell!(
    struct Held {
        owner: Arc<StateStore>,
        #[covariant]
        dependent: Instant,
    }
);

/// The replicated state at one instant. Clones share it.
#[derive(Clone)]
pub struct StoreSnapshot {
    held: Arc<Held>,
}

impl StoreSnapshot {
    /// The state as it is now.
    pub(crate) fn of(store: Arc<StateStore>) -> Self {
        Self { held: Arc::new(Held::new(store, |store| store.db().snapshot())) }
    }

    /// The last log index whose effect this shows; none before the first entry.
    pub fn applied_index(&self) -> Option<u64> {
        let stored = self.held.borrow_dependent().get(APPLIED);
        let decoded = stored
            .map_err(|error| error.to_string())
            .and_then(|bytes| bytes.map(LogId::decode).transpose().map_err(|error| error.to_string()));
        decoded.unwrap_or_else(|problem| stop_process("reading the state", &problem)).map(|id| id.index)
    }
}

impl std::fmt::Debug for StoreSnapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sequence = self.held.borrow_dependent().sequence_number();
        formatter.debug_struct("StoreSnapshot").field("sequence", &sequence).finish_non_exhaustive()
    }
}

impl Tables for StoreSnapshot {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.held.borrow_dependent().get(key).unwrap_or_else(|error| stop_process("reading the state", &error))
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.held.borrow_dependent().iterator_opt(IteratorMode::Start, range)),
            None => Box::new(std::iter::empty()),
        }
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.held.borrow_dependent().iterator_opt(IteratorMode::End, range)),
            None => Box::new(std::iter::empty()),
        }
    }
}
