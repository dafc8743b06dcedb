//! Content and parts: rows that are named by the digest of their bytes.
//!
//! They are uploaded ahead of the change that names them or made by it, seen by no one until something refers to them,
//! and trimmed when nothing has for ten minutes of stamped time.

use bytes::Bytes;
use prost::Message;
use sluice_model::{Digest, limits, part};
use sluice_proto::raft::{
    JoinToken, Part, PartEntry, RefCount, RevokedNode, StoredRow, Table, UploadContent, rejected::Code,
};

use super::{
    refusal::{Flow, invalid, not_found, refuse},
    run::Run,
};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn upload(&mut self, upload: &UploadContent) -> Flow {
        if upload.contents.len() + upload.parts.len() > limits::CHANGE_ROWS_MAX {
            let found = upload.contents.len() + upload.parts.len();
            let message = format!("expected at most {} rows, found {found}", limits::CHANGE_ROWS_MAX);
            return refuse(Code::Capacity, message);
        }
        for content in &upload.contents {
            if content.len() > limits::DOCUMENT_BYTES_MAX {
                return refuse(Code::Capacity, format!("expected at most {} bytes", limits::DOCUMENT_BYTES_MAX));
            }
            self.keep_content(content);
        }
        for bytes in &upload.parts {
            if bytes.len() > self.bounds.part_bytes_max {
                let most = self.bounds.part_bytes_max;
                return refuse(
                    Code::Capacity,
                    format!("expected a part of at most {most} bytes, found {}", bytes.len()),
                );
            }
            let Ok(part) = Part::decode(bytes.clone()) else { return invalid("expected an encoded part, found none") };
            check_entries(&part.entries)?;
            for entry in &part.entries {
                let content = RowId::new(Table::Content, entry.content.to_vec());
                if self.draft.get(&keys::ref_count(&content)).is_none() {
                    return not_found(&RowId::of_parts(entry.table(), &entry.key));
                }
            }
            self.keep_part_bytes(bytes.clone(), &part);
        }
        Ok(())
    }

    /// Keeps a document as content; returns its digest.
    pub(super) fn keep_content(&mut self, document: &Bytes) -> Digest {
        let digest = Digest::of(document);
        self.keep(&RowId::new(Table::Content, *digest.as_bytes()), document.clone());
        digest
    }

    /// Keeps a part that apply made; returns its digest.
    pub(super) fn keep_part(&mut self, part: &Part) -> Digest {
        self.keep_part_bytes(part.encode_to_vec().into(), part)
    }

    fn keep_part_bytes(&mut self, bytes: Bytes, part: &Part) -> Digest {
        let digest = Digest::of(&bytes);
        if self.keep(&RowId::new(Table::Part, *digest.as_bytes()), bytes) == Kept::New {
            for entry in &part.entries {
                self.count_any(Table::Content, &entry.content, 1);
            }
        }
        digest
    }

    /// Keeps a row that its digest names; one to which nothing refers is young again.
    fn keep(&mut self, id: &RowId, document: Bytes) -> Kept {
        match rows::ref_count(self.draft, id) {
            None => {
                let row = StoredRow { version: self.version, document, ..StoredRow::default() };
                self.draft.put(keys::row(id), row.encode_to_vec());
                self.write_unreferenced(id, RefCount::default());
                Kept::New
            }
            Some(count) => {
                if let Some(since) = count.unreferenced_ms.filter(|since| *since < self.stamp_ms) {
                    self.draft.delete(keys::unreferenced(since, id));
                    self.write_unreferenced(id, count);
                }
                Kept::Already
            }
        }
    }

    /// Writes the count of a row to which nothing refers since now.
    pub(super) fn write_unreferenced(&mut self, id: &RowId, mut count: RefCount) {
        count.unreferenced_ms = Some(self.stamp_ms);
        self.draft.put(keys::unreferenced(self.stamp_ms, id), Vec::new());
        self.draft.put(keys::ref_count(id), count.encode_to_vec());
    }

    /// Removes what has aged, at most `TRIM_ROWS_MAX` rows of content and parts.
    pub(super) fn trim(&mut self) {
        self.forget_requests(limits::TRIM_ROWS_MAX);
        self.trim_join_tokens();
        self.trim_revoked_nodes();
        self.trim_audit(limits::TRIM_ROWS_MAX);
        self.trim_staged();
        let Some(oldest_kept) = self.stamp_ms.checked_sub(limits::UNREFERENCED_MS_MAX) else { return };
        let (from, to) = (keys::unreferenced_from(0), keys::unreferenced_from(oldest_kept));
        let aged: Vec<_> = self.draft.scan(&from, &to).take(limits::TRIM_ROWS_MAX).collect();
        for (key, _) in aged {
            let Some((_, id)) = keys::unreferenced_of(&key) else { continue };
            if id.table == Table::Part {
                let part = rows::part(self.draft, &id.key).unwrap_or_default();
                for entry in &part.entries {
                    self.count_any(Table::Content, &entry.content, -1);
                }
            }
            self.draft.delete(key);
            self.draft.delete(keys::ref_count(&id));
            self.draft.delete(keys::row(&id));
        }
    }

    /// A node whose last certificate has expired need not be known.
    fn trim_revoked_nodes(&mut self) {
        let (from, to) = keys::rows_below(Table::RevokedNode, &[]);
        let revoked: Vec<_> = self.draft.scan(&from, &to).collect();
        for (key, value) in revoked {
            let stored: StoredRow = rows::decode(value.into());
            let node: RevokedNode = rows::decode(stored.document.clone());
            if let Some(id) = keys::row_of(&key).filter(|_| node.until_ms <= self.stamp_ms) {
                self.remove_row(&id, stored);
            }
        }
    }

    fn trim_join_tokens(&mut self) {
        let (from, to) = keys::rows_below(Table::JoinToken, &[]);
        let tokens: Vec<_> = self.draft.scan(&from, &to).collect();
        for (key, value) in tokens {
            let stored: StoredRow = rows::decode(value.into());
            let token: JoinToken = rows::decode(stored.document.clone());
            if let Some(id) = keys::row_of(&key).filter(|_| token.expires_ms <= self.stamp_ms) {
                self.remove_row(&id, stored);
            }
        }
    }
}

#[derive(PartialEq)]
enum Kept {
    New,
    Already,
}

/// Checks that entries are sorted, each once, of tables that parts hold, and name content.
pub(super) fn check_entries(entries: &[PartEntry]) -> Flow {
    let mut previous: Option<&PartEntry> = None;
    for entry in entries {
        let table = Table::try_from(entry.table).unwrap_or_default();
        let fits = part::entry_owner(table, &entry.key).is_some()
            && part::key_is_valid(&entry.key)
            && Digest::from_slice(&entry.content).is_some();
        let follows = previous.is_none_or(|previous| (previous.table, &previous.key) < (entry.table, &entry.key));
        if !fits || !follows {
            return invalid("expected sorted entries of an api, each once, with a digest of 32 bytes");
        }
        previous = Some(entry);
    }
    Ok(())
}
