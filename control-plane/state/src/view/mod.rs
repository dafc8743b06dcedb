//! Typed reads of the replicated state.
//!
//! Promise: a view reads what one applied command left, whatever is applied meanwhile, when its tables are of one
//! instant. Absent: what documents say; they are handed out as they were stored.

mod audit;
mod delta;
mod list;

use bytes::Bytes;
use sluice_model::{
    Digest, Revision, StateDigest,
    part::{self, is_entry_table},
};
use sluice_proto::raft::{
    ApiRow, BackupRow, ClusterRow, DeploymentRow, JoinToken, Node, Operator, Part, RemovedNode, RequestRow,
    RevokedNode, StagedRestore, StoredRow, Table,
};

pub use audit::AuditKey;
pub use delta::{Changed, Delta, Gone, VisibleRow};
pub use list::{EntryPage, Page};

use crate::{
    apply::sealing_key,
    keys::{self, RowId},
    rows,
    tables::{Rows, Tables, prefix_end},
};

/// Typed reads over tables.
#[derive(Clone, Debug)]
pub struct View<T: Tables>(
    /// The tables; of one instant for reads that agree with each other.
    pub T,
);

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Log index of the command that last wrote it; for an entry of an API, of the one that last wrote the API.
    pub version: u64,
    /// The number at which data nodes last saw it change; 0 when they do not see it.
    pub number: u64,
    /// What it is called; empty for rows without a name.
    pub name: String,
    /// Its bytes as they came.
    pub bytes: Bytes,
}

impl<T: Tables> View<T> {
    /// What was decided when the cluster was founded, and its level; `None` before.
    pub fn cluster(&self) -> Option<ClusterRow> {
        rows::cluster(&self.0)
    }

    /// The cluster's generation and the number; an empty generation before the cluster is founded.
    pub fn revision(&self) -> Revision {
        let generation = self.cluster().map(|cluster| cluster.generation).unwrap_or_default();
        Revision::new(generation, self.number())
    }

    /// The number: how often what data nodes see has changed.
    pub fn number(&self) -> u64 {
        rows::progress(&self.0).number
    }

    /// The greatest stamp of a command, milliseconds since the epoch. The next one is at least as great.
    pub fn stamp(&self) -> u64 {
        rows::progress(&self.0).stamp_ms
    }

    /// The digest of all visible rows.
    pub fn digest(&self) -> StateDigest {
        rows::digest(&rows::progress(&self.0))
    }

