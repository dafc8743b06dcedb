//! API keys, usage plans and their memberships, and what data nodes see of a key.
//!
//! A `key_view` is written by the command that changes its key or a membership, in the same batch.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{KeyView, PutRow, RowRef, StoredRow, Table, rejected::Code};

use super::{
    refusal::{Flow, invalid, refuse_row},
    run::{Run, referenced},
};
use crate::{keys, keys::RowId, tables::Tables};

/// Bytes of the lookup hash of a key's value.
pub(super) const HASH_BYTES: usize = 16;

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn put_api_key(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let hash = put.key_fields.as_ref().map(|fields| fields.hash.len());
        if hash != Some(HASH_BYTES) {
            return invalid(format!("expected a key with a hash of {HASH_BYTES} bytes"));
        }
        if let Some(fields) = &put.key_fields {
            self.expect_open_key(id, fields)?;
        }
        let is_new = self.draft.get(&keys::row(id)).is_none();
        self.put_plain(id, put, &[])?;
        // What is new is in no plan yet: the index need not be asked.
        let plans = if is_new { Vec::new() } else { self.plans_of(id) };
        self.write_key_view(id, plans)
    }

    pub(super) fn put_plan_key(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let (plan, key) = members(id);
        self.put_plain(id, put, &[plan.to_ref(), key.to_ref()])?;
        let plans = self.plans_of(&key);
        self.write_key_view(&key, plans)
    }

    /// Deletes a key with its memberships.
    pub(super) fn delete_api_key(&mut self, id: &RowId, expected_version: Option<u64>) -> Flow {
        let current = self.expect_row(id, expected_version)?;
        for from in self.referrers(id, limits::CASCADE_ROWS_MAX) {
            if from.table != Table::PlanKey {
                return referenced(id, &from);
            }
            if let Some(stored) = self.stored(&from) {
                self.remove_row(&from, stored);
            }
        }
        self.expect_unreferenced(id)?;
        self.remove_row(id, current);
        let view = view_of(id);
        if let Some(stored) = self.stored(&view) {
            self.remove_row(&view, stored);
        }
        Ok(())
    }

    /// Deletes a plan with its memberships; refused when these are too many for one command.
    pub(super) fn delete_plan(&mut self, id: &RowId, expected_version: Option<u64>) -> Flow {
        let current = self.expect_row(id, expected_version)?;
        let referrers = self.referrers(id, limits::CASCADE_ROWS_MAX + 1);
        if referrers.len() > limits::CASCADE_ROWS_MAX {
            let message = format!(
                "expected at most {} keys in the plan, found more; remove some first",
                limits::CASCADE_ROWS_MAX
            );
            return refuse_row(Code::Capacity, id, message);
        }
        for from in referrers {
            if from.table != Table::PlanKey {
                return referenced(id, &from);
            }
            self.remove_member(&from)?;
        }
        self.remove_row(id, current);
        Ok(())
    }

    pub(super) fn delete_plan_key(&mut self, id: &RowId, expected_version: Option<u64>) -> Flow {
        self.expect_row(id, expected_version)?;
        self.expect_unreferenced(id)?;
        self.remove_member(id)
    }

    fn remove_member(&mut self, id: &RowId) -> Flow {
        if let Some(stored) = self.stored(id) {
            self.remove_row(id, stored);
        }
        let (_, key) = members(id);
        let plans = self.plans_of(&key);
        self.write_key_view(&key, plans)
    }

    /// The plans that a key is in, sorted.
    pub(super) fn plans_of(&self, key: &RowId) -> Vec<String> {
        let referrers = self.referrers(key, limits::CASCADE_ROWS_MAX);
        let members = referrers.into_iter().filter(|from| from.table == Table::PlanKey);
        members.map(|from| from.parts().swap_remove(0)).collect()
    }

    fn write_key_view(&mut self, key: &RowId, plan_ids: Vec<String>) -> Flow {
        let Some(stored) = self.stored(key) else { return Ok(()) };
        let document = view_document(key, stored, plan_ids);
        let id = view_of(key);
        if self.stored(&id).is_some_and(|current| current.document == document) {
            return Ok(());
        }
        self.write_row(&id, StoredRow { document, ..StoredRow::default() })
    }
}

/// What data nodes see of a key.
pub(super) fn view_document(key: &RowId, stored: StoredRow, plan_ids: Vec<String>) -> bytes::Bytes {
    let fields = stored.key_fields.unwrap_or_default();
    let view = KeyView {
        key_id: String::from_utf8_lossy(&key.key).into_owned(),
        hash: fields.hash,
        enabled: fields.enabled,
        plan_ids,
        usage_identifier: fields.usage_identifier,
    };
    view.encode_to_vec().into()
}

pub(super) fn view_of(key: &RowId) -> RowId {
    RowId::new(Table::KeyView, key.key.clone())
}

/// The plan and the key of a membership.
fn members(id: &RowId) -> (RowId, RowId) {
    let parts = id.parts();
    let row =
        |table: Table, part: usize| RowRef { table: table as i32, key: parts.get(part).cloned().into_iter().collect() };
    let of = |row: RowRef| RowId::of_parts(row.table(), &row.key);
    (of(row(Table::Plan, 0)), of(row(Table::ApiKey, 1)))
}
