//! Keys of rows, parts of APIs and lookup hashes of API keys.
//!
//! An API is 64 parts; an entry (a document of the API) stands in the part that its owner's hash names, so that a
//! changed method rewrites one part. Promise: a part's entries are sorted by (table, key), each once; the same entries
//! are always the same bytes.

use bytes::Bytes;
use sluice_proto::raft::{Part, PartEntry, Table};

use crate::{digest::Digest, limits};

/// Parts of an API.
pub const PARTS: usize = 64;

/// The number of the part that `owner`'s entries stand in.
pub fn part_of(owner: &str) -> usize {
    usize::from(blake3::hash(owner.as_bytes()).as_bytes()[0]) % PARTS
}

/// Whether `table` holds entries of parts: rows of an editable API.
pub fn is_entry_table(table: Table) -> bool {
    matches!(
        table,
        Table::RestApi
            | Table::Resource
            | Table::Method
            | Table::Model
            | Table::RequestValidator
            | Table::Authorizer
            | Table::GatewayResponse
    )
}

/// How many parts the key of a row of `table` has; `None` for a table whose keys are digests or that is unknown.
pub fn key_len(table: Table) -> Option<usize> {
    match table {
        Table::Unspecified | Table::Part | Table::Content => None,
        Table::Plan
        | Table::KeyView
        | Table::Domain
        | Table::Setting
        | Table::RestApi
        | Table::ApiKey
        | Table::Node
        | Table::JoinToken
        | Table::RevokedNode
        | Table::Operator
        | Table::Audit
        | Table::RefusedCall
        | Table::RemovedNode
        | Table::Probe => Some(1),
        Table::Stage
        | Table::Deployment
        | Table::Resource
        | Table::Model
        | Table::RequestValidator
        | Table::Authorizer
        | Table::GatewayResponse
        | Table::PlanKey
        | Table::Owned => Some(2),
        Table::Method => Some(3),
    }
}

/// The owner of the entry `key` of `table`: the resource of a resource or method, else the last part of the key.
///
/// `None` when `table` holds no entries or the key has another number of parts than its keys.
pub fn entry_owner<S: AsRef<str>>(table: Table, key: &[S]) -> Option<&str> {
    if !is_entry_table(table) || key_len(table) != Some(key.len()) {
        return None;
    }
    let owner = if table == Table::Method { &key[1] } else { key.last()? };
    Some(owner.as_ref())
}

/// Whether every part of `key` may stand in a key: not empty, not too long, no `/`, no control character.
pub fn key_is_valid<S: AsRef<str>>(key: &[S]) -> bool {
    let part_is_valid = |part: &str| {
        !part.is_empty()
            && part.len() <= limits::KEY_PART_BYTES_MAX
            && part.chars().all(|letter| letter != '/' && !letter.is_control())
    };
    !key.is_empty() && key.len() <= limits::KEY_PARTS_MAX && key.iter().all(|part| part_is_valid(part.as_ref()))
}

/// The encoded key of a row: its parts joined by `/`.
pub fn join_key<S: AsRef<str>>(parts: &[S]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.as_ref().len() + 1).sum());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push(b'/');
        }
        key.extend_from_slice(part.as_ref().as_bytes());
    }
    key
}

/// The parts of an encoded key; `None` when it is not UTF-8.
pub fn split_key(key: &[u8]) -> Option<Vec<&str>> {
    std::str::from_utf8(key).ok().map(|text| text.split('/').collect())
}

/// A new entry of a part.
pub fn entry(table: Table, key: Vec<String>, content: Digest) -> PartEntry {
    PartEntry { table: table as i32, key, content: Bytes::copy_from_slice(content.as_bytes()) }
}

/// The place of an entry in `part`, or where it would stand.
pub fn find_entry<S: AsRef<str>>(part: &Part, table: Table, key: &[S]) -> Result<usize, usize> {
    part.entries.binary_search_by(|entry| {
        let by_table = entry.table.cmp(&(table as i32));
        by_table.then_with(|| entry.key.iter().map(String::as_str).cmp(key.iter().map(AsRef::as_ref)))
    })
}

/// The content of an entry of `part`.
pub fn entry_content<S: AsRef<str>>(part: &Part, table: Table, key: &[S]) -> Option<Digest> {
    let place = find_entry(part, table, key).ok()?;
    Digest::from_slice(&part.entries[place].content)
}

/// Puts an entry into `part`; returns the content that it replaced.
pub fn put_entry(part: &mut Part, table: Table, key: &[String], content: Digest) -> Option<Digest> {
    match find_entry(part, table, key) {
        Ok(place) => {
            let fresh = Bytes::copy_from_slice(content.as_bytes());
            Digest::from_slice(&std::mem::replace(&mut part.entries[place].content, fresh))
        }
        Err(place) => {
            part.entries.insert(place, entry(table, key.to_vec(), content));
            None
        }
    }
}

