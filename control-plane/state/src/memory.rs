//! Tables in memory, for tests and simulations.

use std::collections::BTreeMap;

use crate::tables::{Rows, Tables};

/// Tables in a sorted map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTables {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryTables {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what a `Draft` wrote.
    pub fn write(&mut self, writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        for (key, value) in writes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// All rows.
    pub fn rows(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.rows
    }

    fn range(&self, from: &[u8], to: &[u8]) -> std::collections::btree_map::Range<'_, Vec<u8>, Vec<u8>> {
        if from >= to { self.rows.range(Vec::new()..Vec::new()) } else { self.rows.range(from.to_vec()..to.to_vec()) }
    }
}

impl Tables for MemoryTables {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).cloned()
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        Box::new(self.range(from, to).map(|(key, value)| (key.clone(), value.clone())))
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        Box::new(self.range(from, to).rev().map(|(key, value)| (key.clone(), value.clone())))
    }
}
