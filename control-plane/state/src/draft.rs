//! Writes laid over tables, so that a command's effects are taken whole or not at all.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Range},
    iter::Peekable,
};

use sluice_model::RowHasher;

use crate::tables::{Rows, Tables};

/// What was written: a value, or that the key is gone.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes over tables: those of finished commands and, above them, those of the command that runs.
#[derive(Debug)]
pub struct Draft<'a, T: Tables> {
    base: &'a T,
    finished: Writes,
    running: Writes,
    /// Kept between commands of a batch; made from the cluster's row, which is written once.
    pub(crate) hasher: Option<RowHasher>,
}

impl<'a, T: Tables> Draft<'a, T> {
    /// A draft without writes.
    pub fn new(base: &'a T) -> Self {
        Self { base, finished: Writes::new(), running: Writes::new(), hasher: None }
    }

    /// What the finished commands wrote.
    pub fn into_writes(self) -> Writes {
        self.finished
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.running.insert(key, Some(value));
    }

    /// Removes a row.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.running.insert(key, None);
    }

    /// The running command has succeeded: its writes stay.
    pub(crate) fn keep(&mut self) {
        if self.finished.is_empty() {
            std::mem::swap(&mut self.finished, &mut self.running);
        } else {
            // Not `append`, which builds the whole map again: a batch would cost the square of its commands.
            self.finished.extend(std::mem::take(&mut self.running));
        }
    }

    /// The running command is refused: its writes are forgotten.
    pub(crate) fn forget(&mut self) {
        self.running.clear();
    }

    fn ranges(&self, from: &[u8], to: &[u8]) -> [Range<'_, Vec<u8>, Option<Vec<u8>>>; 2] {
        [&self.running, &self.finished].map(|writes| {
            if from >= to {
                writes.range(Vec::new()..Vec::new())
            } else {
                writes.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
            }
        })
    }
}

impl<T: Tables> Tables for Draft<'_, T> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(written) = self.running.get(key).or_else(|| self.finished.get(key)) {
            return written.clone();
        }
        self.base.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        let [running, finished] = self.ranges(from, to);
        let finished = finished.map(|(key, value)| (key.clone(), value.clone()));
        let running = running.map(|(key, value)| (key.clone(), value.clone()));
        let base = self.base.scan(from, to).map(|(key, value)| (key, Some(value)));
        let below = Overlay::new(finished, base, Ordering::Less);
        Box::new(Overlay::new(running, below, Ordering::Less).filter_map(|(key, value)| Some((key, value?))))
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        let [running, finished] = self.ranges(from, to);
        let finished = finished.rev().map(|(key, value)| (key.clone(), value.clone()));
        let running = running.rev().map(|(key, value)| (key.clone(), value.clone()));
        let base = self.base.scan_back(from, to).map(|(key, value)| (key, Some(value)));
        let below = Overlay::new(finished, base, Ordering::Greater);
        Box::new(Overlay::new(running, below, Ordering::Greater).filter_map(|(key, value)| Some((key, value?))))
    }
}

/// Two sorted sequences of writes as one, the upper one winning where both have a key.
struct Overlay<U: Iterator, L: Iterator> {
    upper: Peekable<U>,
    lower: Peekable<L>,
    /// What a key that comes first compares as: `Less` ascending, `Greater` descending.
    first: Ordering,
}

type Write = (Vec<u8>, Option<Vec<u8>>);

impl<U: Iterator<Item = Write>, L: Iterator<Item = Write>> Overlay<U, L> {
    fn new(upper: U, lower: L, first: Ordering) -> Self {
        Self { upper: upper.peekable(), lower: lower.peekable(), first }
    }
}

impl<U: Iterator<Item = Write>, L: Iterator<Item = Write>> Iterator for Overlay<U, L> {
    type Item = Write;

    fn next(&mut self) -> Option<Write> {
        let order = match (self.upper.peek(), self.lower.peek()) {
            (Some(upper), Some(lower)) => upper.0.cmp(&lower.0),
            (Some(_), None) => self.first,
            (None, _) => self.first.reverse(),
        };
        if order == Ordering::Equal {
            self.lower.next();
            return self.upper.next();
        }
        if order == self.first { self.upper.next() } else { self.lower.next() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::MemoryTables;

    fn writes() -> impl Strategy<Value = Writes> {
        proptest::collection::btree_map(
            proptest::collection::vec(0..4_u8, 1..3),
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..2)),
            0..8,
        )
    }

    proptest! {
        #[test]
        fn a_draft_reads_as_the_tables_it_would_become(
            base in writes(), finished in writes(), running in writes(), from in 0..4_u8, to in 0..5_u8,
        ) {
            let mut tables = MemoryTables::new();
            tables.write(base);
            let mut draft = Draft::new(&tables);
            let mut plain = tables.clone();
            for (step, writes) in [finished, running].into_iter().enumerate() {
                for (key, value) in &writes {
                    match value {
                        Some(value) => draft.put(key.clone(), value.clone()),
                        None => draft.delete(key.clone()),
                    }
                }
                plain.write(writes);
                if step == 0 { draft.keep(); }
            }
            let (from, to) = ([from], [to]);
            prop_assert_eq!(draft.scan(&from, &to).collect::<Vec<_>>(), plain.scan(&from, &to).collect::<Vec<_>>());
            prop_assert_eq!(
                draft.scan_back(&from, &to).collect::<Vec<_>>(),
                plain.scan_back(&from, &to).collect::<Vec<_>>()
            );
            for (key, value) in plain.rows() {
                prop_assert_eq!(draft.get(key), Some(value.clone()));
            }
            draft.keep();
            let mut written = tables.clone();
            written.write(draft.into_writes());
            prop_assert_eq!(written, plain);
        }
    }

    #[test]
    fn a_forgotten_command_leaves_nothing() {
        let tables = MemoryTables::new();
        let mut draft = Draft::new(&tables);
        draft.put(vec![1], vec![1]);
        draft.keep();
        draft.put(vec![1], vec![2]);
        draft.delete(vec![2]);
        draft.forget();
        assert_eq!(draft.get(&[1]), Some(vec![1]));
        assert_eq!(draft.into_writes(), Writes::from([(vec![1], Some(vec![1]))]));
    }
}