/// Takes an entry out of `part`; returns its content.
pub fn remove_entry<S: AsRef<str>>(part: &mut Part, table: Table, key: &[S]) -> Option<Digest> {
    let place = find_entry(part, table, key).ok()?;
    Digest::from_slice(&part.entries.remove(place).content)
}

/// Distributes the entries of an API over its 64 parts, each sorted; the last of equal keys wins.
///
/// Entries of other tables, or with keys of another length, are left out: callers make them from documents, where
/// that cannot happen.
pub fn build_parts(entries: impl IntoIterator<Item = PartEntry>) -> Vec<Part> {
    let mut parts = vec![Part::default(); PARTS];
    for entry in entries {
        if let Some(owner) = entry_owner(entry.table(), &entry.key) {
            parts[part_of(owner)].entries.push(entry);
        }
    }
    for part in &mut parts {
        // A stable sort keeps the order of equal keys; of those the last stays.
        part.entries.sort_by(|left, right| (left.table, &left.key).cmp(&(right.table, &right.key)));
        part.entries.reverse();
        part.entries.dedup_by(|left, right| (left.table, &left.key) == (right.table, &right.key));
        part.entries.reverse();
    }
    parts
}

/// What data nodes find an API key by: the first 16 bytes of keyed blake3 of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupHash(pub [u8; 16]);

impl LookupHash {
    /// Takes `bytes` for a hash; `None` unless there are 16.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The lookup hash of the key value `value` under the cluster's `lookup_key`.
pub fn lookup_hash(lookup_key: &[u8; 32], value: &str) -> LookupHash {
    let hash = blake3::keyed_hash(lookup_key, value.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    LookupHash(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn method(resource: &str, verb: &str) -> Vec<String> {
        vec!["api1".to_owned(), resource.to_owned(), verb.to_owned()]
    }

    #[test]
    fn a_resource_and_its_methods_share_a_part() {
        let resource = ["api1".to_owned(), "abc123".to_owned()];
        assert_eq!(entry_owner(Table::Resource, &resource), Some("abc123"));
        assert_eq!(entry_owner(Table::Method, &method("abc123", "GET")), Some("abc123"));
        assert_eq!(entry_owner(Table::RestApi, &["api1"]), Some("api1"));
        assert_eq!(entry_owner(Table::Stage, &["api1", "prod"]), None);
        assert_eq!(entry_owner(Table::Method, &resource), None);
    }

    #[test]
    fn keys_refuse_what_would_make_two_rows_one() {
        assert!(key_is_valid(&["a", "b"]));
        for bad in [vec!["a/b"], vec![""], vec!["a\u{0}"], vec![], vec!["a"; 9]] {
            assert!(!key_is_valid(&bad), "{bad:?}");
        }
        assert_eq!(split_key(&join_key(&["a", "b", "c"])), Some(vec!["a", "b", "c"]));
    }

    proptest! {
        #[test]
        fn edited_parts_equal_parts_built_from_scratch(
            edits in proptest::collection::vec((0..6_u8, 0..3_u8, proptest::option::of(any::<u8>())), 0..40),
        ) {
            let mut edited = vec![Part::default(); PARTS];
            let mut plain = std::collections::BTreeMap::new();
            for (resource, verb, content) in edits {
                let key = method(&format!("r{resource}"), ["GET", "PUT", "ANY"][usize::from(verb)]);
                let part = &mut edited[part_of(&key[1])];
                match content {
                    Some(byte) => {
                        let digest = Digest::of(&[byte]);
                        prop_assert_eq!(put_entry(part, Table::Method, &key, digest), plain.insert(key, digest));
                    }
                    None => prop_assert_eq!(remove_entry(part, Table::Method, &key), plain.remove(&key)),
                }
            }
            let built = build_parts(plain.into_iter().map(|(key, digest)| entry(Table::Method, key, digest)));
            prop_assert_eq!(built, edited);
        }
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        let twice = [b"a", b"b"].map(|bytes| entry(Table::Method, method("r", "GET"), Digest::of(bytes)));
        let parts = build_parts(twice);
        assert_eq!(entry_content(&parts[part_of("r")], Table::Method, &method("r", "GET")), Some(Digest::of(b"b")));
        assert_eq!(parts.iter().map(|part| part.entries.len()).sum::<usize>(), 1);
    }

    #[test]
    fn the_lookup_hash_depends_on_the_key() {
        assert_eq!(lookup_hash(&[1; 32], "value"), lookup_hash(&[1; 32], "value"));
        assert_ne!(lookup_hash(&[1; 32], "value"), lookup_hash(&[2; 32], "value"));
    }
}
