//! Whole APIs: replacing all that one holds, and deleting one.

use prost::Message;
use sluice_model::{
    limits,
    part::{self, PARTS},
};
use sluice_proto::raft::{ApiRow, Part, ReplaceParts, Table, rejected::Code};

use super::{
    refusal::{Flow, invalid, not_found, refuse_row},
    run::{Expected, Run, referenced, row_id},
};
use crate::{keys, keys::RowId, rows, tables::Tables};

impl<T: Tables> Run<'_, '_, T> {
    /// Replaces everything an API holds with parts that were uploaded before.
    pub(super) fn replace_parts(&mut self, replace: &ReplaceParts) -> Flow {
        let id =
            row_id(&sluice_proto::raft::RowRef { table: Table::RestApi as i32, key: vec![replace.api_id.clone()] })?;
        if replace.name.len() > limits::NAME_CHARS_MAX * 4 {
            return invalid(format!("expected a name of at most {} characters", limits::NAME_CHARS_MAX));
        }
        if replace.parts.len() != PARTS || replace.parts.iter().any(|digest| digest.len() != 32) {
            return invalid(format!("expected {PARTS} digests of 32 bytes"));
        }
        self.close_api(&replace.api_id)?;
        let current = self.stored(&id);
        self.check_version(&id, current.as_ref(), replace.expected_version.into())?;
        let held = current.as_ref().map(|stored| rows::api_row(stored).parts).unwrap_or_default();
        for (number, digest) in replace.parts.iter().enumerate() {
            if held.get(number) == Some(digest) {
                continue;
            }
            let Some(part) = rows::part(self.draft, digest) else {
                let message = format!("expected part {number} to be uploaded, found nothing; upload it again");
                return refuse_row(Code::NotFound, &id, message);
            };
            check_part(&replace.api_id, number, &part)?;
            self.check_part_size(&replace.api_id, &replace.name, part.encoded_len(), 0)?;
        }
        let row = ApiRow { name: replace.name.clone(), parts: replace.parts.clone() };
        self.write_api(&replace.api_id, row);
        if self.entry_content(Table::RestApi, std::slice::from_ref(&replace.api_id)).is_none() {
            return invalid("expected the api's own document among its parts, found none");
        }
        Ok(())
    }

    /// Deletes an API with its stages and deployments; refused while something else refers to one of them.
    pub(super) fn delete_api(&mut self, id: &RowId, expected: Expected) -> Flow {
        let api = id.parts().swap_remove(0);
        self.close_api(&api)?;
        let current = self.stored(id);
        self.check_version(id, current.as_ref(), expected)?;
        let Some(current) = current else { return not_found(id) };
        self.expect_unreferenced_from_elsewhere(id, &api)?;
        // Stages first: they are what refers to deployments.
        for table in [Table::Stage, Table::Deployment] {
            for row in self.rows_of_api(table, &api)? {
                self.expect_unreferenced_from_elsewhere(&row, &api)?;
                let Some(stored) = self.stored(&row) else { continue };
                if table == Table::Deployment {
                    self.remove_deployment(&row, stored);
                } else {
                    self.remove_row(&row, stored);
                }
            }
        }
        self.move_parts(&rows::api_row(&current).parts, &[]);
        self.remove_row(id, current);
        Ok(())
    }

    /// Refuses when a row that does not go with `api` refers to `id`.
    fn expect_unreferenced_from_elsewhere(&self, id: &RowId, api: &str) -> Flow {
        let goes_along = |from: &RowId| {
            matches!(from.table, Table::Stage | Table::Deployment)
                && from.parts().first().is_some_and(|part| part == api)
        };
        match self.referrers(id, limits::CASCADE_ROWS_MAX).into_iter().find(|from| !goes_along(from)) {
            None => Ok(()),
            Some(from) => referenced(id, &from),
        }
    }

    fn rows_of_api(&self, table: Table, api: &str) -> Flow<Vec<RowId>> {
        let (from, to) = keys::rows_below(table, format!("{api}/").as_bytes());
        let found: Vec<RowId> = self
            .draft
            .scan(&from, &to)
            .filter_map(|(key, _)| keys::row_of(&key))
            .take(limits::CASCADE_ROWS_MAX + 1)
            .collect();
        if found.len() > limits::CASCADE_ROWS_MAX {
            let id = RowId::of_parts(Table::RestApi, &[api]);
            let message = format!(
                "expected at most {} rows to go along, found more; delete some of them first",
                limits::CASCADE_ROWS_MAX
            );
            return refuse_row(Code::Capacity, &id, message);
        }
        Ok(found)
    }
}

/// Checks that a part holds entries of `api` that belong into the part of this number, and no method without resource.
pub(super) fn check_part(api: &str, number: usize, part: &Part) -> Flow {
    for entry in &part.entries {
        let owner = part::entry_owner(entry.table(), &entry.key);
        let belongs = owner.is_some_and(|owner| part::part_of(owner) == number);
        if !belongs || entry.key.first().is_none_or(|first| first != api) {
            return invalid(format!("expected entries of api {api} in part {number}, found {}", entry.key.join("/")));
        }
        if entry.table() == Table::Method && part::find_entry(part, Table::Resource, &entry.key[..2]).is_err() {
            return invalid(format!("expected the resource of method {}, found none", entry.key.join("/")));
        }
    }
    Ok(())
}
