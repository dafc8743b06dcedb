//! What data nodes see: all of it, or what changed after a number.

use bytes::Bytes;
use sluice_model::StateDigest;
use sluice_proto::raft::{RefCount, StoredRow, Table};

use super::View;
use crate::{
    apply::GONE,
    keys::{self, RowId},
    rows::{self, VISIBLE},
    tables::Tables,
};

/// A row that data nodes see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleRow {
    /// Its table.
    pub table: Table,
    /// Its encoded key.
    pub key: Vec<u8>,
    /// The number at which it last changed.
    pub number: u64,
    /// Its bytes as stored.
    pub value: Bytes,
}

/// A row that data nodes see no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its table.
    pub table: Table,
    /// Its encoded key.
    pub key: Vec<u8>,
    /// The number at which it went.
    pub number: u64,
}

/// Everything that changed after one number, up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// What its reader holds.
    pub from: u64,
    /// What its reader holds after it.
    pub to: u64,
    /// Rows that came or changed, in the order of their numbers.
    pub rows: Vec<VisibleRow>,
    /// Rows that went.
    pub tombstones: Vec<Gone>,
    /// The digest of all visible rows at `to`.
    pub digest: StateDigest,
}

impl<T: Tables> View<T> {
    /// What changed after `from`; `None` when that was trimmed, or lies ahead of this state.
    pub fn delta(&self, from: u64) -> Option<Delta> {
        let progress = rows::progress(&self.0);
        if from < progress.trimmed_through || from > progress.number {
            return None;
        }
        let digest = rows::digest(&progress);
        let mut delta = Delta { from, to: progress.number, rows: Vec::new(), tombstones: Vec::new(), digest };
        if from == progress.number {
            return Some(delta);
        }
        for (key, value) in self.0.scan(&keys::changes_from(from + 1), &keys::changes_end()) {
            let Some((number, id)) = keys::change_of(&key) else { continue };
            if value == GONE {
                delta.tombstones.push(Gone { table: id.table, key: id.key, number });
            } else {
                let row = rows::stored(&self.0, &id).expect("a live entry of the index of changes has its row");
                delta.rows.push(VisibleRow { table: id.table, key: id.key, number, value: row.document });
            }
        }
        Some(delta)
    }

    /// Every row that data nodes see: content, parts and deployments before the stages that lead to them.
    pub fn visible_rows(&self) -> Box<dyn Iterator<Item = VisibleRow> + '_> {
        Box::new(VISIBLE.into_iter().flat_map(|table| self.visible_rows_of(table)))
    }

    fn visible_rows_of(&self, table: Table) -> Box<dyn Iterator<Item = VisibleRow> + '_> {
        if rows::is_always_visible(table) {
            let (from, to) = keys::rows_below(table, &[]);
            return Box::new(self.0.scan(&from, &to).filter_map(move |(key, value)| {
                let id = keys::row_of(&key)?;
                let row: StoredRow = rows::decode(value.into());
                Some(VisibleRow { table, key: id.key, number: row.number, value: row.document })
            }));
        }
        let (from, to) = keys::ref_counts(table);
        Box::new(self.0.scan(&from, &to).filter_map(move |(key, value)| {
            let count: RefCount = rows::decode(value.into());
            let id: RowId = keys::row_of(&key).filter(|_| count.visible > 0)?;
            let row = rows::stored(&self.0, &id).expect("a counted row exists");
            Some(VisibleRow { table, key: id.key, number: count.number, value: row.document })
        }))
    }
}
