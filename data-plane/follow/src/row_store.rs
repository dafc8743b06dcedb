//! The visible rows as they came: encoded, and frugal, since most of a node's memory is here.
//!
//! Promise: a row costs its bytes, 2 for the length of its key, the 16 of an `Arc` and about 25 of the table; the digest is
//! always that of the rows that are here. Absent: numbers of rows; a node compares revisions and digests only.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use ahash::RandomState;
use sluice_compile::Rows;
use sluice_model::{RowHasher, StateDigest};
use sluice_proto::raft::Table;

/// Bytes before the key: its length.
const HEADER: usize = 2;

/// A row: the length of its key, its key, its value. Clones share the bytes.
#[derive(Debug, Clone)]
pub(crate) struct StoredRow(Arc<[u8]>);

/// The rows of all tables.
#[derive(Debug, Clone)]
pub(crate) struct RowStore {
    tables: HashMap<i32, TableRows, RandomState>,
    hasher: RowHasher,
    digest: StateDigest,
}

/// The rows of one table.
#[derive(Debug, Clone, Default)]
struct TableRows {
    rows: HashSet<StoredRow, RandomState>,
    digest: StateDigest,
}

/// A row that was put or taken away, and what was there before.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) before: Option<StoredRow>,
}

impl StoredRow {
    /// Returns the row; `None` when the key is longer than 65,535 bytes.
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Option<Self> {
        let key_len = u16::try_from(key.len()).ok()?.to_le_bytes();
        Some(Self([&key_len[..], key, value].concat().into()))
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0[HEADER..HEADER + self.key_len()]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.0[HEADER + self.key_len()..]
    }

    fn key_len(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]]))
    }
}

// A row in a set is found by its key alone.
impl PartialEq for StoredRow {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for StoredRow {}

impl Hash for StoredRow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Borrow<[u8]> for StoredRow {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl RowStore {
    pub(crate) fn new(hasher: RowHasher) -> Self {
        Self { tables: HashMap::default(), hasher, digest: StateDigest::default() }
    }

    pub(crate) fn digest(&self) -> StateDigest {
        self.digest
    }

    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(|table| table.rows.len()).sum()
    }

    /// Puts a row; returns what was there.
    pub(crate) fn put(&mut self, table: Table, row: StoredRow) -> Replaced {
        let key = row.key().to_vec();
        let hash = self.hasher.row(table, &key, row.value());
        self.digest.add(hash);
        let rows = self.tables.entry(table as i32).or_default();
        rows.digest.add(hash);
        let before = rows.rows.replace(row);
        self.forget(table, before.as_ref());
        Replaced { table, key, before }
    }

    /// Takes a row away; returns what was there.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Replaced {
        let before = self.tables.get_mut(&(table as i32)).and_then(|table| table.rows.take(key));
        self.forget(table, before.as_ref());
        Replaced { table, key: key.to_vec(), before }
    }

    /// Undoes one `put` or `remove`; several are undone from the last to the first.
    pub(crate) fn undo(&mut self, replaced: Replaced) {
        match replaced.before {
            Some(row) => self.put(replaced.table, row),
            None => self.remove(replaced.table, &replaced.key),
        };
    }

    /// All rows, shared: what a copy on disk is written from while the store goes on changing.
    pub(crate) fn share(&self) -> Vec<(Table, StoredRow)> {
        let mut rows = Vec::with_capacity(self.len());
        for (table, stored) in &self.tables {
            let table = Table::try_from(*table).expect("rows are put under a known table");
            rows.extend(stored.rows.iter().map(|row| (table, row.clone())));
        }
        rows
    }

    fn forget(&mut self, table: Table, row: Option<&StoredRow>) {
        if let Some(row) = row {
            let hash = self.hasher.row(table, row.key(), row.value());
            self.digest.remove(hash);
            self.tables.entry(table as i32).or_default().digest.remove(hash);
        }
    }

    /// The digest of each table that has, or had, rows.
    pub(crate) fn table_digests(&self) -> Vec<(Table, StateDigest)> {
        let known = |(table, rows): (&i32, &TableRows)| Some((Table::try_from(*table).ok()?, rows.digest));
        self.tables.iter().filter_map(known).collect()
    }

    /// The digest of all rows, were those of `tables` replaced by the ones of `others`.
    pub(crate) fn digest_with(&self, tables: &BTreeSet<i32>, others: &Self) -> StateDigest {
        let mut digest = self.digest;
        tables.iter().filter_map(|table| self.tables.get(table)).for_each(|rows| digest.remove_all(rows.digest));
        digest.add_all(others.digest);
        digest
    }

    /// Puts the rows of `others` in place of those of `tables`.
    pub(crate) fn replace(&mut self, tables: &BTreeSet<i32>, mut others: Self) {
        self.digest = self.digest_with(tables, &others);
        for table in tables {
            self.tables.insert(*table, others.tables.remove(table).unwrap_or_default());
        }
    }
}

impl Rows for RowStore {
    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.tables.get(&(table as i32))?.rows.get(key).map(StoredRow::value)
    }

    fn rows(&self, table: Table) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        let rows = self.tables.get(&(table as i32)).into_iter().flat_map(|table| &table.rows);
        Box::new(rows.map(|row| (row.key(), row.value())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> RowStore {
        RowStore::new(RowHasher::new("cluster", "generation"))
    }

    fn row(key: &str, value: &str) -> StoredRow {
        StoredRow::new(key.as_bytes(), value.as_bytes()).unwrap()
    }

    #[test]
    fn the_digest_is_that_of_the_rows_whatever_happened_before() {
        let mut changed = store();
        changed.put(Table::Stage, row("a", "1"));
        changed.put(Table::Stage, row("a", "2"));
        changed.put(Table::Plan, row("a", "3"));
        changed.put(Table::Plan, row("b", "4"));
        changed.remove(Table::Plan, b"b");
        changed.remove(Table::Plan, b"none");
        let mut fresh = store();
        fresh.put(Table::Plan, row("a", "3"));
        fresh.put(Table::Stage, row("a", "2"));
        assert_eq!(changed.digest(), fresh.digest());
        assert_eq!((changed.len(), changed.get(Table::Stage, b"a")), (2, Some(&b"2"[..])));
        assert_eq!(changed.rows(Table::Plan).collect::<Vec<_>>(), [(&b"a"[..], &b"3"[..])]);
    }

    #[test]
    fn what_is_undone_never_was() {
        let mut rows = store();
        rows.put(Table::Stage, row("a", "1"));
        let before = rows.clone();
        let mut done = vec![rows.put(Table::Stage, row("a", "2")), rows.put(Table::Stage, row("b", "3"))];
        done.push(rows.remove(Table::Stage, b"a"));
        while let Some(last) = done.pop() {
            rows.undo(last);
        }
        assert_eq!(rows.digest(), before.digest());
        assert_eq!((rows.len(), rows.get(Table::Stage, b"a")), (1, Some(&b"1"[..])));
    }

    #[test]
    fn an_empty_key_and_value_are_kept() {
        let row = row("", "");
        assert_eq!((row.key(), row.value()), (&b""[..], &b""[..]));
        assert!(StoredRow::new(&vec![0; 70_000], b"").is_none());
    }
}
