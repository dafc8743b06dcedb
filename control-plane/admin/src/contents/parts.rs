//! Contents as the 64 parts of an API, and the uploads that go before the change that names them.
//!
//! An entry of the log is at most 1 MiB: what is larger goes ahead in pieces, seen by no one until it is named.

use bytes::Bytes;
use prost::Message as _;
use sluice_compile::Entry;
use sluice_model::{
    Digest, limits,
    part::{build_parts, entry},
};
use sluice_proto::raft::{Command, Stamp, Table, UploadContent, command};
use sluice_state::{Tables, View};

use crate::{contents::ContentEntry, refused::Refused};

/// Bytes of an upload's envelope: stamp and field heads.
const UPLOAD_ROOM_BYTES: usize = 4 * 1024;

/// The rows that hold an API.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// 64, in order.
    pub(crate) digests: Vec<Digest>,
    /// Every document, as the dry compile takes it.
    pub(crate) entries: Vec<Entry>,
    parts: Vec<Bytes>,
}

impl Parts {
    /// # Errors
    /// `Invalid` for a document or a part that is larger than an entry of the log.
    pub(crate) fn of(contents: Vec<ContentEntry>) -> Result<Self, Refused> {
        let too_large = contents.iter().find(|one| one.bytes.len() > limits::DOCUMENT_BYTES_MAX);
        if let Some(one) = too_large {
            let row = crate::refused::row_in_words(&crate::noun::row(one.table, one.key.clone()));
            let message = format!("{row} has {} bytes, at most {} fit", one.bytes.len(), limits::DOCUMENT_BYTES_MAX);
            return Err(Refused::invalid("", message, "split it, or leave descriptions out"));
        }
        let mut entries = Vec::with_capacity(contents.len());
        let mut rows = Vec::with_capacity(contents.len());
        for ContentEntry { table, key, bytes } in contents {
            let digest = Digest::of(&bytes);
            rows.push(entry(table, key.clone(), digest));
            entries.push(Entry { table, key, digest, bytes: bytes.into() });
        }
        let parts: Vec<Bytes> = build_parts(rows).iter().map(|part| part.encode_to_vec().into()).collect();
        if let Some(part) = parts.iter().find(|part| part.len() > limits::PART_BYTES_MAX) {
            let message = format!(
                "the api has too many resources, methods or models: a 64th of their list has {} bytes, at most {} fit",
                part.len(),
                limits::PART_BYTES_MAX
            );
            return Err(Refused::invalid("", message, "split it into several apis"));
        }
        let digests = parts.iter().map(|part| Digest::of(part)).collect();
        Ok(Self { digests, entries, parts })
    }

    /// The digests as a command carries them.
    pub(crate) fn digest_bytes(&self) -> Vec<Bytes> {
        self.digests.iter().map(|digest| Bytes::copy_from_slice(digest.as_bytes())).collect()
    }

    /// Contents and parts that the cluster does not hold yet.
    pub(crate) fn missing<T: Tables>(&self, view: &View<T>) -> Uploads {
        let contents = self.entries.iter().filter(|entry| !view.has_content(Table::Content, &entry.digest));
        let parts = self.digests.iter().zip(&self.parts).filter(|(digest, _)| !view.has_content(Table::Part, digest));
        Uploads {
            contents: contents.map(|entry| entry.bytes.clone()).collect(),
            parts: parts.map(|(_, part)| part.clone()).collect(),
        }
    }

    /// Everything, for when the cluster may have trimmed what it held.
    pub(crate) fn all(&self) -> Uploads {
        Uploads { contents: self.entries.iter().map(|entry| entry.bytes.clone()).collect(), parts: self.parts.clone() }
    }
}

/// What goes ahead of a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Uploads {
    pub(crate) contents: Vec<Bytes>,
    pub(crate) parts: Vec<Bytes>,
}

/// The uploads as commands of at most 1 MiB and 10,000 rows: contents before the parts that name them.
pub(crate) fn upload_commands(uploads: Uploads, stamp: &Stamp) -> Vec<Command> {
    let stamp = Stamp { request: None, audit: None, ..stamp.clone() };
    let contents = batches(uploads.contents).map(|contents| UploadContent { contents, ..UploadContent::default() });
    let parts = batches(uploads.parts).map(|parts| UploadContent { parts, ..UploadContent::default() });
    let with_stamp = |upload| UploadContent { stamp: Some(stamp.clone()), ..upload };
    contents
        .chain(parts)
        .map(|upload| Command { kind: Some(command::Kind::UploadContent(with_stamp(upload))) })
        .collect()
}

fn batches(values: Vec<Bytes>) -> impl Iterator<Item = Vec<Bytes>> {
    let mut values = values.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut batch = vec![values.next()?];
        let mut size = batch[0].len();
        // Each value costs its bytes and the head of its field.
        let fits = |size: usize| size <= limits::ENTRY_BYTES_MAX - UPLOAD_ROOM_BYTES;
        // Both bounds are those of the log: small documents reach the one of rows long before that of bytes.
        while batch.len() < limits::CHANGE_ROWS_MAX
            && let Some(value) = values.next_if(|value| fits(size + value.len() + 8))
        {
            size += value.len() + 8;
            batch.push(value);
        }
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_no_entry_could_carry_is_refused() {
        // All in one part: that of their resource.
        let key = |verb: usize| vec!["api".to_owned(), "resource".to_owned(), format!("VERB{verb}")];
        let method = |verb| ContentEntry { table: Table::Method, key: key(verb), bytes: Vec::new() };
        assert!(Parts::of((0..1_000).map(method).collect()).is_ok());
        let refused = Parts::of((0..20_000).map(method).collect()).unwrap_err();
        assert!(refused.message.contains("too many"), "{}", refused.message);
    }

    #[test]
    fn uploads_of_small_documents_stay_within_the_rows_of_an_entry() {
        let values = |byte: u8| -> Vec<Bytes> { vec![Bytes::from(vec![byte; 2]); 2 * limits::CHANGE_ROWS_MAX + 1] };
        let commands = upload_commands(Uploads { contents: values(1), parts: values(2) }, &Stamp::default());
        let rows: Vec<usize> = commands
            .iter()
            .filter_map(|command| match &command.kind {
                Some(command::Kind::UploadContent(upload)) => Some(upload.contents.len() + upload.parts.len()),
                _ => None,
            })
            .collect();
        let most = limits::CHANGE_ROWS_MAX;
        assert_eq!(rows, [most, most, 1, most, most, 1]);
    }

    #[test]
    fn uploads_stay_below_an_entry_of_the_log_and_lose_nothing() {
        let values: Vec<Bytes> = (0..40_u8).map(|byte| vec![byte; 100_000].into()).collect();
        let uploads = Uploads { contents: values.clone(), parts: vec![Bytes::from_static(b"part")] };
        let commands = upload_commands(uploads, &Stamp::default());
        assert!(commands.iter().all(|command| command.encoded_len() <= limits::ENTRY_BYTES_MAX));
        let sent: Vec<Bytes> = commands
            .iter()
            .filter_map(|command| match &command.kind {
                Some(command::Kind::UploadContent(upload)) => Some(upload.contents.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(sent, values);
    }
}
