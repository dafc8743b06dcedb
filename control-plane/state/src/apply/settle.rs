//! The end of a command that holds: what data nodes see of it gets the next number.
//!
//! Each visible row has one entry in the index of changes, at the number that last wrote it; one that went has a
//! tombstone there. The digest follows each change. The index is bounded, and `trimmed_through` says from where on it is
//! whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sluice_model::RowHasher;

use super::{refcount::Seen, run::Run};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// Values of entries of the index of changes.
pub(crate) const LIVE: &[u8] = &[0];
pub(crate) const GONE: &[u8] = &[1];

/// How a visible row changed.
struct Shift {
    /// Its number and value before; `None` when it was not visible.
    was: Option<(u64, Bytes)>,
    /// Its value now; `None` when it is not visible.
    now: Option<Bytes>,
}

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn settle(&mut self) {
        let shifts = self.shifts();
        if !shifts.is_empty() {
            self.progress.number += 1;
            let hasher = self.hasher();
            let mut digest = rows::digest(&self.progress);
            for (id, shift) in shifts {
                if let Some((_, value)) = &shift.was {
                    digest.remove(hasher.row(id.table, &id.key, value));
                }
                if let Some(value) = &shift.now {
                    digest.add(hasher.row(id.table, &id.key, value));
                }
                self.stamp(&id, &shift);
            }
            self.progress.digest = Bytes::copy_from_slice(&digest.to_bytes());
            self.trim_changes();
        }
        self.forget_some_requests();
    }

    /// The visible rows that the command has changed.
    fn shifts(&mut self) -> BTreeMap<RowId, Shift> {
        let crossings = self.settle_counts();
        let mut shifts = BTreeMap::new();
        for (id, before) in std::mem::take(&mut self.before) {
            let now = || self.stored(&id).map(|row| row.document);
            if rows::is_always_visible(id.table) {
                let (was, now) = (before.map(|row| (row.number, row.document)), now());
                if was.as_ref().map(|(_, value)| value) != now.as_ref() {
                    shifts.insert(id, Shift { was, now });
                }
            } else if rows::is_visible_by_reference(id.table) {
                let shift = match crossings.get(&id) {
                    Some(crossing) => {
                        let was = crossing.was.and_then(|number| Some((number, before?.document)));
                        Shift { was, now: if crossing.is == Seen::Yes { now() } else { None } }
                    }
                    None => {
                        let Some(count) = rows::ref_count(self.draft, &id).filter(|count| count.visible > 0) else {
                            continue;
                        };
                        let (was, now) = (before.map(|row| (count.number, row.document)), now());
                        if was.as_ref().map(|(_, value)| value) == now.as_ref() {
                            continue;
                        }
                        Shift { was, now }
                    }
                };
                shifts.insert(id, shift);
            }
        }
        for (id, crossing) in crossings {
            if shifts.contains_key(&id) {
                continue;
            }
            let value = self.stored(&id).map(|row| row.document).unwrap_or_default();
            let was = crossing.was.map(|number| (number, value.clone()));
            let now = (crossing.is == Seen::Yes).then_some(value);
            shifts.insert(id, Shift { was, now });
        }
        shifts
    }

    fn hasher(&mut self) -> RowHasher {
        if let Some(hasher) = &self.draft.hasher {
            return hasher.clone();
        }
        let cluster = rows::cluster(self.draft).unwrap_or_default();
        let hasher = RowHasher::new(&cluster.cluster_id, &cluster.generation);
        self.draft.hasher = Some(hasher.clone());
        hasher
    }

    /// Moves a row in the index of changes to the command's number.
    fn stamp(&mut self, id: &RowId, shift: &Shift) {
        let number = self.progress.number;
        let tombstone = keys::tombstone(id);
        match &shift.was {
            Some((old, _)) => self.drop_change(*old, id),
            None => {
                if let Some(old) = self.draft.get(&tombstone) {
                    self.drop_change(number_of(&old), id);
                    self.draft.delete(tombstone.clone());
                }
            }
        }
        let key = keys::change(number, id);
        self.progress.changes += 1;
        self.progress.change_key_bytes += key.len() as u64;
        if shift.now.is_none() {
            self.draft.put(key, GONE.to_vec());
            self.draft.put(tombstone, number.to_be_bytes().to_vec());
            return;
        }
        self.draft.put(key, LIVE.to_vec());
        if rows::is_visible_by_reference(id.table) {
            if let Some(mut count) = rows::ref_count(self.draft, id) {
                count.number = number;
                self.draft.put(keys::ref_count(id), count.encode_to_vec());
            }
        } else if let Some(mut row) = self.stored(id) {
            row.number = number;
            self.draft.put(keys::row(id), row.encode_to_vec());
        }
    }

    /// Removes a row's entry of the index of changes, unless it was trimmed before.
    fn drop_change(&mut self, number: u64, id: &RowId) {
        let key = keys::change(number, id);
        if number > self.progress.trimmed_through || self.draft.get(&key).is_some() {
            self.progress.changes -= 1;
            self.progress.change_key_bytes -= key.len() as u64;
            self.draft.delete(key);
        }
    }

    /// Keeps the index of changes within its bounds; takes a hundredth more than it must, so that it scans rarely.
    fn trim_changes(&mut self) {
        let bounds = self.bounds;
        let progress = &self.progress;
        if progress.changes <= bounds.changes_max && progress.change_key_bytes <= bounds.change_key_bytes_max {
            return;
        }
        let changes_kept = bounds.changes_max - bounds.changes_max / 100;
        let bytes_kept = bounds.change_key_bytes_max - bounds.change_key_bytes_max / 100;
        let (mut changes, mut bytes) = (progress.changes, progress.change_key_bytes);
        let from = keys::changes_from(progress.trimmed_through);
        let mut oldest = Vec::new();
        for entry in self.draft.scan(&from, &keys::changes_end()) {
            if changes <= changes_kept && bytes <= bytes_kept {
                break;
            }
            changes -= 1;
            bytes -= entry.0.len() as u64;
            oldest.push(entry);
        }
        for (key, value) in oldest {
            if let Some((number, id)) = keys::change_of(&key) {
                self.progress.trimmed_through = number;
                if value == GONE {
                    self.draft.delete(keys::tombstone(&id));
                }
            }
            self.draft.delete(key);
        }
        self.progress.changes = changes;
        self.progress.change_key_bytes = bytes;
    }
}

/// The number that a tombstone holds.
fn number_of(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}
