//! Which tables a data node has wrong: so that a snapshot need not hold the others.
//!
//! Promise: every table that is left out has the same rows there as here; the digest at the end of the snapshot, which is of
//! all tables, says so again. A table in which something has changed since the data node's revision is not left out.
//! Absent: which of its rows differ.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::{Revision, RowHasher, StateDigest};
use sluice_proto::{raft::Table, sync::TableDigest};
use sluice_state::{Changed, Tables, View};

/// What a data node says of its rows.
#[derive(Clone, Debug)]
pub(super) struct HeldTables {
    revision: Revision,
    tables: BTreeMap<Table, StateDigest>,
}

impl HeldTables {
    /// None when it has not said enough: it is of an older release, or holds nothing.
    pub(super) fn of(revision: Option<&sluice_proto::model::Revision>, tables: &[TableDigest]) -> Option<Self> {
        let digest = |each: &TableDigest| Some((each.table(), StateDigest::from_bytes(&each.digest)?));
        let tables: BTreeMap<_, _> = tables.iter().map(digest).collect::<Option<_>>()?;
        let revision = Revision::from(revision?);
        (!tables.is_empty()).then_some(Self { revision, tables })
    }
}

/// The tables that differ; `None` when nothing can be left out. Hashes every visible row.
pub(super) fn differing<T: Tables>(view: &View<T>, copy: &HeldTables) -> Option<BTreeSet<Table>> {
    let now = view.revision();
    if !now.same_generation(&copy.revision) {
        return None;
    }
    let mut found: BTreeSet<Table> =
        view.delta(copy.revision.number)?.changes.map(|changed| table_of(&changed)).collect();
    let hasher = RowHasher::new(&view.cluster()?.cluster_id, &now.generation);
    let mut digests: BTreeMap<Table, StateDigest> = BTreeMap::new();
    for row in view.visible_rows() {
        digests.entry(row.table).or_default().add(hasher.row(row.table, &row.key, &row.value));
    }
    let of = |digests: &BTreeMap<Table, StateDigest>, table| digests.get(&table).copied().unwrap_or_default();
    let all: BTreeSet<Table> = digests.keys().chain(copy.tables.keys()).copied().collect();
    found.extend(all.iter().filter(|table| of(&digests, **table) != of(&copy.tables, **table)));
    (!found.is_empty() && found.len() < all.len()).then_some(found)
}

fn table_of(changed: &Changed) -> Table {
    match changed {
        Changed::Row(row) => row.table,
        Changed::Gone(gone) => gone.table,
    }
}
