//! What a node holds of the configuration: rows at one revision, and half a snapshot while one arrives.
//!
//! Promise: rows change from one whole revision to the next or not at all; within a generation never to an older one.
//! Absent: compiling, disk, the stream.

use std::collections::BTreeSet;

use sluice_compile::RowChange;
use sluice_model::{Revision, RowHasher, StateDigest};
use sluice_proto::{
    raft::Table,
    sync::{Delta, Row},
};

use crate::row_store::{Replaced, RowStore, StoredRow};

/// What a node holds.
#[derive(Debug)]
pub(crate) struct Holding {
    cluster_id: String,
    rows: RowStore,
    revision: Option<Revision>,
    arriving: Option<Arriving>,
}

/// A snapshot of which not all rows are here yet.
#[derive(Debug)]
struct Arriving {
    revision: Revision,
    rows: RowStore,
    /// Its tables; all of them when there are none.
    only: BTreeSet<i32>,
}

/// Why bytes from a control node were not taken; it is asked for a whole snapshot then.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotTaken {
    #[error("expected a delta from {held}, found one from {from}")]
    OtherBase { held: String, from: String },
    #[error("a delta leads from {from} to {to}, which is not a later revision of the same generation")]
    NotLater { from: String, to: String },
    #[error("a row belongs to table {0}, which this release does not know")]
    UnknownTable(i32),
    #[error("a row has a key of {0} bytes")]
    LongKey(usize),
    #[error("the digest at {0} differs")]
    Digest(String),
    #[error("expected {expected} rows of a snapshot, found {found}")]
    RowCount { expected: u64, found: u64 },
    #[error("rows or the end of a snapshot came without its start")]
    NoSnapshot,
    #[error("a message lacks its revision or its digest")]
    Incomplete,
    #[error("a snapshot of some tables at {to} came for {held}, which is not of the same generation or not as early")]
    OtherSnapshotBase { held: String, to: String },
    #[error("a row of table {0} came with a snapshot of others")]
    OtherTable(i32),
    #[error("a snapshot of {found} came, which is older than {held}")]
    Older { held: String, found: String },
}

impl Holding {
    /// Holds nothing yet.
    pub(crate) fn empty(cluster_id: &str) -> Self {
        let rows = RowStore::new(RowHasher::new(cluster_id, ""));
        Self { cluster_id: cluster_id.to_owned(), rows, revision: None, arriving: None }
    }

    pub(crate) fn rows(&self) -> &RowStore {
        &self.rows
    }

    pub(crate) fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    pub(crate) fn digest(&self) -> StateDigest {
        self.rows.digest()
    }

    /// Takes a whole delta; returns what it changed. When it is not taken, nothing has changed.
    pub(crate) fn delta(&mut self, delta: &Delta) -> Result<Vec<RowChange>, NotTaken> {
        let (Some(from), Some(to)) = (&delta.from, &delta.to) else { return Err(NotTaken::Incomplete) };
        let (from, to) = (Revision::from(from), Revision::from(to));
        let digest = StateDigest::from_bytes(&delta.digest).ok_or(NotTaken::Incomplete)?;
        if self.revision.as_ref() != Some(&from) {
            let held = self.revision.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            return Err(NotTaken::OtherBase { held, from: from.to_string() });
        }
        if !to.same_generation(&from) || to.number < from.number {
            return Err(NotTaken::NotLater { from: from.to_string(), to: to.to_string() });
        }
        let mut done = Vec::with_capacity(delta.rows.len() + delta.tombstones.len());
        let taken = self.apply(delta, &mut done).and_then(|()| match self.rows.digest() == digest {
            true => Ok(()),
            false => Err(NotTaken::Digest(to.to_string())),
        });
        if let Err(reason) = taken {
            while let Some(last) = done.pop() {
                self.rows.undo(last);
            }
            return Err(reason);
        }
        self.revision = Some(to);
        Ok(done.into_iter().map(change).collect())
    }

    fn apply(&mut self, delta: &Delta, done: &mut Vec<Replaced>) -> Result<(), NotTaken> {
        for row in &delta.rows {
            let (table, row) = stored(row)?;
            done.push(self.rows.put(table, row));
        }
        for gone in &delta.tombstones {
            let table = known_table(gone.table)?;
            done.push(self.rows.remove(table, &gone.key));
        }
        Ok(())
    }

