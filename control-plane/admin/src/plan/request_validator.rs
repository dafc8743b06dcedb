//! Request validators: what of a request is checked.

use sluice_proto::model::{Method, RequestValidator};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, model::in_use, planned};
use crate::refused::Refused;

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a request validator.
    pub(super) fn put_request_validator(
        &mut self,
        mut validator: RequestValidator,
        expected: Option<u64>,
    ) -> Result<Planned, Refused> {
        self.api_of(&validator.api_id)?;
        if validator.id.is_empty() {
            let all = self.all::<RequestValidator>(&validator.api_id);
            validator.id = self.ids.short(|id| all.iter().any(|other| other.document.id == id));
        }
        check_id(&validator.id, "id")?;
        self.leveled(&mut validator)?;
        let (_, expected) = self.present(&validator, expected)?;
        let warnings = checked(&validator)?;
        self.name_is_free(&validator.api_id, &validator)?;
        let mut rows: Vec<_> = self.api_unchanged(&validator.api_id)?.into_iter().collect();
        rows.push(self.row(&validator, Vec::new(), expected)?);
        Ok(Planned { warnings, ..planned(validator, rows) })
    }

    /// Refuses to delete a validator that a method names.
    pub(super) fn request_validator_is_free(&self, key: &[String]) -> Result<(), Refused> {
        let methods = self.all::<Method>(&key[0]);
        let names = |method: &Method| method.request_validator_id.as_deref() == Some(key[1].as_str());
        let user = methods.iter().find(|method| names(&method.document));
        in_use(user.map(|found| &found.document), &format!("request validator {}", key[1]))
    }
}
