//! What holds after every command, recomputed from scratch.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use sluice_model::{
    Digest, RowHasher, StateDigest,
    part::{PARTS, build_parts},
};
use sluice_proto::raft::{ApiRow, DeploymentRow, KeyView, Part, RefCount, StoredRow, Table};

use crate::{
    MemoryTables, Tables, View, VisibleRow,
    keys::{self, RowId},
    rows,
};

/// A data node's copy: what it was sent.
pub(super) type Copy = BTreeMap<(Table, Vec<u8>), (u64, Vec<u8>)>;

pub(super) fn visible(tables: &MemoryTables) -> Copy {
    let row = |row: VisibleRow| ((row.table, row.key), (row.number, row.value.to_vec()));
    View(tables).visible_rows().map(row).collect()
}

pub(super) fn digest_of(copy: &Copy) -> StateDigest {
    digest_in("g1", copy)
}

fn digest_in(generation: &str, copy: &Copy) -> StateDigest {
    let hasher = RowHasher::new("c1", generation);
    let mut digest = StateDigest::default();
    for ((table, key), (_, value)) in copy {
        digest.add(hasher.row(*table, key, value));
    }
    digest
}

pub(super) fn check(tables: &MemoryTables) {
    let rows = all_rows(tables);
    check_parts(&rows);
    let visible_ids = check_counts(tables, &rows);
    let copy = visible(tables);
    let generation = View(tables).cluster().map_or("g1".to_owned(), |cluster| cluster.generation);
    assert_eq!(
        digest_in(&generation, &copy),
        View(tables).digest(),
        "the incremental digest is the digest of the visible rows"
    );
    let seen: BTreeSet<RowId> = copy.keys().map(|(table, key)| RowId::new(*table, key.clone())).collect();
    assert_eq!(seen, visible_ids, "visible is what a stage leads to, and the tables that always are");
    check_changes(tables, &copy);
    check_key_views(&rows);
    check_indexes(tables, &rows);
    check_audit(tables, &rows);
}

fn all_rows(tables: &MemoryTables) -> BTreeMap<RowId, StoredRow> {
    let rows = tables.rows().iter().filter(|(key, _)| key[0] == 2);
    rows.map(|(key, value)| (keys::row_of(key).unwrap(), StoredRow::decode(&value[..]).unwrap())).collect()
}

/// The trail is as long as it is said to be, and none of it stands before where it is said to begin.
fn check_audit(tables: &MemoryTables, rows: &BTreeMap<RowId, StoredRow>) {
    let progress = crate::rows::progress(tables);
    let said = [(Table::Audit, progress.audit_rows), (Table::RefusedCall, progress.refused_rows)];
    let held = |table: Table| rows.keys().filter(|id| id.table == table).count() as u64;
    for (table, said) in said {
        assert_eq!(held(table), said, "{table:?}");
    }
    assert_eq!(View(tables).audit(None).count() as u64, progress.audit_rows + progress.refused_rows);
}

/// The parts of an API are the same as if they had been built from its entries at once.
fn check_parts(rows: &BTreeMap<RowId, StoredRow>) {
    for (id, stored) in rows.iter().filter(|(id, _)| id.table == Table::RestApi) {
        let api = ApiRow::decode(stored.document.clone()).unwrap();
        let part = |digest: &bytes::Bytes| part(rows, digest);
        let entries: Vec<_> = api.parts.iter().flat_map(|digest| part(digest).entries).collect();
        assert!(entries.iter().any(|entry| entry.table() == Table::RestApi && entry.key == id.parts()));
        for entry in entries.iter().filter(|entry| entry.table() == Table::Method) {
            let has = |other: &&sluice_proto::raft::PartEntry| {
                other.table() == Table::Resource && other.key == entry.key[..2]
            };
            assert!(entries.iter().find(has).is_some(), "a method has its resource");
        }
        let built: Vec<_> =
            build_parts(entries).iter().map(|part| *Digest::of(&part.encode_to_vec()).as_bytes()).collect();
        assert_eq!(built.len(), PARTS);
        assert!(api.parts.iter().zip(&built).all(|(held, built)| held[..] == built[..]));
    }
}

