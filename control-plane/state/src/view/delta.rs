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

/// One row of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It came, or has another value.
    Row(VisibleRow),
    /// It went.
    Gone(Gone),
}

/// Everything that changed after one number, up to another. Rows are read as they are asked for: how much it is shows
/// only then, and whoever finds it too much stops.
pub struct Delta<'a> {
    /// What its reader holds.
    pub from: u64,
    /// What its reader holds after it.
    pub to: u64,
    /// The digest of all visible rows at `to`.
    pub digest: StateDigest,
    /// What changed, in the order of numbers.
    pub changes: Box<dyn Iterator<Item = Changed> + 'a>,
}

impl std::fmt::Debug for Delta<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delta").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl<T: Tables> View<T> {
    /// What changed after `from`; `None` when that was trimmed, or lies ahead of this state.
    pub fn delta(&self, from: u64) -> Option<Delta<'_>> {
        let progress = rows::progress(&self.0);
        if from < progress.trimmed_through || from > progress.number {
            return None;
        }
        let found = self.0.scan(&keys::changes_from(from.saturating_add(1)), &keys::changes_end());
        let changes = found.filter_map(|(key, value)| {
            let (number, id) = keys::change_of(&key)?;
            if value == GONE {
                return Some(Changed::Gone(Gone { table: id.table, key: id.key, number }));
            }
            let row = rows::stored(&self.0, &id).expect("a live entry of the index of changes has its row");
            Some(Changed::Row(VisibleRow { table: id.table, key: id.key, number, value: row.document }))
        });
        let digest = rows::digest(&progress);
        Some(Delta { from, to: progress.number, digest, changes: Box::new(changes) })
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
