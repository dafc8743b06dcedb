//! Deployments: the 64 part digests of an API at one moment.

use std::collections::BTreeSet;

use prost::Message;
use sluice_model::{limits, part};
use sluice_proto::raft::{Deploy, DeploymentRow, PartEntry, PutRow, RowRef, StoredRow, Table};

use super::{
    refusal::{Flow, invalid, not_found},
    run::{Run, already_exists, row_id, version_changed},
};
use crate::{keys::RowId, rows, tables::Tables};

impl<T: Tables> Run<'_, '_, T> {
    /// Copies the parts of an API to a new deployment, and points a stage at it.
    pub(super) fn deploy(&mut self, deploy: &Deploy) -> Flow {
        let api = RowRef { table: Table::RestApi as i32, key: vec![deploy.api_id.clone()] };
        let api_id = row_id(&api)?;
        let key = vec![deploy.api_id.clone(), deploy.deployment_id.clone()];
        let target = RowRef { table: Table::Deployment as i32, key };
        let id = row_id(&target)?;
        if deploy.deployment.len() > limits::DOCUMENT_BYTES_MAX || deploy.models.len() > limits::CHANGE_ROWS_MAX {
            return invalid("expected a deployment of bounded size, found a larger one");
        }
        self.close_api(&deploy.api_id)?;
        let Some(current) = self.stored(&api_id) else { return not_found(&api_id) };
        // 0 is the version of an api that this very command makes.
        let seen = self.version_before(&api_id, &current);
        if let Some(expected) = deploy.expected_api_version.filter(|expected| *expected != seen) {
            return version_changed(&api_id, expected, seen);
        }
        // An id that this command freed is not free yet: its deployment may still be settled.
        if self.stored(&id).is_some() || self.before.contains_key(&id) {
            return already_exists(&id);
        }
        let models = self.models_of(deploy)?;
        let parts = rows::api_row(&current).parts;
        let row = DeploymentRow { document: deploy.deployment.clone(), parts, models };
        self.count_deployment(&row, 1);
        let stored = StoredRow { document: row.encode_to_vec().into(), ..StoredRow::default() };
        self.write_row(&id, stored)?;
        match &deploy.stage {
            Some(stage) => self.point_stage(&target, stage),
            None => Ok(()),
        }
    }

    fn models_of(&mut self, deploy: &Deploy) -> Flow<Vec<PartEntry>> {
        let mut models = Vec::new();
        for name in deploy.models.iter().collect::<BTreeSet<_>>() {
            let key = vec![deploy.api_id.clone(), name.clone()];
            let id = row_id(&RowRef { table: Table::Model as i32, key: key.clone() })?;
            match self.entry_content(Table::Model, &key) {
                Some(content) => models.push(part::entry(Table::Model, key, content)),
                None => return not_found(&id),
            }
        }
        Ok(models)
    }

    fn point_stage(&mut self, deployment: &RowRef, stage: &PutRow) -> Flow {
        let is_stage = stage.row.as_ref().is_some_and(|row| row.table() == Table::Stage);
        if !is_stage || !stage.refs.contains(deployment) {
            return invalid("expected a stage that refers to the deployment, found another row");
        }
        self.put(stage)
    }

    /// Replaces the document of a deployment; what it copied stays.
    pub(super) fn put_deployment(&mut self, id: &RowId, put: &PutRow) -> Flow {
        let current = self.stored(id);
        self.check_version(id, current.as_ref(), put.expected_version.into())?;
        let Some(current) = current else { return not_found(id) };
        let row = DeploymentRow { document: put.document.clone(), ..rows::deployment_row(&current) };
        let stored = StoredRow { document: row.encode_to_vec().into(), ..StoredRow::default() };
        self.write_row(id, stored)
    }

    /// Removes a deployment to which no row refers.
    pub(super) fn remove_deployment(&mut self, id: &RowId, current: StoredRow) {
        self.count_deployment(&rows::deployment_row(&current), -1);
        self.remove_row(id, current);
    }

    fn count_deployment(&mut self, row: &DeploymentRow, change: i64) {
        for digest in &row.parts {
            self.count_any(Table::Part, digest, change);
        }
        for model in &row.models {
            self.count_any(Table::Content, &model.content, change);
        }
    }
}
