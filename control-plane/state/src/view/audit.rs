//! The audit trail, newest first.

use std::iter::Peekable;

use sluice_proto::raft::{AuditEntry, Table};

use super::View;
use crate::{
    apply::{entry_of, has_aged, span},
    keys::{self, RowId},
    rows,
    tables::{Rows, Tables},
};

/// Where an entry of the audit trail stands. Later entries have greater keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey(String);

impl AuditKey {
    /// The key that [`AuditKey::as_str`] wrote; any other text is a key too, at which no entry stands.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text of a page's token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Tables> View<T> {
    /// The entries of the audit trail before `before`, or from the newest on; newest first. They are read as they are
    /// taken.
    pub fn audit(&self, before: Option<&AuditKey>) -> impl Iterator<Item = (AuditKey, AuditEntry)> {
        let progress = rows::progress(&self.0);
        let mut sources = [Table::Audit, Table::RefusedCall].map(|table| {
            let (from, mut to) = span(table, &progress);
            if let Some(before) = before {
                to = to.min(keys::row(&RowId::new(table, before.0.as_bytes())));
            }
            self.0.scan_back(&from, &to).peekable()
        });
        std::iter::from_fn(move || {
            let [done, refused] = &mut sources;
            let from = if key_of(done) >= key_of(refused) { done } else { refused };
            let key = key_of(from)?;
            let (_, row) = from.next()?;
            Some((key, entry_of(&row)))
        })
    }

    /// Whether an entry is there that is kept no longer.
    pub(super) fn audit_has_aged(&self, now_ms: u64) -> bool {
        let progress = rows::progress(&self.0);
        [Table::Audit, Table::RefusedCall].into_iter().any(|table| {
            let (from, to) = span(table, &progress);
            self.0.scan(&from, &to).next().is_some_and(|(_, row)| has_aged(&entry_of(&row), now_ms))
        })
    }
}

/// The key of the next entry of one table.
fn key_of(rows: &mut Peekable<Rows<'_>>) -> Option<AuditKey> {
    let id = keys::row_of(&rows.peek()?.0)?;
    Some(AuditKey(String::from_utf8_lossy(&id.key).into_owned()))
}
