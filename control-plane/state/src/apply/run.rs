//! A command as it runs: reads and writes of rows, with their indexes, remembering what stood before.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use sluice_model::{limits, part};
use sluice_proto::raft::{Progress, RowRef, StoredRow, Table, rejected::Code};

use super::{
    Bounds,
    entry::OpenApi,
    refusal::{Flow, describe, invalid, not_found, refuse_for, refuse_row},
};
use crate::{
    draft::Draft,
    keys::{self, RowId},
    rows,
    tables::{Tables, prefix_end},
};

/// One running command.
pub(super) struct Run<'d, 'b, T: Tables> {
    pub(super) bounds: Bounds,
    pub(super) draft: &'d mut Draft<'b, T>,
    /// The log index: the version of every row it writes.
    pub(super) version: u64,
    pub(super) stamp_ms: u64,
    pub(super) progress: Progress,
    /// Rows it wrote, as they were before it.
    pub(super) before: BTreeMap<RowId, Option<StoredRow>>,
    /// Changes of reference counts, settled at its end, so that what only moves is not touched.
    pub(super) any: BTreeMap<RowId, i64>,
    pub(super) visible: BTreeMap<RowId, i64>,
    /// APIs whose parts it edits.
    pub(super) open: BTreeMap<String, OpenApi>,
}

/// What an existing row must be like for a write to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Anything,
    Nothing,
    Version(u64),
}

impl From<Option<u64>> for Expected {
    fn from(version: Option<u64>) -> Self {
        match version {
            None => Self::Anything,
            Some(0) => Self::Nothing,
            Some(version) => Self::Version(version),
        }
    }
}

