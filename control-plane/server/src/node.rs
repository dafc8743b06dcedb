//! One control node: how it starts, what it tells of itself, how it stops.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sluice_admin::Services;
use sluice_identity::{Identity, IdentityFailure};
use sluice_raft::Raft;
use sluice_sync::Fleet;
use tokio::time::timeout;
use tracing::{Instrument as _, info, info_span};

use crate::{
    Settings, StartFailure,
    assembly::{Addresses, Ports, assemble, check},
    data_dir::DataDir,
    http::Report,
    membership::{self, Announced},
    parts::{MEMBERSHIP, Parts, Stops},
};

/// How long a leader that stops waits for another to take over.
const HANDOVER: Duration = Duration::from_secs(2);
/// How long other control nodes get to finish their calls, once all else has ended.
const PEERS_DRAIN: Duration = Duration::from_millis(500);
/// Pause between two looks at whether a node is ready.
const READY_EVERY: Duration = Duration::from_millis(10);

/// A running control node. Dropping it stops it at once, as a crash would; [`ControlNode::shutdown`] is the polite way.
pub struct ControlNode {
    pub(crate) raft: Raft,
    pub(crate) fleet: Fleet,
    pub(crate) services: Services,
    pub(crate) report: Arc<Report>,
    pub(crate) addresses: Addresses,
    pub(crate) identity: Identity,
    pub(crate) folder: PathBuf,
    pub(crate) drain_timeout: Duration,
    pub(crate) stops: Stops,
    pub(crate) parts: Parts,
}

impl std::fmt::Debug for ControlNode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ControlNode({})", self.identity.node_id)
    }
}

impl ControlNode {
    /// Starts a node: it founds a cluster, joins one, or goes on in the one its folder belongs to. Returns when it
    /// listens; whether it serves is for [`ControlNode::ready`] to say.
    ///
    /// Dropping this future leaves a folder that the next start goes on with.
    ///
    /// # Errors
    /// What keeps the node from starting, in an operator's words.
    pub async fn start(settings: Settings) -> Result<Self, StartFailure> {
        let data = DataDir::new(&settings.data_dir);
        let ports = Ports::take(&settings).await?;
        let addresses = ports.addresses();
        let announced = Announced::of(&settings, &addresses.peer.to_string(), &addresses.admin.to_string())?;
        check(&settings, &data, &ports)?;
        let membership = membership::establish(&settings, &data, &announced).await?;
        let span = info_span!("control", node_id = %membership.identity.node_id);
        assemble(settings, data, ports, announced, membership).instrument(span).await
    }

    /// Where operators and data nodes reach this node: a URL.
    pub fn admin_url(&self) -> String {
        self.url(self.addresses.admin)
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are: a URL.
    pub fn http_url(&self) -> String {
        self.url(self.addresses.http)
    }

    /// Where other control nodes reach this node.
    pub fn peer_address(&self) -> SocketAddr {
        self.addresses.peer
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Raft on this node.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.identity.is_plaintext() { "http" } else { "https" };
        format!("{scheme}://{address}")
    }

    /// Waits until the node can serve linearizable calls. Bound it with a deadline.
    pub async fn ready(&self) {
        while self.report.readiness().await.is_err() {
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    /// Returns when a part of the node has stopped by itself: there is no way on but to stop the rest.
    pub async fn failed(&mut self) -> StartFailure {
        let stopped = |part, reason| StartFailure::Stopped { part, reason };
        match self.parts.join_next().await {
            Some(Ok((MEMBERSHIP, Err(_)))) => IdentityFailure::Removed { folder: self.folder.clone() }.into(),
            Some(Ok((part, Ok(())))) => stopped(part, "it ended by itself".to_owned()),
            Some(Ok((part, Err(reason)))) => stopped(part, reason),
            Some(Err(panic)) => stopped("a part of the node", panic.to_string()),
            None => stopped("the node", "it has no parts".to_owned()),
        }
    }

    /// Stops: hands leadership over, lets calls under way finish within the settings' drain timeout, closes the disk.
    pub async fn shutdown(mut self) {
        self.hand_over().await;
        self.stops.all_but_peers.cancel();
        let parts = &mut self.parts;
        let drained = timeout(self.drain_timeout, async {
            // Streams have no end of their own: data nodes are told to go elsewhere.
            self.fleet.stop().await;
            // The last part is the peer port.
            while parts.len() > 1 && parts.join_next().await.is_some() {}
            self.services.drain().await;
        });
        if drained.await.is_err() {
            info!("calls under way were cut off");
        }
        self.stops.peers.cancel();
        // Other nodes keep their connections open; what they asked last is answered by now.
        let _ = timeout(PEERS_DRAIN, async { while parts.join_next().await.is_some() {} }).await;
        parts.shutdown().await;
        self.raft.shutdown().await;
    }

    /// A leader that stops asks the voter that is furthest to take over: no one waits for an election timeout.
    async fn hand_over(&self) {
        if !self.raft.leadership().borrow().this {
            return;
        }
        let Some(next) = self.raft.heir(&BTreeSet::new()) else { return };
        // Without an answer in time the others elect one themselves.
        let _ = self.raft.hand_over(next, Instant::now() + HANDOVER).await;
    }
}
