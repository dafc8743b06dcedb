//! Deployments: made by deploying (`deploy`), changed only in their description.

use sluice_proto::model::Deployment;
use sluice_state::Tables;

use super::{Planned, Planner, checked, missing, planned};
use crate::{noun::Noun, refused::Refused};

impl<T: Tables> Planner<'_, T> {
    /// Replaces the description of a deployment.
    pub(super) fn put_deployment(
        &mut self,
        mut deployment: Deployment,
        expected: Option<u64>,
    ) -> Result<Planned, Refused> {
        if deployment.id.is_empty() {
            return Err(Refused::invalid(
                "id",
                "a deployment is made by deploying its api",
                "use the deploy operation",
            ));
        }
        self.leveled(&mut deployment)?;
        let (found, expected) = self.present(&deployment, expected)?;
        let found = found.ok_or_else(|| missing(Deployment::KIND, &deployment.key()))?;
        deployment.created_date = found.document.created_date;
        let warnings = checked(&deployment)?;
        let rows = vec![self.row(&deployment, Vec::new(), expected)?];
        Ok(Planned { warnings, ..planned(deployment, rows) })
    }
}
