//! Admit: whether the caller's usage plan lets this request in.
//!
//! AWS: a plan's limit of the method goes before the plan's own; both count per key, the latter over all stages of the
//! plan. Promise: a refused request leaves every bucket as it was, the stage's included. Absent: quotas.

use std::rc::Rc;

use crate::authorize::{Authorized, Caller};
use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::limits::Demands;
use crate::phase::{Flow, Phase};
use crate::tally::ThrottledBy;

/// The fourth phase.
#[derive(Debug)]
pub(crate) struct Admit {
    pub(crate) core: Rc<Core>,
}

/// A request within all limits; its tokens are spent.
#[derive(Debug)]
pub(crate) struct Admitted<'v> {
    pub(crate) authorized: Authorized<'v>,
}

impl<'v> Phase<'v> for Admit {
    type In = Authorized<'v>;
    type Out = Admitted<'v>;
    const NAME: &'static str = "admit";

    async fn run(&self, authorized: Authorized<'v>, exchange: &mut Exchange) -> Flow<Admitted<'v>> {
        let Caller::Key { key, plan } = authorized.caller else {
            return Ok(Admitted { authorized });
        };
        let routed = &authorized.guarded.routed;
        let demands = Demands::new(plan.method_throttle(routed.stage, &routed.route, key), plan.throttle(key));
        if self.core.limits.take(exchange.started(), &demands).is_err() {
            self.core.limits.give_back(&authorized.guarded.held);
            exchange.throttled(ThrottledBy::Plan);
            return Err(Fault::new(FaultKind::Throttled, "a limit of the usage plan is reached").into());
        }
        Ok(Admitted { authorized })
    }
}
