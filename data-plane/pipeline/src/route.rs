//! Route: which API, stage and method a request is for.
//!
//! Promise: `Routed` is the proof that a method was found in a deployment that is served.

use std::rc::Rc;
use std::sync::Arc;

use sluice_compile::{Captures, CompiledStage, CompiledVariant, Verb};

use crate::address::{self, PathAddresses, PathForms};
use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::phase::{Flow, Phase};
use crate::received::Received;
use crate::values::{Facts, KeptRoute, Variant};
use crate::view::View;

/// The first phase.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) core: Rc<Core>,
}

/// A request whose method is known.
#[derive(Debug)]
pub(crate) struct Routed<'v> {
    pub(crate) received: Received<'v>,
    pub(crate) view: &'v View,
    pub(crate) stage: &'v CompiledStage,
    pub(crate) variant: &'v CompiledVariant,
    pub(crate) route: sluice_compile::Route<'v>,
    pub(crate) captures: Captures,
    /// Where the path below the stage begins.
    pub(crate) path_start: usize,
}

impl<'v> Phase<'v> for Route {
    type In = Received<'v>;
    type Out = Routed<'v>;
    const NAME: &'static str = "route";

    async fn run(&self, received: Received<'v>, exchange: &mut Exchange) -> Flow<Routed<'v>> {
        let view = received.view.ok_or_else(|| Fault::new(FaultKind::NoConfiguration, "nothing is served yet"))?;
        let (stage, path_start) = self.locate(view, &received, exchange)?;
        exchange.reached(view.seat(stage, &self.core.tally));
        let variant = stage.variant(|| self.core.ids.percent());
        if variant.api.has_gateway_responses() {
            exchange.keep(Box::new(facts(&received, path_start, stage, variant)));
        }
        let unknown = || Fault::new(FaultKind::MissingAuthenticationToken, "no method has this path and verb");
        let verb = Verb::parse(received.parts.method.as_str()).ok_or_else(unknown)?;
        let mut captures = Captures::new();
        let path = received.as_view(path_start).path();
        let route = stage.route(variant, verb, path, &mut captures).ok_or_else(unknown)?;
        if let Some(facts) = exchange.facts_mut() {
            facts.route = Some(KeptRoute {
                resource_id: route.method.resource_id.clone(),
                resource_path: Arc::clone(&route.method.resource_path),
                captured: (0..captures.len()).filter_map(|at| captures.text(at, path)).map(Box::from).collect(),
            });
        }
        Ok(Routed { received, view, stage, variant, route, captures, path_start })
    }
}

impl Route {
    /// Finds the stage that the request addresses, and where the path below it begins.
    fn locate<'v>(
        &self,
        view: &'v View,
        received: &Received<'_>,
        exchange: &Exchange,
    ) -> Result<(&'v Arc<CompiledStage>, usize), Fault> {
        let unknown = |detail: &'static str| Fault::new(FaultKind::UnknownApi, detail);
        let forms = match self.core.settings.path_addresses {
            PathAddresses::On => PathForms::Read,
            PathAddresses::Loopback if exchange.client().is_loopback() => PathForms::Read,
            PathAddresses::Loopback | PathAddresses::Off => PathForms::Ignored,
        };
        let address = address::locate(received.host(), received.parts.uri.path(), forms);
        let address = address.ok_or_else(|| unknown("neither host nor path names an api"))?;
        let unit = view.snapshot.stage(&address.api_id, address.stage);
        let unit = unit.ok_or_else(|| unknown("no such api or stage"))?;
        let broken = || Fault::new(FaultKind::ApiBroken, "the stage has never compiled on this node");
        let stage = unit.serving.as_ref().ok_or_else(broken)?;
        if stage.main.api.endpoint == sluice_compile::Endpoint::Disabled {
            return Err(unknown("the default endpoint of this api is disabled"));
        }
        Ok((stage, address.rest.start))
    }
}

/// Keeps what gateway responses may name while the request itself travels on.
fn facts(received: &Received<'_>, path_start: usize, stage: &CompiledStage, variant: &CompiledVariant) -> Facts {
    let variant = if std::ptr::eq(variant, &stage.main) { Variant::Main } else { Variant::Canary };
    Facts {
        method: received.parts.method.clone(),
        uri: received.parts.uri.clone(),
        headers: received.parts.headers.clone(),
        version: received.parts.version,
        host: received.host().into(),
        path_start,
        api_id: Arc::clone(&stage.api_id),
        stage: Arc::clone(&stage.name),
        variant,
        route: None,
    }
}
