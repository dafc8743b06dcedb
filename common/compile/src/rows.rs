//! The rows that are compiled: what data nodes see of the replicated state, encoded.

use std::collections::BTreeMap;

use prost::Message;
use sluice_model::{Digest, part};
use sluice_proto::{
    model::{Deployment, Stage, UsagePlan},
    raft::{DeploymentRow, KeyView, Part, Table},
};

use crate::api::Entry;

/// Visible rows. Keys are as stored: parts joined by `/`, or the 32 bytes of a digest.
pub trait Rows {
    /// Returns the value of a row.
    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]>;

    /// Returns all rows of a table, in no order.
    fn rows(&self, table: Table) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_>;
}

/// What has changed since the previous snapshot.
#[derive(Debug)]
pub enum Changed {
    /// Anything.
    All,
    /// These rows.
    Rows(Vec<RowChange>),
}

/// A row that has come, changed or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// The value before, where there was one; needed of `Table::KeyView`, others may leave it out.
    pub before: Option<Vec<u8>>,
}

/// Rows in a plain map: for tests, and for running an API outside a cluster.
#[derive(Debug, Default, Clone)]
pub struct MapRows(BTreeMap<(i32, Vec<u8>), Vec<u8>>);

impl Rows for MapRows {
    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.0.get(&(table as i32, key.to_vec())).map(Vec::as_slice)
    }

    fn rows(&self, table: Table) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        let first = (table as i32, Vec::new());
        let last = (table as i32 + 1, Vec::new());
        Box::new(self.0.range(first..last).map(|((_, key), value)| (key.as_slice(), value.as_slice())))
    }
}

impl MapRows {
    /// Puts a row; returns the change.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> RowChange {
        let before = self.0.insert((table as i32, key.to_vec()), value);
        RowChange { table, key: key.to_vec(), before }
    }

    /// Takes a row away; returns the change.
    pub fn remove(&mut self, table: Table, key: &[u8]) -> RowChange {
        let before = self.0.remove(&(table as i32, key.to_vec()));
        RowChange { table, key: key.to_vec(), before }
    }

    /// Puts a deployment of `entries` and the stage that points at it, as the state machine would.
    pub fn deploy(&mut self, entries: &[Entry], stage: &Stage) -> Vec<RowChange> {
        let mut changes: Vec<RowChange> = entries
            .iter()
            .map(|entry| self.put(Table::Content, entry.digest.as_bytes(), entry.bytes.to_vec()))
            .collect();
        let named = entries.iter().map(|entry| part::entry(entry.table, entry.key.clone(), entry.digest));
        let parts: Vec<Digest> =
            part::build_parts(named).iter().map(|part| self.put_part(part, &mut changes)).collect();
        let document = Deployment {
            level: 1,
            id: stage.deployment_id.clone(),
            api_id: stage.api_id.clone(),
            ..Deployment::default()
        };
        let row = DeploymentRow {
            document: document.encode_to_vec().into(),
            parts: parts.iter().map(|digest| digest.as_bytes().to_vec().into()).collect(),
            models: Vec::new(),
        };
        let key = part::join_key(&[&stage.api_id, &stage.deployment_id]);
        changes.push(self.put(Table::Deployment, &key, row.encode_to_vec()));
        changes.push(self.put_stage(stage));
        changes
    }

    fn put_part(&mut self, part: &Part, changes: &mut Vec<RowChange>) -> Digest {
        let bytes = part.encode_to_vec();
        let digest = Digest::of(&bytes);
        changes.push(self.put(Table::Part, digest.as_bytes(), bytes));
        digest
    }

    /// Puts a stage.
    pub fn put_stage(&mut self, stage: &Stage) -> RowChange {
        let key = part::join_key(&[&stage.api_id, &stage.stage_name]);
        self.put(Table::Stage, &key, stage.encode_to_vec())
    }

    /// Puts a plan.
    pub fn put_plan(&mut self, plan: &UsagePlan) -> RowChange {
        self.put(Table::Plan, plan.id.as_bytes(), plan.encode_to_vec())
    }

    /// Puts a key.
    pub fn put_key(&mut self, key: &KeyView) -> RowChange {
        self.put(Table::KeyView, key.key_id.as_bytes(), key.encode_to_vec())
    }
}
