//! Reading the log: from memory what is there, from disk what is older.
//!
//! Promise: an entry that `append` returned from is seen; entries come without holes; a bounded read returns at least
//! one entry. Absent: writing.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use futures_util::{Stream, stream};
use openraft::{OptionalSend, RaftLogReader};
use rocksdb::{IteratorMode, ReadOptions};

use super::{Shared, keys};
use crate::{
    durable::Durable,
    types::{Entry, TypeConfig, Vote},
};

/// Bytes of entries in one append to a follower: at least one entry, and entries are at most 1 MiB.
const REPLICATE_BYTES: usize = 2 << 20;
/// Bytes of entries read at once to be applied.
const APPLY_BYTES: usize = 4 << 20;

/// Reads the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Entries of `start..end` in order: the first that there is, then as many as fit `bytes_max`.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        // Memory first: what it drops meanwhile has been on disk before.
        let recent = self.shared.tail().read(start, end, bytes_max);
        let disk_end = recent.first().map_or(end, |entry| entry.log_id.index.min(end));
        if disk_end <= start {
            return Ok(recent);
        }
        let (mut entries, bytes) = self.read_disk(start, disk_end, bytes_max)?;
        if bytes < bytes_max && entries.last().is_none_or(|entry| entry.log_id.index + 1 == disk_end) {
            entries.extend(recent);
        }
        without_holes(entries)
    }

    fn read_disk(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<(Vec<Entry>, usize)> {
        let mut range = ReadOptions::default();
        range.set_iterate_lower_bound(keys::entry(start));
        range.set_iterate_upper_bound(keys::entry(end));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for row in self.shared.db.iterator_opt(IteratorMode::Start, range) {
            let (_, value) = row.map_err(io::Error::other)?;
            bytes += value.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(Entry::decode(value.into_vec())?);
        }
        Ok((entries, bytes))
    }
}

fn without_holes(entries: Vec<Entry>) -> io::Result<Vec<Entry>> {
    for pair in entries.windows(2) {
        let (before, after) = (pair[0].log_id.index, pair[1].log_id.index);
        if before + 1 != after {
            let problem = format!("expected log entry {} after {before}, found {after}", before + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
    }
    Ok(entries)
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

impl LogReader {
    /// Without what was purged: it may still be there.
    fn unpurged(&self, (start, end): (u64, u64)) -> (u64, u64) {
        let purged = self.shared.position().purged;
        (purged.map_or(start, |purged| start.max(purged.index + 1)), end)
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = self.unpurged(bounds(&range));
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.position().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let (start, end) = self.unpurged((start, end));
        self.read(start, end, REPLICATE_BYTES)
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = self.unpurged(bounds(&range));
        let reader = self.clone();
        let chunks = stream::unfold(Some(start), move |next| {
            let chunk = next.filter(|start| *start < end).map(|start| reader.read(start, end, APPLY_BYTES));
            async move {
                let chunk = chunk?;
                let next = chunk.as_ref().ok().and_then(|entries| entries.last()).map(|last| last.log_id.index + 1);
                let items: Vec<io::Result<Entry>> = match chunk {
                    Ok(entries) => entries.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                Some((stream::iter(items), next))
            }
        });
        futures_util::StreamExt::flatten(chunks)
    }
}
