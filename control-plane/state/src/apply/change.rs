//! Changes of configuration: puts and deletes of rows, whole or not at all.

use sluice_model::limits;
use sluice_proto::raft::{Change, DeleteRow, PutRow, RowRef, StoredRow, Table, rejected::Code, row_change::Kind};

use super::{
    refusal::{Flow, invalid, not_found, refuse},
    run::{Run, row_id},
};
use crate::{
    keys::{self, RowId},
    tables::Tables,
};

/// What an owner's files make, and where it stands.
const OWNED_KINDS: [(&str, Table); 3] =
    [("RestApi", Table::RestApi), ("ApiKey", Table::ApiKey), ("UsagePlan", Table::Plan)];

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn change(&mut self, change: &Change) -> Flow {
        if change.rows.len() > limits::CHANGE_ROWS_MAX {
            let message = format!("expected at most {} rows, found {}", limits::CHANGE_ROWS_MAX, change.rows.len());
            return refuse(Code::Capacity, message);
        }
        for (operation, row) in change.rows.iter().enumerate() {
            let done = match &row.kind {
                Some(Kind::Put(put)) => self.put(put),
                Some(Kind::Delete(delete)) => self.delete(delete),
                Some(Kind::ReplaceParts(replace)) => self.replace_parts(replace),
                Some(Kind::Deploy(deploy)) => self.deploy(deploy),
                None => invalid("expected a change of a row that this release knows, found another"),
            };
            done.map_err(|mut rejected| {
                rejected.operation = u32::try_from(operation).unwrap_or(u32::MAX);
                rejected
            })?;
        }
        self.close_apis()
    }

    pub(super) fn put(&mut self, put: &PutRow) -> Flow {
        let id = put_id(put)?;
        match id.table {
            Table::RestApi => self.put_api(&id, put),
            Table::Resource
            | Table::Method
            | Table::Model
            | Table::RequestValidator
            | Table::Authorizer
            | Table::GatewayResponse => self.put_entry(&id, put),
            Table::Stage => self.put_stage(&id, put),
            Table::Deployment => self.put_deployment(&id, put),
            Table::ApiKey => self.put_api_key(&id, put),
            Table::PlanKey => self.put_plan_key(&id, put),
            Table::Plan | Table::Domain | Table::Setting | Table::Owned => self.put_plain(&id, put, &[]),
            Table::Unspecified
            | Table::Part
            | Table::Content
            | Table::KeyView
            | Table::Node
            | Table::JoinToken
            | Table::RevokedNode
            | Table::Operator
            | Table::Audit
            | Table::RefusedCall
            | Table::RemovedNode
            | Table::Probe => invalid(format!("expected a table that changes write, found {}", id.table.as_str_name())),
        }
    }

    /// Puts a row of a table that has no rules of its own; `implied` stand beside the references it states.
    pub(super) fn put_plain(&mut self, id: &RowId, put: &PutRow, implied: &[RowRef]) -> Flow {
        self.check_version(id, self.stored(id).as_ref(), put.expected_version.into())?;
        let refs: Vec<RowRef> = put.refs.iter().chain(implied).cloned().collect();
        let refs = self.resolve_refs(&refs)?;
        self.write_row(
            id,
            StoredRow {
                document: put.document.clone(),
                name: put.name.clone(),
                refs,
                unique: put.unique.clone(),
                key_fields: put.key_fields.clone(),
                ..StoredRow::default()
            },
        )
    }

    fn put_stage(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let api = &id.parts()[0];
        let api_id = RowId::of_parts(Table::RestApi, &[api]);
        if self.draft.get(&keys::row(&api_id)).is_none() && !self.open.contains_key(api) {
            return not_found(&api_id);
        }
        let strays = |to: &&RowRef| to.table() == Table::Deployment && to.key.first() != Some(api);
        if put.refs.iter().find(strays).is_some() {
            return invalid("expected a deployment of the stage's own api, found another's");
        }
        self.put_plain(id, put, &[])
    }

    fn delete(&mut self, delete: &DeleteRow) -> Flow {
        let Some(row) = &delete.row else { return invalid("expected the row to delete, found none") };
        let id = row_id(row)?;
        self.delete_of_table(&id, delete)?;
        self.disown(&id);
        Ok(())
    }

    /// Who owned a row that has gone owns it no longer.
    fn disown(&mut self, gone: &RowId) {
        let Some((kind, _)) = OWNED_KINDS.into_iter().find(|(_, table)| *table == gone.table) else { return };
        let owned = RowId::of_parts(Table::Owned, &[kind, &String::from_utf8_lossy(&gone.key)]);
        if let Some(current) = self.stored(&owned) {
            self.remove_row(&owned, current);
        }
    }

    fn delete_of_table(&mut self, id: &RowId, delete: &DeleteRow) -> Flow {
        match id.table {
            Table::RestApi => self.delete_api(id, delete.expected_version.into()),
            Table::Resource
            | Table::Method
            | Table::Model
            | Table::RequestValidator
            | Table::Authorizer
            | Table::GatewayResponse => self.delete_entry(id, delete.expected_version.into()),
            Table::Deployment => {
                let current = self.expect_row(id, delete.expected_version)?;
                self.expect_unreferenced(id)?;
                self.remove_deployment(id, current);
                Ok(())
            }
            Table::ApiKey => self.delete_api_key(id, delete.expected_version),
            Table::Plan => self.delete_plan(id, delete.expected_version),
            Table::PlanKey => self.delete_plan_key(id, delete.expected_version),
            Table::Stage | Table::Domain | Table::Setting | Table::Owned => {
                let current = self.expect_row(id, delete.expected_version)?;
                self.expect_unreferenced(id)?;
                self.remove_row(id, current);
                Ok(())
            }
            Table::Unspecified
            | Table::Part
            | Table::Content
            | Table::KeyView
            | Table::Node
            | Table::JoinToken
            | Table::RevokedNode
            | Table::Operator
            | Table::Audit
            | Table::RefusedCall
            | Table::RemovedNode
            | Table::Probe => {
                invalid(format!("expected a table that changes delete from, found {}", id.table.as_str_name()))
            }
        }
    }

    /// The row that a delete is about.
    pub(super) fn expect_row(&self, id: &RowId, expected_version: Option<u64>) -> Flow<StoredRow> {
        let current = self.stored(id);
        self.check_version(id, current.as_ref(), expected_version.into())?;
        match current {
            Some(current) => Ok(current),
            None => not_found(id),
        }
    }
}

/// The row that a put names, after the checks of size that every put passes.
fn put_id(put: &PutRow) -> Flow<RowId> {
    let Some(row) = &put.row else { return invalid("expected the row to put, found none") };
    if put.document.len() > limits::DOCUMENT_BYTES_MAX {
        let message = format!(
            "expected a document of at most {} bytes, found {}",
            limits::DOCUMENT_BYTES_MAX,
            put.document.len()
        );
        return refuse(Code::Capacity, message);
    }
    // A character has at most four bytes.
    if put.name.len() > limits::NAME_CHARS_MAX * 4 {
        return invalid(format!("expected a name of at most {} characters", limits::NAME_CHARS_MAX));
    }
    if put.unique.len() > limits::UNIQUE_BYTES_MAX {
        return invalid(format!("expected a unique value of at most {} bytes", limits::UNIQUE_BYTES_MAX));
    }
    row_id(row)
}
