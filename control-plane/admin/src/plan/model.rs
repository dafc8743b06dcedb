//! Models: named schemas of an API.

use sluice_proto::model::{Method, Model};
use sluice_state::Tables;

use super::{Planned, Planner, checked, method::models_of, planned};
use crate::refused::{Reason, Refused};

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a model; its name is its identity.
    pub(super) fn put_model(&mut self, mut model: Model, expected: Option<u64>) -> Result<Planned, Refused> {
        self.api_of(&model.api_id)?;
        self.leveled(&mut model)?;
        let (found, expected) = self.present(&model, expected)?;
        match found {
            Some(found) => model.id = found.document.id,
            None if model.id.is_empty() => model.id = self.ids.short(|_| false),
            None => super::check_id(&model.id, "id")?,
        }
        let warnings = checked(&model)?;
        let rows = vec![self.row(&model, Vec::new(), expected)?];
        Ok(Planned { warnings, ..planned(model, rows) })
    }

    /// Refuses to delete a model that a method names.
    pub(super) fn model_is_free(&self, key: &[String]) -> Result<(), Refused> {
        let methods = self.all::<Method>(&key[0]);
        let user = methods.iter().find(|method| models_of(&method.document).any(|(name, _)| name == key[1]));
        in_use(user.map(|found| &found.document), &format!("model {}", key[1]))
    }
}

/// A refusal when a method still uses what is to be deleted.
pub(super) fn in_use(user: Option<&Method>, what: &str) -> Result<(), Refused> {
    match user {
        None => Ok(()),
        Some(method) => Err(Refused::new(
            Reason::Referenced,
            format!(
                "{what} is still used by method {} of resource {}; change that first",
                method.http_method, method.resource_id
            ),
        )),
    }
}
