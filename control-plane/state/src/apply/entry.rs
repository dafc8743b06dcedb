//! Entries of parts: the rows of an editable API.
//!
//! An API that a command edits is opened: the parts it touches are decoded once, edited in place, and written once when
//! the command is done or the API is deployed. A method and its resource share a part, so that a method without its
//! resource cannot come to be.
//!
//! Promise: no part grows beyond `PART_BYTES_MAX`, however small the edits are; one that is larger, from before there was
//! a bound, is kept and may be edited as long as it does not grow.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sluice_model::{
    Digest,
    part::{self, PARTS},
};
use sluice_proto::raft::{ApiRow, Part, PutRow, StoredRow, Table, rejected::Code};

use super::{
    refusal::{Flow, not_found, refuse_row},
    run::{Expected, Run, already_exists, version_changed},
};
use crate::{keys::RowId, rows, tables::Tables};

/// An API whose parts a command edits.
pub(super) struct OpenApi {
    pub(super) row: ApiRow,
    /// The version its author saw; 0 for an API that this command makes.
    version_before: u64,
    /// Parts that were looked at, by number.
    parts: BTreeMap<usize, OpenPart>,
    /// Its row is written even if no part differs: a put is a new version.
    touched: bool,
}

struct OpenPart {
    part: Part,
    /// Bytes that it had before.
    bytes_before: usize,
    edited: bool,
}

impl<T: Tables> Run<'_, '_, T> {
    /// Opens the API `api`; `None` when there is none.
    pub(super) fn open_api(&mut self, api: &str) -> Option<&mut OpenApi> {
        if !self.open.contains_key(api) {
            let id = RowId::of_parts(Table::RestApi, &[api]);
            let stored = self.stored(&id)?;
            let opened = OpenApi {
                row: rows::api_row(&stored),
                version_before: self.version_before(&id, &stored),
                parts: BTreeMap::new(),
                touched: false,
            };
            self.open.insert(api.to_owned(), opened);
        }
        self.open.get_mut(api)
    }

    /// Begins an API without entries.
    fn begin_api(&mut self, api: &str) {
        let empty = self.keep_part(&Part::default());
        let row = ApiRow { name: String::new(), parts: vec![Bytes::copy_from_slice(empty.as_bytes()); PARTS] };
        let opened = OpenApi { row, version_before: 0, parts: BTreeMap::new(), touched: true };
        self.open.insert(api.to_owned(), opened);
    }

    /// The part in which the entries of `owner` stand.
    fn open_part(&mut self, api: &str, owner: &str) -> Option<&mut OpenPart> {
        let number = part::part_of(owner);
        let opened = self.open_api(api)?;
        if !opened.parts.contains_key(&number) {
            let digest = opened.row.parts[number].clone();
            let part = rows::part(self.draft, &digest).expect("a part of an api is counted, and so not trimmed");
            let bytes_before = part.encoded_len();
            self.open.get_mut(api)?.parts.insert(number, OpenPart { part, bytes_before, edited: false });
        }
        self.open.get_mut(api)?.parts.get_mut(&number)
    }

    pub(super) fn entry_exists(&mut self, id: &RowId) -> bool {
        let key = id.parts();
        self.entry_content(id.table, &key).is_some()
    }

    /// The content of an entry, edits of this command included.
    pub(super) fn entry_content(&mut self, table: Table, key: &[String]) -> Option<Digest> {
        let owner = part::entry_owner(table, key)?;
        let opened = self.open_part(&key[0], owner)?;
        part::entry_content(&opened.part, table, key)
    }

    fn check_entry_version(&mut self, id: &RowId, exists: bool, expected: Expected) -> Flow {
        let seen = self.open_api(&id.parts()[0]).map_or(0, |opened| opened.version_before);
        match (expected, exists) {
            (Expected::Anything, _) | (Expected::Nothing, false) => Ok(()),
            (Expected::Nothing, true) => already_exists(id),
            (Expected::Version(_), false) => not_found(id),
            (Expected::Version(version), true) if version == seen => Ok(()),
            (Expected::Version(version), true) => version_changed(id, version, seen),
        }
    }

    /// Puts the document of an API; the first put of one makes it.
    pub(super) fn put_api(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let key = id.parts();
        let exists = self.open_api(&key[0]).is_some();
        self.check_entry_version(id, exists, put.expected_version.into())?;
        self.resolve_refs(&put.refs)?;
        if !exists {
            self.begin_api(&key[0]);
        }
        self.write_entry(id.table, &key, &put.document);
        if let Some(opened) = self.open_api(&key[0]) {
            opened.row.name.clone_from(&put.name);
        }
        Ok(())
    }

