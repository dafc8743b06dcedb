//! References to parts and content: what is counted while a command runs, and how the counts settle at its end.
//!
//! A stage that leads to a deployment makes it visible, a visible deployment its parts and the models it names, a
//! visible part the content of its entries but models. Counts are netted first, so that a deployment that replaces
//! another touches only what differs between them.

use std::collections::BTreeMap;

use prost::Message;
use sluice_proto::raft::{RefCount, Table};

use super::run::Run;
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// A row whose visibility a command has changed.
pub(super) struct Crossing {
    /// The number at which it was visible before; `None` when it was not.
    pub(super) was: Option<u64>,
    /// Whether it is visible now.
    pub(super) is: Seen,
}

/// Whether data nodes see a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Yes,
    No,
}

impl<T: Tables> Run<'_, '_, T> {
    /// References from anywhere.
    pub(super) fn count_any(&mut self, table: Table, digest: &[u8], change: i64) {
        *self.any.entry(RowId::new(table, digest)).or_default() += change;
    }

    /// References of an API to its parts: from those it had to those it has.
    pub(super) fn move_parts<D: AsRef<[u8]>>(&mut self, before: &[D], after: &[D]) {
        for digest in before {
            self.count_any(Table::Part, digest.as_ref(), -1);
        }
        for digest in after {
            self.count_any(Table::Part, digest.as_ref(), 1);
        }
    }

    /// Settles the counts that the command has changed; returns the rows that appeared or went for data nodes.
    pub(super) fn settle_counts(&mut self) -> BTreeMap<RowId, Crossing> {
        let mut crossings = BTreeMap::new();
        // In this order: each level counts for the next.
        for table in [Table::Deployment, Table::Part, Table::Content] {
            let visible = take_table(&mut self.visible, table);
            let any = take_table(&mut self.any, table);
            let mut both: BTreeMap<RowId, (i64, i64)> = BTreeMap::new();
            for (id, change) in any {
                both.entry(id).or_default().0 = change;
            }
            for (id, change) in visible {
                both.entry(id).or_default().1 = change;
            }
            for (id, (any, visible)) in both {
                if (any, visible) == (0, 0) {
                    continue;
                }
                if let Some(crossing) = self.settle_count(&id, any, visible) {
                    self.count_below(&id, if crossing.is == Seen::Yes { 1 } else { -1 });
                    crossings.insert(id, crossing);
                }
            }
        }
        crossings
    }

    fn settle_count(&mut self, id: &RowId, any: i64, visible: i64) -> Option<Crossing> {
        let mut count = rows::ref_count(self.draft, id).unwrap_or_default();
        let was = (count.visible > 0).then_some(count.number);
        // INVARIANT: counts equal the references that stand in rows; a miscount would trim what is in use.
        count.any = count.any.checked_add_signed(any).expect("references are counted exactly");
        count.visible = count.visible.checked_add_signed(visible).expect("visible references are counted exactly");
        assert!(id.table == Table::Deployment || count.visible == 0 || count.any > 0, "what is visible is referred to");
        let is = if count.visible > 0 { Seen::Yes } else { Seen::No };
        if is == Seen::No {
            count.number = 0;
        }
        self.write_count(id, count);
        (was.is_some() != (is == Seen::Yes)).then_some(Crossing { was, is })
    }

    fn write_count(&mut self, id: &RowId, mut count: RefCount) {
        if id.table == Table::Deployment {
            // Deployments are not trimmed: only whether they are visible counts.
            match count.visible {
                0 => self.draft.delete(keys::ref_count(id)),
                _ => self.draft.put(keys::ref_count(id), count.encode_to_vec()),
            }
            return;
        }
        match (count.any, count.unreferenced_ms) {
            (0, None) => self.write_unreferenced(id, count),
            (0, Some(_)) => self.draft.put(keys::ref_count(id), count.encode_to_vec()),
            (_, since) => {
                if let Some(since) = since {
                    self.draft.delete(keys::unreferenced(since, id));
                }
                count.unreferenced_ms = None;
                self.draft.put(keys::ref_count(id), count.encode_to_vec());
            }
        }
    }

    /// Counts what a deployment or part makes visible.
    fn count_below(&mut self, id: &RowId, change: i64) {
        let mut count = |table: Table, digest: &[u8]| {
            *self.visible.entry(RowId::new(table, digest)).or_default() += change;
        };
        if id.table == Table::Deployment {
            let before = self.before.get(id).cloned().flatten();
            let Some(stored) = before.or_else(|| rows::stored(self.draft, id)) else { return };
            let row = rows::deployment_row(&stored);
            row.parts.iter().for_each(|digest| count(Table::Part, digest));
            row.models.iter().for_each(|model| count(Table::Content, &model.content));
        } else if id.table == Table::Part {
            let part = rows::part(self.draft, &id.key).unwrap_or_default();
            let seen = part.entries.iter().filter(|entry| entry.table() != Table::Model);
            seen.for_each(|entry| count(Table::Content, &entry.content));
        }
    }
}

fn take_table(counts: &mut BTreeMap<RowId, i64>, table: Table) -> BTreeMap<RowId, i64> {
    let (taken, rest) = std::mem::take(counts).into_iter().partition(|(id, _)| id.table == table);
    *counts = rest;
    taken
}
