//! The end of the log in memory.
//!
//! Promise: holds every entry that is not yet on disk, and as many of the last ones as fit its bytes, so that
//! replication and apply rarely read the disk. Absent: locks.

use std::collections::VecDeque;

use crate::types::Entry;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    bytes_max: usize,
    /// The first index that is not on disk.
    unwritten: u64,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Index of the first entry held.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    fn next(&self) -> Option<u64> {
        self.entries.back().map(|(entry, _)| entry.log_id.index + 1)
    }

    /// Adds the next entry, `size` bytes on disk. After a gap (a snapshot was installed) the tail begins anew.
    pub(crate) fn push(&mut self, entry: Entry, size: usize) {
        let index = entry.log_id.index;
        if self.next().is_some_and(|next| next != index) {
            self.entries.clear();
            self.bytes = 0;
        }
        if self.entries.is_empty() {
            self.unwritten = index;
        }
        self.bytes += size;
        self.entries.push_back((entry, size));
    }

    /// Notes that everything before `next` is on disk, and forgets the oldest of it that does not fit.
    pub(crate) fn written(&mut self, next: u64) {
        self.unwritten = self.unwritten.max(next);
        while self.bytes > self.bytes_max && self.first().is_some_and(|first| first < self.unwritten) {
            self.pop_front();
        }
    }

    /// Drops entries from `from` on.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.next().is_some_and(|next| next > from) {
            if let Some((_, size)) = self.entries.pop_back() {
                self.bytes -= size;
            }
        }
        self.unwritten = self.unwritten.min(from);
    }

    /// Drops entries up to and including `through`.
    pub(crate) fn purge(&mut self, through: u64) {
        while self.first().is_some_and(|first| first <= through) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some((_, size)) = self.entries.pop_front() {
            self.bytes -= size;
        }
    }

    /// Entries of `start..end`, the first always, then as many as fit `bytes_max`.
    pub(crate) fn read(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Entry> {
        let Some(first) = self.first() else { return Vec::new() };
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut found = Vec::new();
        for (entry, size) in self.entries.iter().skip(skip) {
            bytes += size;
            if entry.log_id.index >= end || (bytes > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use openraft::{EntryPayload, impls::leader_id_adv::LeaderId};

    use super::*;
    use crate::types::LogId;

    fn entry(index: u64) -> Entry {
        Entry { log_id: LogId::new(LeaderId { term: 1, node_id: 1 }, index), payload: EntryPayload::Blank }
    }

    fn indexes(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn what_is_not_on_disk_is_never_forgotten() {
        let mut tail = Tail::new(25);
        for index in 1..=10 {
            tail.push(entry(index), 10);
        }
        tail.written(6);
        assert_eq!(tail.first(), Some(6));
        tail.written(11);
        assert_eq!(indexes(&tail.read(0, 100, usize::MAX)), [9, 10]);
    }

    #[test]
    fn a_read_is_bounded_by_bytes_but_never_empty() {
        let mut tail = Tail::new(1_000);
        for index in 1..=5 {
            tail.push(entry(index), 10);
        }
        assert_eq!(indexes(&tail.read(2, 6, 1)), [2]);
        assert_eq!(indexes(&tail.read(2, 6, 30)), [2, 3, 4]);
        assert_eq!(indexes(&tail.read(2, 4, 300)), [2, 3]);
        assert_eq!(indexes(&tail.read(6, 9, 300)), [0_u64; 0]);
    }

    #[test]
    fn a_truncated_and_a_purged_end_are_gone() {
        let mut tail = Tail::new(1_000);
        for index in 1..=5 {
            tail.push(entry(index), 10);
        }
        tail.truncate(4);
        tail.purge(1);
        assert_eq!(indexes(&tail.read(0, 9, 300)), [2, 3]);
        tail.push(entry(4), 10);
        assert_eq!(indexes(&tail.read(0, 9, 300)), [2, 3, 4]);
        tail.push(entry(9), 10);
        assert_eq!(indexes(&tail.read(0, 10, 300)), [9]);
    }
}