    /// A snapshot begins, of all tables or only of `tables`; one that had begun before is forgotten.
    pub(crate) fn snapshot_start(&mut self, revision: Revision, tables: &[i32]) -> Result<(), NotTaken> {
        self.arriving = None;
        if let Some(held) = self.revision.as_ref().filter(|held| held.same_generation(&revision))
            && revision.number < held.number
        {
            return Err(NotTaken::Older { held: held.to_string(), found: revision.to_string() });
        }
        let only: BTreeSet<i32> = tables.iter().copied().collect();
        if !only.is_empty() && !self.revision.as_ref().is_some_and(|held| held.same_generation(&revision)) {
            let held = self.revision.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            return Err(NotTaken::OtherSnapshotBase { held, to: revision.to_string() });
        }
        let rows = RowStore::new(RowHasher::new(&self.cluster_id, &revision.generation));
        self.arriving = Some(Arriving { revision, rows, only });
        Ok(())
    }

    pub(crate) fn snapshot_rows(&mut self, rows: &[Row]) -> Result<(), NotTaken> {
        let arriving = self.arriving.as_mut().ok_or(NotTaken::NoSnapshot)?;
        for row in rows {
            let (table, row) = stored(row)?;
            if !arriving.only.is_empty() && !arriving.only.contains(&(table as i32)) {
                return Err(NotTaken::OtherTable(table as i32));
            }
            arriving.rows.put(table, row);
        }
        Ok(())
    }

    /// A snapshot is whole: it replaces what is held, or the tables that it is of. When it is not taken, it is forgotten.
    pub(crate) fn snapshot_end(&mut self, digest: &[u8], rows: u64) -> Result<(), NotTaken> {
        let arriving = self.arriving.take().ok_or(NotTaken::NoSnapshot)?;
        let digest = StateDigest::from_bytes(digest).ok_or(NotTaken::Incomplete)?;
        let found = arriving.rows.len() as u64;
        if found != rows {
            return Err(NotTaken::RowCount { expected: rows, found });
        }
        let is_whole = arriving.only.is_empty();
        let becomes =
            if is_whole { arriving.rows.digest() } else { self.rows.digest_with(&arriving.only, &arriving.rows) };
        if becomes != digest {
            return Err(NotTaken::Digest(arriving.revision.to_string()));
        }
        if is_whole {
            self.rows = arriving.rows;
        } else {
            self.rows.replace(&arriving.only, arriving.rows);
        }
        self.revision = Some(arriving.revision);
        Ok(())
    }

    /// The stream has ended: the rest of a snapshot will not come.
    pub(crate) fn forget_snapshot(&mut self) {
        self.arriving = None;
    }
}

fn stored(row: &Row) -> Result<(Table, StoredRow), NotTaken> {
    let stored = StoredRow::new(&row.key, &row.value).ok_or(NotTaken::LongKey(row.key.len()))?;
    Ok((known_table(row.table)?, stored))
}

fn known_table(table: i32) -> Result<Table, NotTaken> {
    Table::try_from(table).map_err(|_| NotTaken::UnknownTable(table))
}

/// What compiling has to know of a change: the row before only where the new rows do not tell (the hash of a key).
fn change(replaced: Replaced) -> RowChange {
    let before = replaced.before.filter(|_| replaced.table == Table::KeyView).map(|row| row.value().to_vec());
    RowChange { table: replaced.table, key: replaced.key, before }
}

#[cfg(test)]
mod tests {
    use sluice_compile::Rows;
    use sluice_proto::sync::Tombstone;

    use super::*;

    fn revision(generation: &str, number: u64) -> Option<sluice_proto::model::Revision> {
        Some(Revision::new(generation, number).into())
    }

    fn row(key: &'static str, value: &'static str) -> Row {
        Row { table: Table::Plan as i32, key: key.into(), number: 1, value: value.into() }
    }

    fn digest(generation: &str, rows: &[(&str, &str)]) -> Vec<u8> {
        let (hasher, mut digest) = (RowHasher::new("cluster", generation), StateDigest::default());
        for (key, value) in rows {
            digest.add(hasher.row(Table::Plan, key.as_bytes(), value.as_bytes()));
        }
        digest.to_bytes().to_vec()
    }

    fn held() -> Holding {
        let mut holding = Holding::empty("cluster");
        holding.snapshot_start(Revision::new("g", 5), &[]).unwrap();
        holding.snapshot_rows(&[row("a", "1"), row("b", "2")]).unwrap();
        holding.snapshot_end(&digest("g", &[("a", "1"), ("b", "2")]), 2).unwrap();
        holding
    }

    fn delta(from: u64, to: u64) -> Delta {
        Delta {
            from: revision("g", from),
            to: revision("g", to),
            rows: vec![row("a", "new")],
            tombstones: vec![Tombstone { table: Table::Plan as i32, key: "b".into(), number: to }],
            digest: digest("g", &[("a", "new")]).into(),
            last: true,
        }
    }