    pub(super) fn put_entry(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let key = id.parts();
        if self.open_api(&key[0]).is_none() {
            return not_found(&RowId::of_parts(Table::RestApi, &key[..1]));
        }
        if id.table == Table::Method {
            let resource = RowId::of_parts(Table::Resource, &key[..2]);
            if !self.entry_exists(&resource) {
                return not_found(&resource);
            }
        }
        let exists = self.entry_exists(id);
        self.check_entry_version(id, exists, put.expected_version.into())?;
        self.resolve_refs(&put.refs)?;
        self.write_entry(id.table, &key, &put.document);
        Ok(())
    }

    /// INVARIANT: the API is open or exists; callers have checked.
    fn write_entry(&mut self, table: Table, key: &[String], document: &Bytes) {
        let content = self.keep_content(document);
        let owner = part::entry_owner(table, key).expect("keys are checked where they come in");
        let opened = self.open_part(&key[0], owner).expect("callers check that the api exists");
        let before = part::put_entry(&mut opened.part, table, key, content);
        opened.edited |= before != Some(content);
        if let Some(api) = self.open.get_mut(&key[0]) {
            api.touched = true;
        }
    }

    /// Deletes an entry; a resource takes its methods with it.
    pub(super) fn delete_entry(&mut self, id: &RowId, expected: Expected) -> Flow {
        let key = id.parts();
        let exists = self.entry_exists(id);
        self.check_entry_version(id, exists, expected)?;
        let owner = part::entry_owner(id.table, &key).unwrap_or_default().to_owned();
        let Some(opened) = self.open_part(&key[0], &owner).filter(|_| exists) else { return not_found(id) };
        part::remove_entry(&mut opened.part, id.table, &key);
        if id.table == Table::Resource {
            opened.part.entries.retain(|entry| entry.table() != Table::Method || entry.key.get(1) != key.get(1));
        }
        opened.edited = true;
        if let Some(api) = self.open.get_mut(&key[0]) {
            api.touched = true;
        }
        Ok(())
    }

    /// Writes the edited parts of every open API, and their rows.
    pub(super) fn close_apis(&mut self) -> Flow {
        let apis: Vec<String> = self.open.keys().cloned().collect();
        apis.iter().try_for_each(|api| self.close_api(api))
    }

    /// Writes the edited parts of an API and its row; it stays open no more.
    pub(super) fn close_api(&mut self, api: &str) -> Flow {
        let Some(mut opened) = self.open.remove(api).filter(|opened| opened.touched) else { return Ok(()) };
        for (number, open) in std::mem::take(&mut opened.parts) {
            if open.edited {
                self.check_part_size(api, &opened.row.name, open.part.encoded_len(), open.bytes_before)?;
                let digest = self.keep_part(&open.part);
                opened.row.parts[number] = Bytes::copy_from_slice(digest.as_bytes());
            }
        }
        self.write_api(api, opened.row);
        Ok(())
    }

    /// Refuses a part that could not be uploaded nor sent to data nodes, unless it was no smaller before.
    pub(super) fn check_part_size(&self, api: &str, name: &str, bytes: usize, bytes_before: usize) -> Flow {
        let most = self.bounds.part_bytes_max;
        if bytes <= most.max(bytes_before) {
            return Ok(());
        }
        let message = format!(
            "api {api} ({name}) has too many resources, methods or models: a 64th of their list would have {bytes} \
             bytes, at most {most} fit; split it into several apis, or delete some first"
        );
        refuse_row(Code::Capacity, &RowId::of_parts(Table::RestApi, &[api]), message)
    }

    /// Writes the row of an API, and counts the parts that it refers to.
    pub(super) fn write_api(&mut self, api: &str, row: ApiRow) {
        let id = RowId::of_parts(Table::RestApi, &[api]);
        let before = self.stored(&id).map(|stored| rows::api_row(&stored).parts).unwrap_or_default();
        self.move_parts(&before, &row.parts);
        let stored = StoredRow { document: row.encode_to_vec().into(), name: row.name, ..StoredRow::default() };
        self.write_row(&id, stored).expect("a row without a unique value cannot clash");
    }
}
