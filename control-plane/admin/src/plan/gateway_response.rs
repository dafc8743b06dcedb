//! Gateway responses: what the gateway itself answers, by kind of error.

use sluice_proto::model::GatewayResponse;
use sluice_state::Tables;

use super::{Planned, Planner, checked, planned};
use crate::refused::Refused;

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a gateway response; its type is its identity.
    pub(super) fn put_gateway_response(
        &mut self,
        mut response: GatewayResponse,
        expected: Option<u64>,
    ) -> Result<Planned, Refused> {
        self.api_of(&response.api_id)?;
        self.leveled(&mut response)?;
        let warnings = checked(&response)?;
        let (_, expected) = self.present(&response, expected)?;
        let rows = vec![self.row(&response, Vec::new(), expected)?];
        Ok(Planned { warnings, ..planned(response, rows) })
    }
}
