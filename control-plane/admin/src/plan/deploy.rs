//! Deploying: an immutable copy of an API, and a stage that serves it.

use sluice_model::level::leveled;
use sluice_proto::{
    admin::Deploy,
    model::{Deployment, RestApi, Stage},
    raft::{self, RowChange, row_change},
};
use sluice_state::{Tables, View};

use super::{
    Answer, PENDING, Planned, Planner, checked, missing, models_needed, planned, put_row,
    row::encoded,
    seconds,
    stage::{stage_row, stage_stamped},
};
use crate::{
    noun::{Noun, ref_of},
    read::{self, Found},
    refused::Refused,
};

impl<T: Tables> Planner<'_, T> {
    /// Makes a deployment of the API as it is now, or takes an existing one, and points the stage at it.
    pub(super) fn deploy(&mut self, deploy: &Deploy) -> Result<Planned, Refused> {
        let api_key = vec![deploy.api_id.clone()];
        let api = read::find::<RestApi, _>(&self.view, &api_key).ok_or_else(|| missing(RestApi::KIND, &api_key))?;
        let key = [deploy.api_id.clone(), deploy.stage_name.clone()];
        let before = read::find::<Stage, _>(&self.view, &key);
        match &deploy.deployment_id {
            Some(id) => self.point_back(deploy, id, before),
            None => self.deploy_new(deploy, &api, before),
        }
    }

    fn deploy_new(
        &mut self,
        deploy: &Deploy,
        api: &Found<RestApi>,
        before: Option<Found<Stage>>,
    ) -> Result<Planned, Refused> {
        let api_id = deploy.api_id.as_str();
        let view = &self.view;
        let deployment = leveled(Deployment {
            level: 0,
            id: self.ids.short(|id| read::deployment_exists(view, api_id, id)),
            api_id: api_id.to_owned(),
            description: deploy.description.clone(),
            created_date: Some(seconds(self.now_ms)),
        });
        checked(&deployment)?;
        let is_new_stage = before.is_none() && !deploy.stage_name.is_empty();
        let (stage, expected) = staged(deploy, &deployment.id, before, self.now_ms)?;
        let entries = self.tools.compiler.entries_of_api(&self.view, api_id);
        let mut warnings = self.tools.compiler.compile(api_id, &entries, stage.as_ref())?;
        if is_new_stage {
            warnings.extend(self.one_stage_more(api_id));
        }
        let version = (api.version != PENDING).then_some(api.version);
        let stage = stage.as_ref().map(|stage| stage_row(&self.view, stage, expected)).transpose()?;
        let mut planned = deploy_planned(&self.view, deployment, stage, version)?;
        let row = planned.rows.first_mut().and_then(|row| row.kind.as_mut());
        if let Some(row_change::Kind::Deploy(row)) = row {
            row.models = models_needed(&entries);
        }
        Ok(Planned { warnings, ..planned })
    }

    /// Points a stage at a deployment that exists: a rollback.
    fn point_back(&mut self, deploy: &Deploy, id: &str, before: Option<Found<Stage>>) -> Result<Planned, Refused> {
        let key = vec![deploy.api_id.clone(), id.to_owned()];
        let deployment =
            read::find::<Deployment, _>(&self.view, &key).ok_or_else(|| missing(Deployment::KIND, &key))?.document;
        let (stage, expected) = staged(deploy, id, before, self.now_ms)?;
        let Some(stage) = stage else {
            return Err(Refused::invalid("stageName", "expected the stage to point at the deployment, found none", ""));
        };
        let entries = self.tools.compiler.entries_of_deployment(&self.view, &deploy.api_id, id);
        let warnings = self.tools.compiler.compile(&deploy.api_id, &entries, Some(&stage))?;
        let rows = vec![put_row(stage_row(&self.view, &stage, expected)?)];
        Ok(Planned { warnings, ..planned(deployment, rows) })
    }
}

/// The stage as it will be; none where the deployment gets no stage.
fn staged(
    deploy: &Deploy,
    deployment_id: &str,
    before: Option<Found<Stage>>,
    now_ms: u64,
) -> Result<(Option<Stage>, Option<u64>), Refused> {
    if deploy.stage_name.is_empty() {
        return Ok((None, None));
    }
    let expected = match &before {
        Some(found) if found.version == PENDING => None,
        Some(found) => Some(found.version),
        None => Some(0),
    };
    let before = before.map(|found| found.document);
    let mut stage = before.clone().unwrap_or_else(|| Stage {
        api_id: deploy.api_id.clone(),
        stage_name: deploy.stage_name.clone(),
        variables: deploy.variables.clone(),
        ..Stage::default()
    });
    deployment_id.clone_into(&mut stage.deployment_id);
    stage = leveled(stage);
    stage_stamped(&mut stage, before.as_ref(), now_ms);
    checked(&stage)?;
    Ok((Some(stage), expected))
}

/// The row of a new deployment; the models that it needs are filled in by who compiled it.
///
/// # Errors
/// `Level`.
pub(crate) fn deploy_planned<T: Tables>(
    view: &View<T>,
    deployment: Deployment,
    stage: Option<raft::PutRow>,
    expected_api_version: Option<u64>,
) -> Result<Planned, Refused> {
    let row = raft::Deploy {
        api_id: deployment.api_id.clone(),
        deployment_id: deployment.id.clone(),
        deployment: encoded(view, &deployment)?,
        models: Vec::new(),
        expected_api_version,
        stage,
    };
    let answer = Answer { name: ref_of(&deployment), document: Some(deployment.into_document()) };
    Ok(Planned { rows: vec![RowChange { kind: Some(row_change::Kind::Deploy(row)) }], answer, warnings: Vec::new() })
}
