//! Map the request: from the client's request to what the integration is called with.
//!
//! Promise: `Mapped` names the integration that will answer and holds all that its mappings may name. The values
//! themselves are written into the outgoing head where they belong, once, while it is made: see [`Mapped::values`].
//! Absent: templates; a body passes through.

use std::rc::Rc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use sluice_compile::{CompiledIntegration, HttpProxy, Mock};

use crate::authorize::Caller;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::phase::{Flow, Phase};
use crate::route::Routed;
use crate::time::epoch_ms;
use crate::validate::Validated;
use crate::values::{Captured, RequestValues, RouteView, StageView};

/// What a request is traced by.
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// The sixth phase.
#[derive(Debug)]
pub(crate) struct MapRequest {
    pub(crate) core: Rc<Core>,
}

/// A request ready for its integration.
#[derive(Debug)]
pub(crate) struct Mapped<'v> {
    pub(crate) routed: Routed<'v>,
    pub(crate) caller: Caller<'v>,
    pub(crate) target: Target<'v>,
}

/// What will answer.
#[derive(Debug)]
pub(crate) enum Target<'v> {
    /// A backend.
    HttpProxy {
        /// Where and how.
        proxy: &'v HttpProxy,
        /// For a request that came without one.
        trace_id: Option<HeaderValue>,
    },
    /// The gateway itself.
    Mock(&'v Mock),
}

impl<'v> Phase<'v> for MapRequest {
    type In = Validated<'v>;
    type Out = Mapped<'v>;
    const NAME: &'static str = "map_request";

    async fn run(&self, validated: Validated<'v>, exchange: &mut Exchange) -> Flow<Mapped<'v>> {
        let authorized = validated.admitted.authorized;
        let (routed, caller) = (authorized.guarded.routed, authorized.caller);
        let target = match routed.route.integration {
            CompiledIntegration::HttpProxy(proxy) => {
                let traced = routed.received.parts.headers.contains_key(&TRACE_ID);
                let trace_id = || self.core.ids.render_trace(exchange.id(), epoch_ms(SystemTime::now()) / 1_000);
                Target::HttpProxy { proxy, trace_id: (!traced).then(trace_id) }
            }
            CompiledIntegration::Mock(mock) => Target::Mock(mock),
            CompiledIntegration::Misconfigured(why) => {
                return Err(Fault::new(FaultKind::ApiConfigurationError, why.to_string()).into());
            }
        };
        Ok(Mapped { routed, caller, target })
    }
}

impl Mapped<'_> {
    /// What the integration's mappings may name.
    pub(crate) fn values<'a>(&'a self, exchange: &'a Exchange) -> RequestValues<'a> {
        let Routed { received, stage, variant, route, captures, path_start, .. } = &self.routed;
        let request = received.as_view(*path_start);
        let key_id = match &self.caller {
            Caller::Anyone => None,
            Caller::Key { key, .. } => Some(key.id.as_str()),
        };
        RequestValues {
            request,
            stage: Some(StageView {
                api_id: &stage.api_id,
                name: &stage.name,
                deployment_id: &variant.deployment_id,
                variables: &variant.variables,
            }),
            route: Some(RouteView {
                resource_id: &route.method.resource_id,
                resource_path: &route.method.resource_path,
                captured: Captured::InPath(captures, request.path()),
            }),
            key_id,
            error: None,
            id: exchange.id(),
            client: exchange.client(),
        }
    }
}
