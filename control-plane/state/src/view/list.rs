//! Lists, a page at a time, in the order of keys.

use bytes::Bytes;
use sluice_model::{Digest, part};
use sluice_proto::raft::{StoredRow, Table};

use super::{Stored, View};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// A page of rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Keys and rows, in the order of keys.
    pub items: Vec<(Vec<String>, Stored)>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// A page of entries of an API.
pub type EntryPage = Page;

impl<T: Tables> View<T> {
    /// Rows of `table` whose key begins with the parts `prefix`, after the key `after`, at most `limit`.
    ///
    /// For tables of entries the first part of the prefix is the API, and the rest of it is not looked at; without a
    /// prefix, `REST_API` lists the documents of all APIs.
    pub fn list<S: AsRef<str>>(&self, table: Table, prefix: &[S], after: Option<&[String]>, limit: usize) -> Page {
        if part::is_entry_table(table) {
            return match prefix.first() {
                Some(api) => self.entries(api.as_ref(), table, after, limit),
                None => self.apis(after, limit),
            };
        }
        let mut items = self.rows(table, prefix, after, limit + 1);
        let more = items.len() > limit;
        items.truncate(limit);
        let stored = |(id, row): (RowId, StoredRow)| (id.parts(), self.as_stored(&id, row));
        Page { items: items.into_iter().map(stored).collect(), more }
    }

    /// The documents of all APIs, after the id `after`, at most `limit`.
    fn apis(&self, after: Option<&[String]>, limit: usize) -> Page {
        let mut found = self.rows::<&str>(Table::RestApi, &[], after, limit + 1);
        let more = found.len() > limit;
        found.truncate(limit);
        let document = |(id, _): (RowId, StoredRow)| {
            let key = id.parts();
            self.entry(Table::RestApi, &key).map(|stored| (key, stored))
        };
        Page { items: found.into_iter().filter_map(document).collect(), more }
    }

    /// Entries of one kind of an API, after the key `after`, at most `limit`.
    pub fn entries(&self, api: &str, table: Table, after: Option<&[String]>, limit: usize) -> EntryPage {
        let Some((version, row)) = self.api_row(api) else { return Page { items: Vec::new(), more: false } };
        let mut found: Vec<(Vec<String>, Bytes)> = Vec::new();
        for digest in &row.parts {
            let part = rows::part(&self.0, digest).unwrap_or_default();
            let wanted = part
                .entries
                .into_iter()
                .filter(|entry| entry.table() == table && after.is_none_or(|after| entry.key.as_slice() > after));
            found.extend(wanted.map(|entry| (entry.key, entry.content)));
        }
        found.sort();
        let more = found.len() > limit;
        found.truncate(limit);
        let stored = |(key, content): (Vec<String>, Bytes)| {
            let bytes = self.content(&Digest::from_slice(&content)?)?;
            let name = if table == Table::RestApi { row.name.clone() } else { String::new() };
            Some((key, Stored { version, number: 0, name, bytes }))
        };
        Page { items: found.into_iter().filter_map(stored).collect(), more }
    }

    fn rows<S: AsRef<str>>(
        &self,
        table: Table,
        prefix: &[S],
        after: Option<&[String]>,
        limit: usize,
    ) -> Vec<(RowId, StoredRow)> {
        let mut below = part::join_key(prefix);
        if !prefix.is_empty() {
            below.push(b'/');
        }
        let (mut from, to) = keys::rows_below(table, &below);
        if let Some(after) = after {
            from = from.max(keys::row(&RowId::of_parts(table, after)));
            // The first key after `after`, whatever follows it.
            from.push(0);
        }
        let found = self.0.scan(&from, &to);
        let decoded = found.filter_map(|(key, value)| Some((keys::row_of(&key)?, rows::decode(value.into()))));
        decoded.take(limit).collect()
    }
}
