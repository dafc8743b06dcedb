//! What one traffic core has for its requests: shared by its phases, never with another core.

use std::sync::Arc;

use sluice_integrate::Upstreams;

use crate::address::PathAddresses;
use crate::client::TrustedProxies;
use crate::limits::Limits;
use crate::request_id::RequestIds;
use crate::tally::CoreTally;
use crate::view::Pin;

/// How a gateway reads its clients.
#[derive(Debug, Clone, Default)]
pub struct GatewaySettings {
    /// Who may address an API by path.
    pub path_addresses: PathAddresses,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

/// One core's things.
pub(crate) struct Core {
    pub(crate) settings: GatewaySettings,
    pub(crate) pin: Pin,
    pub(crate) limits: Box<dyn Limits>,
    pub(crate) upstreams: Upstreams,
    pub(crate) ids: RequestIds,
    pub(crate) tally: Arc<CoreTally>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("pin", &self.pin).finish_non_exhaustive()
    }
}