impl<'d, 'b, T: Tables> Run<'d, 'b, T> {
    pub(super) fn new(
        bounds: Bounds,
        draft: &'d mut Draft<'b, T>,
        version: u64,
        stamp_ms: u64,
        progress: Progress,
    ) -> Self {
        Self {
            bounds,
            draft,
            version,
            stamp_ms,
            progress,
            before: BTreeMap::new(),
            any: BTreeMap::new(),
            visible: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn stored(&self, id: &RowId) -> Option<StoredRow> {
        rows::stored(self.draft, id)
    }

    /// The version that a row had before this command: what its author saw.
    pub(super) fn version_before(&self, id: &RowId, current: &StoredRow) -> u64 {
        match self.before.get(id) {
            Some(before) => before.as_ref().map_or(0, |row| row.version),
            None => current.version,
        }
    }

    pub(super) fn check_version(&self, id: &RowId, current: Option<&StoredRow>, expected: Expected) -> Flow {
        match (expected, current) {
            (Expected::Anything, _) | (Expected::Nothing, None) => Ok(()),
            (Expected::Nothing, Some(_)) => already_exists(id),
            (Expected::Version(_), None) => not_found(id),
            (Expected::Version(version), Some(current)) => {
                let found = self.version_before(id, current);
                if found == version { Ok(()) } else { version_changed(id, version, found) }
            }
        }
    }

    /// Writes a row of a table that is not content-addressed, and its indexes.
    pub(super) fn write_row(&mut self, id: &RowId, mut row: StoredRow) -> Flow {
        let current = self.stored(id);
        self.claim_unique(id, current.as_ref(), &row)?;
        if current.as_ref().map(|current| &current.name) != Some(&row.name) {
            if let Some(current) = current.as_ref().filter(|current| !current.name.is_empty()) {
                self.draft.delete(keys::name(id, &current.name));
            }
            if !row.name.is_empty() {
                self.draft.put(keys::name(id, &row.name), Vec::new());
            }
        }
        self.move_refs(id, current.as_ref().map_or(&[][..], |current| &current.refs), &row.refs);
        let before = self.before.entry(id.clone()).or_insert(current);
        row.number = before.as_ref().map_or(0, |before| before.number);
        row.version = self.version;
        self.draft.put(keys::row(id), row.encode_to_vec());
        Ok(())
    }

    /// Removes a row and its indexes.
    pub(super) fn remove_row(&mut self, id: &RowId, current: StoredRow) {
        if !current.name.is_empty() {
            self.draft.delete(keys::name(id, &current.name));
        }
        if !current.unique.is_empty() {
            self.draft.delete(keys::unique(id.table, &current.unique));
        }
        self.move_refs(id, &current.refs, &[]);
        self.draft.delete(keys::row(id));
        self.before.entry(id.clone()).or_insert(Some(current));
    }

    fn claim_unique(&mut self, id: &RowId, current: Option<&StoredRow>, row: &StoredRow) -> Flow {
        let held = current.map_or(&[][..], |current| &current.unique);
        if held == row.unique {
            return Ok(());
        }
        if !row.unique.is_empty() {
            let key = keys::unique(id.table, &row.unique);
            if let Some(other) = self.draft.get(&key) {
                let other = RowId::new(id.table, other);
                let message = format!("expected a value that no other row holds, found it at {}", describe(&other));
                return refuse_for(Code::NotUnique, id, &other, message);
            }
            self.draft.put(key, id.key.clone());
        }
        if !held.is_empty() {
            self.draft.delete(keys::unique(id.table, held));
        }
        Ok(())
    }

    /// Keeps the index of referrers, and counts the deployments that stages lead to.
    fn move_refs(&mut self, from: &RowId, old: &[RowRef], new: &[RowRef]) {
        let ids = |refs: &[RowRef]| -> BTreeSet<RowId> {
            refs.iter().map(|to| RowId::of_parts(to.table(), &to.key)).collect()
        };
        let (old, new) = (ids(old), ids(new));
        for to in old.difference(&new) {
            self.draft.delete(keys::referrer(to, from));
            if from.table == Table::Stage && to.table == Table::Deployment {
                *self.visible.entry(to.clone()).or_default() -= 1;
            }
        }
        for to in new.difference(&old) {
            self.draft.put(keys::referrer(to, from), Vec::new());
            if from.table == Table::Stage && to.table == Table::Deployment {
                *self.visible.entry(to.clone()).or_default() += 1;
            }
        }
    }

    /// The rows that refer to `to`, at most `most`.
    pub(super) fn referrers(&self, to: &RowId, most: usize) -> Vec<RowId> {
        let prefix = keys::referrers(to);
        let found = self.draft.scan(&prefix, &prefix_end(&prefix));
        found.filter_map(|(key, _)| keys::referrer_of(&prefix, &key)).take(most).collect()
    }

    /// Refuses when a row refers to `to`.
    pub(super) fn expect_unreferenced(&self, to: &RowId) -> Flow {
        match self.referrers(to, 1).first() {
            None => Ok(()),
            Some(from) => referenced(to, from),
        }
    }

    /// Checks that the rows that `refs` name exist; returns them sorted, each once.
    pub(super) fn resolve_refs(&mut self, refs: &[RowRef]) -> Flow<Vec<RowRef>> {
        if refs.len() > limits::ROW_REFS_MAX {
            return invalid(format!("expected at most {} references, found {}", limits::ROW_REFS_MAX, refs.len()));
        }
        let mut ids = BTreeSet::new();
        for to in refs {
            let id = row_id(to)?;
            if !ids.contains(&id) && !self.exists(&id) {
                return not_found(&id);
            }
            ids.insert(id);
        }
        Ok(ids.iter().map(RowId::to_ref).collect())
    }

    /// Whether a row, or an entry of a part, exists.
    fn exists(&mut self, id: &RowId) -> bool {
        if part::is_entry_table(id.table) {
            return self.entry_exists(id);
        }
        self.draft.get(&keys::row(id)).is_some()
    }
}

/// The row that a command names.
pub(super) fn row_id(row: &RowRef) -> Flow<RowId> {
    let table = Table::try_from(row.table).unwrap_or_default();
    if part::key_len(table) != Some(row.key.len()) || !part::key_is_valid(&row.key) {
        return invalid(format!("expected the key of a row of {}, found another", table.as_str_name()));
    }
    Ok(RowId::of_parts(table, &row.key))
}

pub(super) fn already_exists<R>(id: &RowId) -> Flow<R> {
    refuse_row(Code::AlreadyExists, id, format!("expected nothing, found {}", describe(id)))
}

pub(super) fn version_changed<R>(id: &RowId, expected: u64, found: u64) -> Flow<R> {
    let message = format!("expected {} at version {expected}, found version {found}", describe(id));
    refuse_row(Code::VersionChanged, id, message)
}

pub(super) fn referenced<R>(to: &RowId, from: &RowId) -> Flow<R> {
    let message = format!("expected no reference to {}, found one from {}", describe(to), describe(from));
    refuse_for(Code::Referenced, to, from, message)
}
