//! API keys: found by the hash of their value, in leaves that are replaced one at a time.
//!
//! Promise: a key costs 40 bytes here (the row in `sluice-follow` comes on top); the lists of plans are shared. A changed
//! key copies its leaf, one of 4,096, and the way to it; all else is shared with the table before. Absent: values of keys.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ahash::{AHashMap, AHashSet};
use prost::Message;
use sluice_model::part::LookupHash;
use sluice_proto::raft::KeyView;

/// Branches of a table, and leaves of a branch: with 100,000 keys a change copies 64 pointers twice and 24 keys.
const FAN_OUT: usize = 64;

/// What a data node knows of a key.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// The hash of its value.
    pub hash: LookupHash,
    /// Its id.
    pub id: KeyId,
    /// Whether it may be used.
    pub enabled: bool,
    /// The plans it is in.
    pub plans: Arc<PlanList>,
}

/// The id of a key, at most 14 characters, kept in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    bytes: [u8; 14],
    len: u8,
}

/// The plans of a key; one list for all keys with the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PlanList {
    /// Ids of plans, sorted.
    pub plan_ids: Box<[Arc<str>]>,
}

/// All keys.
#[derive(Debug, Clone)]
pub(crate) struct KeyTable {
    branches: Box<[Branch]>,
    count: usize,
    lists: Arc<Lists>,
}

/// The lists of plans that keys share, by what they hold.
type Lists = AHashMap<Box<[Arc<str>]>, Arc<PlanList>>;

/// The leaves of keys whose hashes begin alike.
type Branch = Arc<[Leaf]>;

/// Keys whose hashes begin with the same 12 bits, sorted by hash.
type Leaf = Arc<[KeyEntry]>;

/// A key that has gone, changed or come: what it was and what it is.
pub(crate) struct KeyChange {
    pub(crate) before: Option<LookupHash>,
    pub(crate) after: Option<KeyEntry>,
}

impl KeyId {
    /// Keeps `text`; `None` when it is longer than an id can be.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 14];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).expect("at most 14") })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made from text")
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl Default for KeyTable {
    fn default() -> Self {
        let branch: Branch = vec![Leaf::default(); FAN_OUT].into();
        Self { branches: vec![branch; FAN_OUT].into(), count: 0, lists: Arc::default() }
    }
}

impl KeyTable {
    pub(crate) fn get(&self, hash: &LookupHash) -> Option<&KeyEntry> {
        let (branch, leaf) = place(hash);
        let leaf = &self.branches[branch][leaf];
        let at = leaf.binary_search_by(|entry| entry.hash.cmp(hash)).ok()?;
        Some(&leaf[at])
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The table of the keys in these rows.
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut reader = KeyReader::default();
        let mut leaves: Vec<Vec<KeyEntry>> = vec![Vec::new(); FAN_OUT * FAN_OUT];
        for entry in rows.filter_map(|row| reader.read(row)) {
            let (branch, leaf) = place(&entry.hash);
            leaves[branch * FAN_OUT + leaf].push(entry);
        }
        let mut count = 0;
        // Each list is freed as soon as its leaf is made: at no time is there a second table.
        let mut leaves = leaves.into_iter().map(sorted).inspect(|leaf| count += leaf.len());
        let branches = (0..FAN_OUT).map(|_| leaves.by_ref().take(FAN_OUT).collect()).collect();
        drop(leaves);
        Self { branches, count, lists: reader.lists }
    }

    /// The table after `changes`, which `reader` has read; leaves that none of them touches are shared.
    pub(crate) fn with(&self, changes: Vec<KeyChange>, reader: KeyReader) -> Self {
        let mut gone: AHashSet<LookupHash> = AHashSet::new();
        let mut touched: BTreeMap<usize, BTreeMap<usize, Vec<KeyEntry>>> = BTreeMap::new();
        for change in changes {
            for hash in change.before.iter().chain(change.after.as_ref().map(|entry| &entry.hash)) {
                let (branch, leaf) = place(hash);
                touched.entry(branch).or_default().entry(leaf).or_default();
                gone.insert(*hash);
            }
            if let Some(entry) = change.after {
                let (branch, leaf) = place(&entry.hash);
                touched.entry(branch).or_default().entry(leaf).or_default().push(entry);
            }
        }
        let (mut branches, mut count) = (self.branches.clone(), self.count);
        for (branch, fresh) in touched {
            let mut leaves = branches[branch].to_vec();
            for (at, fresh) in fresh {
                let kept = leaves[at].iter().filter(|entry| !gone.contains(&entry.hash)).cloned();
                let leaf = sorted(kept.chain(fresh).collect());
                count = count - leaves[at].len() + leaf.len();
                leaves[at] = leaf;
            }
            branches[branch] = leaves.into();
        }
        Self { branches, count, lists: reader.lists }
    }
}

fn sorted(mut entries: Vec<KeyEntry>) -> Leaf {
    entries.sort_unstable_by_key(|entry| entry.hash);
    entries.dedup_by_key(|entry| entry.hash);
    entries.into()
}

/// The branch of a hash, and the leaf in it: its first 12 bits.
fn place(hash: &LookupHash) -> (usize, usize) {
    let bits = usize::from(u16::from_be_bytes([hash.0[0], hash.0[1]])) >> 4;
    (bits / FAN_OUT, bits % FAN_OUT)
}

/// Makes entries from rows, with one list of plans for all keys that have the same.
#[derive(Debug, Default)]
pub(crate) struct KeyReader {
    lists: Arc<Lists>,
}

impl KeyReader {
    /// A reader that goes on sharing the lists of `table`.
    pub(crate) fn sharing(table: &KeyTable) -> Self {
        Self { lists: table.lists.clone() }
    }