    /// Every row of the state in key order, as it is stored: nodes that have applied the same commands have the same.
    pub fn all_rows(&self) -> Rows<'_> {
        self.0.scan(&[], keys::AFTER_ROWS)
    }

    /// Deltas exist from this number on.
    pub fn trimmed_through(&self) -> u64 {
        rows::progress(&self.0).trimmed_through
    }

    /// The row of `table` under `key`, or the entry of an API.
    pub fn get<S: AsRef<str>>(&self, table: Table, key: &[S]) -> Option<Stored> {
        if is_entry_table(table) { self.entry(table, key) } else { self.row(&RowId::of_parts(table, key)) }
    }

    fn row(&self, id: &RowId) -> Option<Stored> {
        let row = rows::stored(&self.0, id)?;
        Some(self.as_stored(id, row))
    }

    fn as_stored(&self, id: &RowId, row: StoredRow) -> Stored {
        let number = if rows::is_visible_by_reference(id.table) {
            rows::ref_count(&self.0, id).map_or(0, |count| count.number)
        } else {
            row.number
        };
        Stored { version: row.version, number, name: row.name, bytes: row.document }
    }

    /// An entry of an editable API: the document of the API itself, a resource, a method, ...
    pub fn entry<S: AsRef<str>>(&self, table: Table, key: &[S]) -> Option<Stored> {
        let owner = part::entry_owner(table, key)?;
        let (version, api) = self.api_row(key[0].as_ref())?;
        let part = rows::part(&self.0, api.parts.get(part::part_of(owner))?)?;
        let content = part::entry_content(&part, table, key)?;
        let name = if table == Table::RestApi { api.name } else { String::new() };
        Some(Stored { version, number: 0, name, bytes: self.content(&content)? })
    }

    /// The row of an API, its version first: its name and the digests of its 64 parts.
    pub fn api_row(&self, api: &str) -> Option<(u64, ApiRow)> {
        let row = rows::stored(&self.0, &RowId::of_parts(Table::RestApi, &[api]))?;
        Some((row.version, rows::api_row(&row)))
    }

    /// A deployment, its version first: its document, its parts and the models it needs.
    pub fn deployment(&self, api: &str, deployment: &str) -> Option<(u64, DeploymentRow)> {
        let row = rows::stored(&self.0, &RowId::of_parts(Table::Deployment, &[api, deployment]))?;
        Some((row.version, rows::deployment_row(&row)))
    }

    /// The part that `digest` names.
    pub fn part(&self, digest: &Digest) -> Option<Part> {
        rows::part(&self.0, digest.as_bytes())
    }

    /// The document that `digest` names.
    pub fn content(&self, digest: &Digest) -> Option<Bytes> {
        rows::stored(&self.0, &RowId::new(Table::Content, *digest.as_bytes())).map(|row| row.document)
    }

    /// Whether a document or part of this digest is stored, so that it need not be uploaded again.
    ///
    /// One to which nothing refers may be trimmed later; uploading it again makes it young.
    pub fn has_content(&self, table: Table, digest: &Digest) -> bool {
        self.0.get(&keys::ref_count(&RowId::new(table, *digest.as_bytes()))).is_some()
    }

    /// The keys of the rows of `table` that are called `name`, sorted.
    pub fn by_name(&self, table: Table, name: &str) -> Vec<Vec<String>> {
        let prefix = keys::names(table, name);
        let found = self.0.scan(&prefix, &prefix_end(&prefix));
        found.map(|(key, _)| RowId::new(table, &key[prefix.len()..]).parts()).collect()
    }

    /// The key of the row of `table` that holds the unique value `value`.
    pub fn by_unique(&self, table: Table, value: &[u8]) -> Option<Vec<String>> {
        self.0.get(&keys::unique(table, value)).map(|key| RowId::new(table, key).parts())
    }

    /// The rows that refer to a row, by table and key, at most `limit`.
    pub fn refs_to<S: AsRef<str>>(&self, table: Table, key: &[S], limit: usize) -> Vec<(Table, Vec<String>)> {
        let prefix = keys::referrers(&RowId::of_parts(table, key));
        let found = self.0.scan(&prefix, &prefix_end(&prefix));
        let referrers = found.filter_map(|(key, _)| keys::referrer_of(&prefix, &key));
        referrers.take(limit).map(|from| (from.table, from.parts())).collect()
    }

    /// The nodes of the cluster, by id.
    pub fn nodes(&self) -> Vec<Node> {
        self.documents(Table::Node)
    }

    /// The nodes that were taken out of the cluster, by id.
    pub fn removed_nodes(&self) -> Vec<RemovedNode> {
        self.documents(Table::RemovedNode)
    }

    /// What is kept of a node that was taken out of the cluster.
    pub fn removed_node(&self, id: &str) -> Option<RemovedNode> {
        let row = rows::stored(&self.0, &RowId::of_parts(Table::RemovedNode, &[id]))?;
        Some(rows::decode(row.document))
    }

    /// The join tokens that are not used up, by id.
    pub fn join_tokens(&self) -> Vec<JoinToken> {
        self.documents(Table::JoinToken)
    }

    /// The nodes that were removed and could still show a certificate, by id.
    pub fn revoked_nodes(&self) -> Vec<RevokedNode> {
        self.documents(Table::RevokedNode)
    }

    /// The id of the cluster key that seals; empty before the cluster is founded.
    pub fn sealing_key(&self) -> String {
        self.cluster().map(|cluster| sealing_key(&cluster).to_owned()).unwrap_or_default()
    }

    /// Whether a node was removed and could still show a certificate.
    pub fn is_revoked(&self, node_id: &str) -> bool {
        self.0.get(&keys::row(&RowId::of_parts(Table::RevokedNode, &[node_id]))).is_some()
    }

    /// The operators, by name. The token that was made with the cluster is not among them: it stands in the cluster's row.
    pub fn operators(&self) -> Vec<Operator> {
        self.documents(Table::Operator)
    }

    /// The operator of a name.
    pub fn operator(&self, name: &str) -> Option<Operator> {
        self.row(&RowId::of_parts(Table::Operator, &[name])).map(|stored| rows::decode(stored.bytes))
    }

    /// The operator whose token has this hash.
    pub fn operator_of_token(&self, hash: &[u8]) -> Option<Operator> {
        let key = self.by_unique(Table::Operator, hash)?;
        self.operator(key.first()?)
    }

    fn documents<M: prost::Message + Default>(&self, table: Table) -> Vec<M> {
        let (from, to) = keys::rows_below(table, &[]);
        let decode = |value: Vec<u8>| {
            let row: StoredRow = rows::decode(value.into());
            rows::decode(row.document)
        };
        self.0.scan(&from, &to).map(|(_, value)| decode(value)).collect()
    }

    /// How far a restore is staged; `None` when none is.
    pub fn staged_restore(&self) -> Option<StagedRestore> {
        rows::read(&self.0, keys::STAGED_RESTORE)
    }

    /// Every row of every table as a backup holds it, in the order of tables and keys; what can be made anew from these
    /// (indexes, counts, what data nodes were told) and answered requests are not among them.
    pub fn backup_rows(&self) -> Box<dyn Iterator<Item = BackupRow> + '_> {
        let (from, to) = keys::all_rows();
        Box::new(self.0.scan(&from, &to).filter_map(|(key, row)| {
            let id = keys::row_of(&key)?;
            Some(BackupRow { table: id.table as i32, key: id.key.into(), row: row.into() })
        }))
    }

    /// What was answered to a request; `None` when it is not known (any more).
    pub fn request(&self, actor: &str, id: &[u8; 16]) -> Option<RequestRow> {
        rows::read(&self.0, &keys::request(actor, id))
    }

    /// Whether a `Trim` at `now_ms` would find something, so that a quiet cluster writes none.
    pub fn trim_is_due(&self, now_ms: u64) -> bool {
        let progress = rows::progress(&self.0);
        let now_ms = now_ms.max(progress.stamp_ms);
        let aged_ms = now_ms.saturating_sub(sluice_model::limits::UNREFERENCED_MS_MAX);
        let unreferenced = self.0.scan(&keys::unreferenced_from(0), &keys::unreferenced_from(aged_ms)).next().is_some();
        unreferenced
            || (progress.requests > 0 && progress.requests_next_ms <= now_ms)
            || self.staged_restore().is_some_and(|staged| staged.staged_ms < aged_ms)
            || self.join_tokens().iter().any(|token| token.expires_ms <= now_ms)
            || self.revoked_nodes().iter().any(|node| node.until_ms <= now_ms)
            || self.audit_has_aged(now_ms)
    }
}
