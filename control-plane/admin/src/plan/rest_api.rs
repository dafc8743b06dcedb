//! REST APIs.

use sluice_model::level::leveled;
use sluice_proto::model::{Resource, RestApi};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, planned, seconds};
use crate::{read, refused::Refused};

impl<T: Tables> Planner<'_, T> {
    /// Creates an API with its root resource, or replaces the document of one.
    pub(super) fn put_rest_api(&mut self, mut api: RestApi, expected: Option<u64>) -> Result<Planned, Refused> {
        if api.id.is_empty() {
            let view = &self.view;
            api.id = self.ids.api(|id| read::api_exists(view, id));
        }
        check_id(&api.id, "id")?;
        self.leveled(&mut api)?;
        let (found, expected) = self.present(&api, expected)?;
        let Some(found) = found else { return self.create_rest_api(api, expected) };
        api.root_resource_id = found.document.root_resource_id;
        api.created_date = found.document.created_date;
        let warnings = checked(&api)?;
        let rows = vec![self.row(&api, Vec::new(), expected)?];
        Ok(Planned { warnings, ..planned(api, rows) })
    }

    fn create_rest_api(&mut self, mut api: RestApi, expected: Option<u64>) -> Result<Planned, Refused> {
        api.root_resource_id = self.ids.short(|_| false);
        api.created_date = Some(seconds(self.now_ms));
        let warnings = checked(&api)?;
        let root = leveled(Resource {
            id: api.root_resource_id.clone(),
            api_id: api.id.clone(),
            path: "/".to_owned(),
            ..Resource::default()
        });
        let rows = vec![self.row(&api, Vec::new(), expected)?, self.row(&root, Vec::new(), Some(0))?];
        Ok(Planned { warnings, ..planned(api, rows) })
    }
}
