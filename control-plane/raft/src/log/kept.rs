//! Entries that openraft has purged but that are kept on disk, so that an earlier state can be made again.
//!
//! Promise: openraft never sees them: for it they are gone. Absent: how far back they are kept (`history`).

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use rocksdb::{IteratorMode, ReadOptions};

use super::{LogReader, LogStore, Shared, keys};
use crate::types::Entry;

/// Bytes of entries read at once.
const READ_BYTES: usize = 4 << 20;

/// The log with its past.
#[derive(Clone)]
pub(crate) struct KeptLog {
    shared: Arc<Shared>,
}

impl LogStore {
    pub(crate) fn kept(&self) -> KeptLog {
        KeptLog { shared: self.shared.clone() }
    }
}

impl KeptLog {
    /// Entries from `index` on stay on disk, also when they are purged; those before it go with the next purge.
    pub(crate) fn keep_from(&self, index: u64) {
        self.shared.kept_from.store(index, Ordering::Release);
    }

    /// Whether nothing was ever purged: the log says all that there is.
    pub(crate) fn is_whole(&self) -> bool {
        self.shared.position().purged.is_none()
    }

    /// The first entry on disk; `None` for an empty log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn first(&self) -> io::Result<Option<u64>> {
        let mut range = ReadOptions::default();
        range.set_iterate_lower_bound(keys::entry(0));
        range.set_iterate_upper_bound(keys::after_entries());
        let first = self.shared.db.iterator_opt(IteratorMode::Start, range).next();
        let key = first.transpose().map_err(io::Error::other)?.map(|(key, _)| key);
        Ok(key.as_deref().and_then(keys::index_of))
    }

    /// Entries of `start..end`, the first and as many more as are read at once.
    ///
    /// # Errors
    /// When the log cannot be read, or lacks the first of them.
    pub(crate) fn read(&self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = LogReader::new(self.shared.clone()).read(start, end, READ_BYTES)?;
        match entries.first() {
            Some(entry) if entry.log_id.index == start => Ok(entries),
            found => {
                let found = found.map_or("none".to_owned(), |entry| format!("entry {}", entry.log_id.index));
                Err(io::Error::other(format!("expected entry {start} of the log, found {found}")))
            }
        }
    }
}
