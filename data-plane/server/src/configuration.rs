//! Where a node's configuration comes from: its cluster, or someone who holds it already.

use std::net::SocketAddr;
use std::sync::Arc;

use sluice_pipeline::SnapshotSource;
use sluice_telemetry::Metrics;

use crate::settings::Settings;

/// Why there is no way to a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationFailure {
    /// Neither a cluster nor an identity is known.
    #[error("expected --control, --join or the identity of an earlier join, found none; name a control node")]
    NoCluster,
}

/// Where a node's configuration comes from.
#[derive(Clone)]
pub(crate) struct Configuration {
    source: Arc<dyn SnapshotSource>,
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Configuration")
    }
}

impl Configuration {
    pub(crate) fn fixed(source: Arc<dyn SnapshotSource>) -> Self {
        Self { source }
    }

    pub(crate) async fn follow(_: &Settings, _: SocketAddr, _: &Metrics) -> Result<Self, ConfigurationFailure> {
        Err(ConfigurationFailure::NoCluster)
    }

    pub(crate) fn source(&self) -> Arc<dyn SnapshotSource> {
        Arc::clone(&self.source)
    }

    pub(crate) async fn stop(self) {}
}
