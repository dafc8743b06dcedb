//! Methods with their integrations and responses.

use sluice_proto::{
    model::{Authorizer, Method, Model, RequestValidator, Resource},
    raft::RowRef,
};
use sluice_state::Tables;

use super::{Planned, Planner, checked, planned};
use crate::refused::Refused;

/// Models that every AWS API has without having made them.
const BUILT_IN_MODELS: [&str; 2] = ["Empty", "Error"];

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a method.
    pub(super) fn put_method(&mut self, mut method: Method, expected: Option<u64>) -> Result<Planned, Refused> {
        self.api_of(&method.api_id)?;
        self.leveled(&mut method)?;
        let warnings = checked(&method)?;
        let (_, expected) = self.present(&method, expected)?;
        let refs = self.references_of(&method)?;
        let rows = vec![self.row(&method, refs, expected)?];
        Ok(Planned { warnings, ..planned(method, rows) })
    }

    fn references_of(&self, method: &Method) -> Result<Vec<RowRef>, Refused> {
        let api = method.api_id.as_str();
        let mut refs = vec![self.referred::<Resource>(&[api, &method.resource_id], "resourceId", "resource")?];
        if let Some(id) = method.authorizer_id.as_deref().filter(|id| !id.is_empty()) {
            refs.push(self.referred::<Authorizer>(&[api, id], "authorizerId", "authorizer")?);
        }
        if let Some(id) = method.request_validator_id.as_deref().filter(|id| !id.is_empty()) {
            refs.push(self.referred::<RequestValidator>(&[api, id], "requestValidatorId", "request validator")?);
        }
        for (name, at) in models_of(method) {
            if !BUILT_IN_MODELS.contains(&name) {
                let model = self.referred::<Model>(&[api, name], &at, "model")?;
                if !refs.contains(&model) {
                    refs.push(model);
                }
            }
        }
        Ok(refs)
    }
}

/// The models that a method names, each with the path where it does.
pub(super) fn models_of(method: &Method) -> impl Iterator<Item = (&str, String)> {
    let requested = method
        .request_models
        .iter()
        .map(|(media_type, name)| (name.as_str(), format!("requestModels[\"{media_type}\"]")));
    let answered = method.method_responses.iter().flat_map(|(status, response)| {
        response.response_models.iter().map(move |(media_type, name)| {
            (name.as_str(), format!("methodResponses[\"{status}\"].responseModels[\"{media_type}\"]"))
        })
    });
    requested.chain(answered)
}
