//! Guard: what protects a stage from all of its callers together: its limit on the method.
//!
//! Promise: a `Guarded` request holds its tokens of the stage's buckets; a later refusal gives them back.
//! Absent: connection rates, which are kept where connections are accepted, and resource policies.

use std::rc::Rc;

use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::limits::Demands;
use crate::phase::{Flow, Phase};
use crate::route::Routed;
use crate::tally::ThrottledBy;

/// The second phase.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) core: Rc<Core>,
}

/// A request within the limits of its stage.
#[derive(Debug)]
pub(crate) struct Guarded<'v> {
    pub(crate) routed: Routed<'v>,
    /// What it took; given back when a later phase refuses it.
    pub(crate) held: Demands,
}

impl<'v> Phase<'v> for Guard {
    type In = Routed<'v>;
    type Out = Guarded<'v>;
    const NAME: &'static str = "guard";

    async fn run(&self, routed: Routed<'v>, exchange: &mut Exchange) -> Flow<Guarded<'v>> {
        let held = Demands::new(routed.route.throttle, None);
        if self.core.limits.take(exchange.started(), &held).is_err() {
            exchange.throttled(ThrottledBy::Method);
            return Err(Fault::new(FaultKind::Throttled, "the stage's limit on the method is reached").into());
        }
        Ok(Guarded { routed, held })
    }
}