    #[test]
    fn a_delta_moves_from_the_held_revision_to_the_next() {
        let mut holding = held();
        let changes = holding.delta(&delta(5, 8)).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!(holding.revision(), Some(&Revision::new("g", 8)));
        assert_eq!((holding.rows().get(Table::Plan, b"a"), holding.rows().len()), (Some(&b"new"[..]), 1));
    }

    #[test]
    fn a_delta_that_does_not_fit_changes_nothing() {
        let whole = delta(5, 8);
        let wrong = [
            delta(4, 8),
            delta(5, 4),
            Delta { to: revision("other", 8), ..whole.clone() },
            Delta { from: revision("other", 5), ..whole.clone() },
            Delta { from: None, ..whole.clone() },
            Delta { digest: digest("g", &[]).into(), ..whole.clone() },
            Delta { digest: "short".into(), ..whole.clone() },
            Delta { rows: vec![row("a", "new"), Row { table: 999, ..row("c", "") }], ..whole.clone() },
        ];
        for delta in wrong {
            let mut holding = held();
            let before = holding.digest();
            assert!(holding.delta(&delta).is_err(), "{delta:?}");
            assert_eq!((holding.digest(), holding.revision().unwrap().number), (before, 5));
            assert!(holding.delta(&whole).is_ok(), "the right one still fits");
        }
    }

    #[test]
    fn a_snapshot_is_swapped_in_whole_or_not_at_all() {
        let mut holding = held();
        let before = holding.digest();
        assert_eq!(holding.snapshot_rows(&[]), Err(NotTaken::NoSnapshot));
        for (bytes, rows) in [(digest("g", &[("z", "9")]), 2), (digest("g", &[]), 1), (vec![], 1)] {
            holding.snapshot_start(Revision::new("g", 9), &[]).unwrap();
            holding.snapshot_rows(&[row("z", "9")]).unwrap();
            assert!(holding.snapshot_end(&bytes, rows).is_err());
            assert_eq!(holding.digest(), before);
        }
        assert_eq!(holding.snapshot_end(&digest("g", &[]), 0), Err(NotTaken::NoSnapshot));
    }

    #[test]
    fn a_generation_never_goes_back_but_another_one_may_begin_anywhere() {
        let mut holding = held();
        assert!(matches!(holding.snapshot_start(Revision::new("g", 4), &[]), Err(NotTaken::Older { .. })));
        holding.snapshot_start(Revision::new("g", 5), &[]).unwrap();
        holding.snapshot_start(Revision::new("other", 1), &[]).unwrap();
        holding.snapshot_end(&digest("other", &[]), 0).unwrap();
        assert_eq!(holding.revision(), Some(&Revision::new("other", 1)));
    }

    #[test]
    fn some_tables_are_replaced_and_the_others_stay() {
        let mut holding = held();
        let stage = Row { table: Table::Stage as i32, key: "a/prod".into(), number: 1, value: "wrong".into() };
        let (table, row) = stored(&stage).unwrap();
        holding.rows.put(table, row);
        let right = Row { value: "right".into(), ..stage };
        let mut expect = holding.rows.clone();
        let (table, row) = stored(&right).unwrap();
        expect.put(table, row);
        let digest = expect.digest().to_bytes();
        let tables = [Table::Stage as i32];
        holding.snapshot_start(Revision::new("g", 5), &tables).unwrap();
        assert_eq!(holding.snapshot_rows(&[self::row("a", "1")]), Err(NotTaken::OtherTable(Table::Plan as i32)));
        holding.snapshot_start(Revision::new("g", 5), &tables).unwrap();
        holding.snapshot_rows(std::slice::from_ref(&right)).unwrap();
        holding.snapshot_end(&digest, 1).unwrap();
        assert_eq!(holding.rows().get(Table::Stage, b"a/prod"), Some(&b"right"[..]));
        assert_eq!(holding.rows().get(Table::Plan, b"a"), Some(&b"1"[..]));
        assert_eq!(holding.digest().to_bytes(), digest);
        assert_eq!(holding.rows().len(), 3);
        // One that does not come out right changes nothing, and one of another generation has nothing to stand on.
        holding.snapshot_start(Revision::new("g", 6), &tables).unwrap();
        assert_eq!(holding.snapshot_end(&digest, 0), Err(NotTaken::Digest("6@g".to_owned())));
        assert_eq!((holding.rows().len(), holding.revision()), (3, Some(&Revision::new("g", 5))));
        assert!(matches!(
            holding.snapshot_start(Revision::new("h", 9), &tables),
            Err(NotTaken::OtherSnapshotBase { .. })
        ));
    }
}
