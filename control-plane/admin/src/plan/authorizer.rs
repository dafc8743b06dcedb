//! Authorizers. They are kept; what this release cannot run is refused at deployment.

use sluice_proto::model::{Authorizer, Method};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, model::in_use, planned};
use crate::refused::Refused;

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces an authorizer.
    pub(super) fn put_authorizer(
        &mut self,
        mut authorizer: Authorizer,
        expected: Option<u64>,
    ) -> Result<Planned, Refused> {
        self.api_of(&authorizer.api_id)?;
        if authorizer.id.is_empty() {
            let all = self.all::<Authorizer>(&authorizer.api_id);
            authorizer.id = self.ids.short(|id| all.iter().any(|other| other.document.id == id));
        }
        check_id(&authorizer.id, "id")?;
        self.leveled(&mut authorizer)?;
        let (_, expected) = self.present(&authorizer, expected)?;
        let warnings = checked(&authorizer)?;
        self.name_is_free(&authorizer.api_id, &authorizer)?;
        let mut rows: Vec<_> = self.api_unchanged(&authorizer.api_id)?.into_iter().collect();
        rows.push(self.row(&authorizer, Vec::new(), expected)?);
        Ok(Planned { warnings, ..planned(authorizer, rows) })
    }

    /// Refuses to delete an authorizer that a method names.
    pub(super) fn authorizer_is_free(&self, key: &[String]) -> Result<(), Refused> {
        let methods = self.all::<Method>(&key[0]);
        let names = |method: &Method| method.authorizer_id.as_deref() == Some(key[1].as_str());
        let user = methods.iter().find(|method| names(&method.document));
        in_use(user.map(|found| &found.document), &format!("authorizer {}", key[1]))
    }
}
