//! The journey of a request: eight phases, each the only one that can make what the next one takes.

use std::rc::Rc;

use crate::admit::Admit;
use crate::authorize::Authorize;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::guard::Guard;
use crate::integrate::Integrate;
use crate::map_request::MapRequest;
use crate::map_response::MapResponse;
use crate::phase::{Flow, Reply, step};
use crate::received::Received;
use crate::route::Route;
use crate::validate::Validate;

/// The phases of one core.
#[derive(Debug)]
pub(crate) struct Journey {
    route: Route,
    guard: Guard,
    authorize: Authorize,
    admit: Admit,
    validate: Validate,
    map_request: MapRequest,
    integrate: Integrate,
    map_response: MapResponse,
}

impl Journey {
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        let core = || Rc::clone(core);
        Self {
            route: Route { core: core() },
            guard: Guard { core: core() },
            authorize: Authorize { core: core() },
            admit: Admit { core: core() },
            validate: Validate,
            map_request: MapRequest { core: core() },
            integrate: Integrate { core: core() },
            map_response: MapResponse,
        }
    }

    /// Takes a request through all phases.
    pub(crate) async fn run(&self, received: Received<'_>, exchange: &mut Exchange) -> Flow<Reply> {
        let routed = step(&self.route, received, exchange).await?;
        let guarded = step(&self.guard, routed, exchange).await?;
        let authorized = step(&self.authorize, guarded, exchange).await?;
        let admitted = step(&self.admit, authorized, exchange).await?;
        let validated = step(&self.validate, admitted, exchange).await?;
        let mapped = step(&self.map_request, validated, exchange).await?;
        let integrated = step(&self.integrate, mapped, exchange).await?;
        step(&self.map_response, integrated, exchange).await
    }
}
