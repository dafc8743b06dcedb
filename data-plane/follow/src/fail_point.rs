//! A fail point: compiling panics over rows that hold a text.
//!
//! Promise: as a defect of this release would, which met on a data node what the leader could compile. Without the text
//! nothing is here but a comparison per change; nothing of it is ever in a request's way. It is a setting of the node, not a
//! feature of the build, so that what is tested is what is shipped: who may set it may as well stop the node.

use sluice_compile::Rows;
use sluice_proto::raft::Table;

/// Rows of which those that hold `text` cannot be read without a panic.
pub(crate) struct Poisoned<'a> {
    pub(crate) rows: &'a dyn Rows,
    pub(crate) text: &'a str,
}

impl Poisoned<'_> {
    fn read<'r>(&self, value: &'r [u8]) -> &'r [u8] {
        let is_poison =
            !self.text.is_empty() && value.windows(self.text.len()).any(|part| part == self.text.as_bytes());
        assert!(!is_poison, "a row holds {:?}, which the fail point names", self.text);
        value
    }
}

impl Rows for Poisoned<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(table, key).map(|value| self.read(value))
    }

    fn rows(&self, table: Table) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        Box::new(self.rows.rows(table).map(|(key, value)| (key, self.read(value))))
    }
}