fn part(rows: &BTreeMap<RowId, StoredRow>, digest: &[u8]) -> Part {
    Part::decode(rows[&RowId::new(Table::Part, digest)].document.clone()).unwrap()
}

type Counts = BTreeMap<RowId, u64>;

/// Counts references from scratch, compares, and returns what is visible.
fn check_counts(tables: &MemoryTables, rows: &BTreeMap<RowId, StoredRow>) -> BTreeSet<RowId> {
    let (mut any, visible) = (recount_any(rows), recount_visible(rows));
    let counted = |id: &&RowId| matches!(id.table, Table::Part | Table::Content) || visible.contains_key(id);
    let by_reference = rows.keys().filter(|id| rows::is_visible_by_reference(id.table));
    let expect: BTreeMap<RowId, (u64, u64)> = by_reference
        .filter(counted)
        .map(|id| (id.clone(), (any.remove(id).unwrap_or(0), visible.get(id).copied().unwrap_or(0))))
        .collect();
    assert!(any.is_empty(), "what is referred to exists");
    let counts = tables.rows().iter().filter(|(key, _)| key[0] == 8);
    let found: BTreeMap<RowId, (u64, u64)> = counts
        .map(|(key, value)| {
            let (id, count) = (keys::row_of(key).unwrap(), RefCount::decode(&value[..]).unwrap());
            let unreferenced = id.table != Table::Deployment && count.any == 0;
            assert_eq!(count.unreferenced_ms.is_some(), unreferenced);
            if let Some(since) = count.unreferenced_ms {
                assert!(tables.get(&keys::unreferenced(since, &id)).is_some());
            }
            (id, (count.any, count.visible))
        })
        .collect();
    assert_eq!(found, expect, "reference counts are what a recount finds");
    let unreferenced = found.iter().filter(|(id, (any, _))| id.table != Table::Deployment && *any == 0).count();
    assert_eq!(tables.rows().keys().filter(|key| key[0] == 9).count(), unreferenced);
    let always = rows.keys().filter(|id| rows::is_always_visible(id.table));
    always.cloned().chain(visible.into_keys()).collect()
}

/// References to parts and content, from anywhere.
fn recount_any(rows: &BTreeMap<RowId, StoredRow>) -> Counts {
    let mut any = Counts::new();
    for (id, stored) in rows {
        let document = stored.document.clone();
        match id.table {
            Table::RestApi => count_all(&mut any, Table::Part, ApiRow::decode(document).unwrap().parts),
            Table::Deployment => count_copy(&mut any, &DeploymentRow::decode(document).unwrap()),
            Table::Part => {
                let contents = part(rows, &id.key).entries.into_iter().map(|entry| entry.content);
                count_all(&mut any, Table::Content, contents);
            }
            Table::Content => assert_eq!(Digest::of(&stored.document).as_bytes()[..], id.key),
            _ => {}
        }
    }
    any
}

/// References from what data nodes see, beginning with stages.
fn recount_visible(rows: &BTreeMap<RowId, StoredRow>) -> Counts {
    let mut visible = Counts::new();
    for stored in rows.iter().filter(|(id, _)| id.table == Table::Stage).map(|(_, stored)| stored) {
        for to in stored.refs.iter().filter(|to| to.table() == Table::Deployment) {
            *visible.entry(RowId::of_parts(Table::Deployment, &to.key)).or_default() += 1;
        }
    }
    for id in visible.keys().cloned().collect::<Vec<_>>() {
        count_copy(&mut visible, &DeploymentRow::decode(rows[&id].document.clone()).unwrap());
    }
    let parts: Vec<RowId> = visible.keys().filter(|id| id.table == Table::Part).cloned().collect();
    for id in parts {
        let seen = part(rows, &id.key).entries.into_iter().filter(|entry| entry.table() != Table::Model);
        count_all(&mut visible, Table::Content, seen.map(|entry| entry.content));
    }
    visible
}