    /// Reads a row of the table of keys; `None` for one that cannot be a key's, which then admits no one.
    pub(crate) fn read(&mut self, row: &[u8]) -> Option<KeyEntry> {
        let view = KeyView::decode(row).ok()?;
        let (hash, id) = (LookupHash::from_slice(&view.hash)?, KeyId::new(&view.key_id)?);
        let mut plan_ids: Vec<Arc<str>> = view.plan_ids.iter().map(|id| id.as_str().into()).collect();
        plan_ids.sort();
        plan_ids.dedup();
        Some(KeyEntry { hash, id, enabled: view.enabled, plans: self.list(plan_ids.into()) })
    }

    fn list(&mut self, plan_ids: Box<[Arc<str>]>) -> Arc<PlanList> {
        if let Some(list) = self.lists.get(&plan_ids) {
            return list.clone();
        }
        if Arc::get_mut(&mut self.lists).is_none() {
            // The table's own: from here on this reader has another, without the lists that no key has any more.
            let used = self.lists.iter().filter(|(_, list)| Arc::strong_count(list) > 1);
            self.lists = Arc::new(used.map(|(ids, list)| (ids.clone(), list.clone())).collect());
        }
        let list = Arc::new(PlanList { plan_ids: plan_ids.clone() });
        Arc::make_mut(&mut self.lists).insert(plan_ids, list.clone());
        list
    }
}

/// The hash in a row of the table of keys.
pub(crate) fn hash_of_row(row: &[u8]) -> Option<LookupHash> {
    LookupHash::from_slice(&KeyView::decode(row).ok()?.hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(number: u16, enabled: bool) -> Vec<u8> {
        let hash = blake3::hash(&number.to_le_bytes()).as_bytes()[..16].to_vec();
        let plan_ids = vec![format!("plan{}", number % 3)];
        let key_id = format!("key{number}");
        KeyView { key_id, hash: hash.into(), enabled, plan_ids, usage_identifier: String::new() }.encode_to_vec()
    }

    #[test]
    fn an_entry_is_40_bytes() {
        assert_eq!(size_of::<KeyEntry>(), 40);
    }

    #[test]
    fn keys_with_the_same_plans_share_one_list_also_with_later_ones() {
        let mut reader = KeyReader::default();
        let (one, two) = (reader.read(&row(1, true)).unwrap(), reader.read(&row(4, true)).unwrap());
        assert!(Arc::ptr_eq(&one.plans, &two.plans));
        let table = KeyTable::default().with(vec![KeyChange { before: None, after: Some(one.clone()) }], reader);
        let later = KeyReader::sharing(&table).read(&row(7, true)).unwrap();
        assert!(Arc::ptr_eq(&one.plans, &later.plans));
    }

    #[test]
    fn an_id_that_is_too_long_admits_no_one() {
        let view = KeyView { key_id: "k".repeat(15), hash: vec![1; 16].into(), ..KeyView::default() };
        assert!(KeyReader::default().read(&view.encode_to_vec()).is_none());
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_plain_map_does(
            changes in prop::collection::vec((0_u16..300, prop::option::of(any::<bool>())), 0..200),
        ) {
            let (mut table, mut plain) = (KeyTable::default(), std::collections::BTreeMap::new());
            for batch in changes.chunks(7) {
                let mut reader = KeyReader::sharing(&table);
                let latest: std::collections::BTreeMap<_, _> = batch.iter().copied().collect();
                let mut list = Vec::new();
                for (number, after) in latest {
                    let before = plain.get(&number).and_then(|row: &Vec<u8>| hash_of_row(row));
                    let after = after.map(|enabled| row(number, enabled));
                    list.push(KeyChange { before, after: after.as_deref().and_then(|row| reader.read(row)) });
                    match after {
                        Some(row) => plain.insert(number, row),
                        None => plain.remove(&number),
                    };
                }
                table = table.with(list, reader);
            }
            prop_assert_eq!(table.len(), plain.len());
            for (number, bytes) in &plain {
                let found = table.get(&hash_of_row(bytes).unwrap()).unwrap();
                let expect = KeyReader::default().read(bytes).unwrap();
                prop_assert_eq!((found.id, found.enabled), (expect.id, expect.enabled));
                prop_assert_eq!(found.id.as_str(), format!("key{number}"));
            }
        }
    }
}
