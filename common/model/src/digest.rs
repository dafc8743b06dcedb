//! Digests: of content, which names it, and of the whole visible state, which finds faults.
//!
//! Promise: the digest of the state is the same whatever the order in which rows came and went, and costs one hash per
//! changed row. Absent: protection against an attacker who can choose rows; it finds faults only.

use std::fmt;

use sluice_proto::raft::Table;

/// The blake3 digest of some bytes: the key of content and parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes `bytes` for a digest; `None` unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// Hashes rows of one cluster and generation.
#[derive(Clone)]
pub struct RowHasher {
    key: [u8; 32],
}

/// The hash of one row, as it enters a `StateDigest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHash([u64; 2]);

impl RowHasher {
    /// The hasher of `generation` of `cluster_id`: the same rows have other hashes elsewhere.
    pub fn new(cluster_id: &str, generation: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("sluice digest of visible rows v1");
        hasher.update(&(cluster_id.len() as u64).to_le_bytes());
        hasher.update(cluster_id.as_bytes());
        hasher.update(generation.as_bytes());
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// The hash of a row: its table, its key as stored and its value.
    pub fn row(&self, table: Table, key: &[u8], value: &[u8]) -> RowHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(table as u32).to_le_bytes());
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut lanes = [0_u8; 16];
        hasher.finalize_xof().fill(&mut lanes);
        RowHash(lanes_of(lanes))
    }
}

impl fmt::Debug for RowHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowHasher")
    }
}

/// The digest of a set of rows: the sum of their hashes, in two lanes that wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateDigest([u64; 2]);

impl StateDigest {
    /// A row has come.
    pub fn add(&mut self, row: RowHash) {
        self.0 = [self.0[0].wrapping_add(row.0[0]), self.0[1].wrapping_add(row.0[1])];
    }

    /// A row has gone.
    pub fn remove(&mut self, row: RowHash) {
        self.0 = [self.0[0].wrapping_sub(row.0[0]), self.0[1].wrapping_sub(row.0[1])];
    }

    /// All rows of another set have come.
    pub fn add_all(&mut self, other: Self) {
        self.add(RowHash(other.0));
    }

    /// All rows of another set, which were here, have gone.
    pub fn remove_all(&mut self, other: Self) {
        self.remove(RowHash(other.0));
    }

    /// Its 16 bytes, little-endian lanes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
        bytes
    }

    /// Takes `bytes` for a digest; `None` unless there are 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(lanes_of(bytes)))
    }
}

fn lanes_of(bytes: [u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(bytes);
    [whole as u64, (whole >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter_and_removal_undoes_addition(
            rows in proptest::collection::vec((any::<[u8; 4]>(), any::<[u8; 8]>()), 0..20),
            gone in any::<prop::sample::Index>(),
        ) {
            let hasher = RowHasher::new("c", "g");
            let hash = |row: &([u8; 4], [u8; 8])| hasher.row(Table::Stage, &row.0, &row.1);
            let (mut forward, mut backward) = (StateDigest::default(), StateDigest::default());
            for row in &rows { forward.add(hash(row)); }
            for row in rows.iter().rev() { backward.add(hash(row)); }
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(StateDigest::from_bytes(&forward.to_bytes()), Some(forward));
            if !rows.is_empty() {
                let row = &rows[gone.index(rows.len())];
                backward.remove(hash(row));
                prop_assert_ne!(forward, backward);
                backward.add(hash(row));
                prop_assert_eq!(forward, backward);
            }
        }
    }

    #[test]
    fn table_key_value_cluster_and_generation_all_count() {
        let base = RowHasher::new("c", "g").row(Table::Stage, b"k", b"v");
        assert_ne!(base, RowHasher::new("c", "g").row(Table::Plan, b"k", b"v"));
        assert_ne!(base, RowHasher::new("c", "g").row(Table::Stage, b"kv", b""));
        assert_ne!(base, RowHasher::new("c", "h").row(Table::Stage, b"k", b"v"));
        assert_ne!(base, RowHasher::new("cg", "").row(Table::Stage, b"k", b"v"));
    }
}