fn count_copy(counts: &mut Counts, row: &DeploymentRow) {
    count_all(counts, Table::Part, row.parts.iter().cloned());
    count_all(counts, Table::Content, row.models.iter().map(|model| model.content.clone()));
}

fn count_all(counts: &mut Counts, table: Table, digests: impl IntoIterator<Item = bytes::Bytes>) {
    for digest in digests {
        *counts.entry(RowId::new(table, digest)).or_default() += 1;
    }
}

/// The index of changes has each visible row once, and each tombstone, unless they were trimmed.
fn check_changes(tables: &MemoryTables, copy: &Copy) {
    let progress = rows::progress(tables);
    let index: Vec<_> = tables.rows().iter().filter(|(key, _)| key[0] == 3).collect();
    assert_eq!(progress.changes, index.len() as u64);
    assert_eq!(progress.change_key_bytes, index.iter().map(|(key, _)| key.len() as u64).sum::<u64>());
    let mut live = BTreeMap::new();
    for (key, value) in index {
        let (number, id) = keys::change_of(key).unwrap();
        assert!(number >= progress.trimmed_through && number <= progress.number);
        if value == crate::apply::GONE {
            assert_eq!(tables.get(&keys::tombstone(&id)), Some(number.to_be_bytes().to_vec()));
            assert!(!copy.contains_key(&(id.table, id.key)));
        } else {
            assert_eq!(live.insert((id.table, id.key), number), None, "a row stands once in the index");
        }
    }
    for (id, (number, _)) in copy {
        assert!(*number > 0 && *number <= progress.number);
        match live.remove(id) {
            Some(indexed) => assert_eq!(indexed, *number),
            None => assert!(*number <= progress.trimmed_through, "only trimmed changes are missing"),
        }
    }
    assert!(live.is_empty(), "what the index holds is visible");
    let gone = tables.rows().iter().filter(|(key, _)| key[0] == 4);
    for (key, value) in gone {
        let number = u64::from_be_bytes(value[..].try_into().unwrap());
        assert!(tables.get(&keys::change(number, &keys::row_of(key).unwrap())).is_some());
    }
}

fn check_key_views(rows: &BTreeMap<RowId, StoredRow>) {
    let of_table = |table: Table| rows.iter().filter(move |(id, _)| id.table == table);
    assert_eq!(of_table(Table::ApiKey).count(), of_table(Table::KeyView).count());
    for (id, stored) in of_table(Table::ApiKey) {
        let view = KeyView::decode(rows[&RowId::new(Table::KeyView, id.key.clone())].document.clone()).unwrap();
        let plans = of_table(Table::PlanKey).map(|(member, _)| member.parts());
        let plans: Vec<_> = plans.filter(|member| member[1] == id.parts()[0]).map(|member| member[0].clone()).collect();
        assert_eq!((view.plan_ids, &view.key_id), (plans, &id.parts()[0]));
        assert_eq!(Some(view.enabled), stored.key_fields.as_ref().map(|fields| fields.enabled));
    }
}

/// Names, unique values and referrers are exactly those of the rows.
fn check_indexes(tables: &MemoryTables, rows: &BTreeMap<RowId, StoredRow>) {
    let mut expect = BTreeSet::new();
    for (id, stored) in rows {
        if !stored.name.is_empty() {
            expect.insert(keys::name(id, &stored.name));
        }
        if !stored.unique.is_empty() {
            expect.insert(keys::unique(id.table, &stored.unique));
        }
        for to in &stored.refs {
            let to = RowId::of_parts(to.table(), &to.key);
            assert!(
                sluice_model::part::is_entry_table(to.table) || rows.contains_key(&to),
                "what a row refers to exists"
            );
            expect.insert(keys::referrer(&to, id));
        }
    }
    let found: BTreeSet<_> = tables.rows().keys().filter(|key| matches!(key[0], 5..=7)).cloned().collect();
    assert_eq!(found, expect);
}
