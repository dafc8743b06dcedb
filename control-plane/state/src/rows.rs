//! Typed rows over the ordered store, read the same by apply and by views.
//!
//! Promise: every row that is written is a deterministic encoding. What cannot be decoded was not written by this state
//! machine: going on would diverge, so it stops the process.

use bytes::Bytes;
use prost::Message;
use sluice_model::StateDigest;
use sluice_proto::raft::{ApiRow, ClusterRow, DeploymentRow, Part, Progress, RefCount, StoredRow, Table};

use crate::{
    keys::{self, RowId},
    tables::Tables,
};

pub(crate) fn read<T: Tables + ?Sized, M: Message + Default>(tables: &T, key: &[u8]) -> Option<M> {
    tables.get(key).map(|value| decode(Bytes::from(value)))
}

/// Decodes what this state machine wrote.
pub(crate) fn decode<M: Message + Default>(value: Bytes) -> M {
    M::decode(value).expect("rows of the state store are encodings that apply wrote")
}

pub(crate) fn progress<T: Tables + ?Sized>(tables: &T) -> Progress {
    read(tables, keys::PROGRESS).unwrap_or_default()
}

pub(crate) fn digest(progress: &Progress) -> StateDigest {
    StateDigest::from_bytes(&progress.digest).unwrap_or_default()
}

pub(crate) fn cluster<T: Tables + ?Sized>(tables: &T) -> Option<ClusterRow> {
    read(tables, keys::CLUSTER)
}

pub(crate) fn stored<T: Tables + ?Sized>(tables: &T, id: &RowId) -> Option<StoredRow> {
    read(tables, &keys::row(id))
}

pub(crate) fn ref_count<T: Tables + ?Sized>(tables: &T, id: &RowId) -> Option<RefCount> {
    read(tables, &keys::ref_count(id))
}

pub(crate) fn api_row(stored: &StoredRow) -> ApiRow {
    decode(stored.document.clone())
}

pub(crate) fn deployment_row(stored: &StoredRow) -> DeploymentRow {
    decode(stored.document.clone())
}

/// The part that `digest` names.
pub(crate) fn part<T: Tables + ?Sized>(tables: &T, digest: &[u8]) -> Option<Part> {
    stored(tables, &RowId::new(Table::Part, digest)).map(|row| decode(row.document))
}

/// Whether data nodes see every row of `table`.
pub(crate) fn is_always_visible(table: Table) -> bool {
    matches!(table, Table::Stage | Table::Plan | Table::KeyView | Table::Domain | Table::Setting)
}

/// Whether data nodes see a row of `table` while a stage leads to it.
pub(crate) fn is_visible_by_reference(table: Table) -> bool {
    matches!(table, Table::Deployment | Table::Part | Table::Content)
}

/// The tables that data nodes see, in the order of snapshots: what refers comes after what it refers to.
pub(crate) const VISIBLE: [Table; 8] = [
    Table::Content,
    Table::Part,
    Table::Deployment,
    Table::Stage,
    Table::Plan,
    Table::KeyView,
    Table::Domain,
    Table::Setting,
];
