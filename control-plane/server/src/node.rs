//! One control node: all wiring, read top-down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::interim::Fleet;
use sluice_admin::{AdminSettings, Services};
use sluice_identity::{
    Dialer, Door, Identity, Listener, PeerLayer, Plaintext, Port, RolesLayer, TokenCheck, grpc_server,
};
use sluice_proto::raft::Node;
use sluice_raft::{Raft, RaftFailure, RaftSettings};
use sluice_telemetry::Metrics;
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info, info_span};

use crate::{
    Settings, StartFailure,
    data_dir::DataDir,
    housekeeping,
    http::{self, Report},
    membership::{self, Announced, Membership, node_row},
    on_runtime::OnRuntime,
};

/// How often samples of histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a leader that stops waits for another to take over.
const HANDOVER: Duration = Duration::from_secs(2);

/// A running control node. Dropping it stops it at once, as a crash would; [`ControlNode::shutdown`] is the polite way.
#[derive(Debug)]
pub struct ControlNode {
    raft: Raft,
    report: Arc<Report>,
    addresses: Addresses,
    tls: bool,
    identity: Identity,
    drain_timeout: Duration,
    /// Ends what serves operators, data nodes and HTTP.
    stop: CancellationToken,
    /// Ends what serves other control nodes, last.
    stop_peers: CancellationToken,
    parts: Parts,
}

/// The parts of a node that run until they are told to stop; one that ends before is a failure of the node.
type Parts = JoinSet<(&'static str, Result<(), String>)>;

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    admin: SocketAddr,
    peer: SocketAddr,
    http: SocketAddr,
}

/// Ports that are taken before the node has a certificate: others are told of them when it joins.
struct Ports {
    admin: Port,
    peer: Port,
    http: Port,
}

impl Ports {
    async fn take(settings: &Settings) -> Result<Self, StartFailure> {
        Ok(Self {
            admin: Port::take(&settings.listen_admin).await?,
            peer: Port::take(&settings.listen_peer).await?,
            http: Port::take(&settings.listen_http).await?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            admin: self.admin.local_address(),
            peer: self.peer.local_address(),
            http: self.http.local_address(),
        }
    }
}

impl ControlNode {
    /// Starts a node: it founds a cluster, joins one, or goes on in the one its folder belongs to. Returns when it
    /// listens; whether it serves is for [`ControlNode::readiness`] to say.
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
        let membership = membership::establish(&settings, &data, &announced).await?;
        let span = info_span!("control", node_id = %membership.identity.node_id);
        let assembled = assemble(settings, data, ports, announced, membership);
        assembled.instrument(span).await
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
        format!("{}://{address}", if self.tls { "https" } else { "http" })
    }

    /// Waits until the node can serve linearizable calls. Bound it with a deadline.
    pub async fn ready(&self) {
        while self.report.readiness().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns when a part of the node has stopped by itself: there is no way on but to stop the rest.
    pub async fn failed(&mut self) -> StartFailure {
        let stopped = |part, reason| StartFailure::Stopped { part, reason };
        match self.parts.join_next().await {
            Some(Ok((part, Ok(())))) => stopped(part, "it ended by itself".to_owned()),
            Some(Ok((part, Err(reason)))) => stopped(part, reason),
            Some(Err(panic)) => stopped("a part of the node", panic.to_string()),
            None => stopped("the node", "it has no parts".to_owned()),
        }
    }

    /// Stops: hands leadership over, lets calls under way finish within the settings' drain timeout, closes the disk.
    pub async fn shutdown(mut self) {
        self.hand_over().await;
        self.stop.cancel();
        self.stop_peers.cancel();
        let parts = &mut self.parts;
        let drained = timeout(self.drain_timeout, async { while parts.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            info!("calls under way were cut off");
        }
        parts.shutdown().await;
        self.raft.shutdown().await;
    }

    /// A leader that stops asks the voter that is furthest to take over: no one waits for an election timeout.
    async fn hand_over(&self) {
        if !self.raft.leadership().borrow().this {
            return;
        }
        let others = self.raft.members().into_iter().filter(|one| one.voter && one.raft_id != self.raft.raft_id());
        let Some(next) = others.max_by_key(|one| one.matched) else { return };
        self.raft.transfer_leadership(next.raft_id).await;
        let mut leadership = self.raft.leadership();
        // Without an answer in time the others elect one themselves.
        let _ = timeout(HANDOVER, leadership.wait_for(|now| !now.this)).await;
    }
}

async fn assemble(
    settings: Settings,
    data: DataDir,
    ports: Ports,
    announced: Announced,
    membership: Membership,
) -> Result<ControlNode, StartFailure> {
    let Membership { identity, cluster_key, founding } = membership;
    let plaintext = settings.plaintext_reach();
    let addresses = ports.addresses();
    let metrics = Metrics::new();
    let (stop, stop_peers) = (CancellationToken::new(), CancellationToken::new());

    let dialer = Dialer::of_node(&identity, plaintext)?;
    let listeners = Listeners::new(ports, &identity, plaintext)?;
    let tls = listeners.admin.scheme() == "https";
    let raft = Raft::open(raft_settings(&settings, &data, &identity, &announced)?, dialer).await?;
    let report = Arc::new(Report::new(raft.clone(), metrics.clone(), stop.clone()));
    let fleet = Fleet::start(raft.clone(), &identity.node_id);
    let admin = AdminSettings { node_id: identity.node_id.clone(), cluster_key };
    let services = Services::new(raft.clone(), Arc::new(fleet.clone()), admin);
    let this = this_node(&identity, &announced)?;

    let mut parts = Parts::new();
    let wiring =
        Wiring { raft: raft.clone(), identity: identity.clone(), stop: stop.clone(), stop_peers: stop_peers.clone() };
    wiring.serve_peers(&mut parts, listeners.peer, &services);
    if let Some(first) = founding {
        found(&raft, first).await?;
        data.founded()?;
    }
    wiring.serve_admin(&mut parts, listeners.admin, &services, &fleet);
    wiring.serve_http(&mut parts, listeners.http, report.clone());
    wiring.keep_house(&mut parts, this, metrics);
    info!(admin = %addresses.admin, peer = %addresses.peer, http = %addresses.http, tls, "control node listens");
    let drain_timeout = settings.drain_timeout;
    Ok(ControlNode { raft, report, addresses, tls, identity, drain_timeout, stop, stop_peers, parts })
}

struct Listeners {
    admin: Listener,
    peer: Listener,
    http: Listener,
}

impl Listeners {
    fn new(ports: Ports, identity: &Identity, plaintext: Plaintext) -> Result<Self, StartFailure> {
        Ok(Self {
            admin: ports.admin.listener(Door::Admin, identity, plaintext)?,
            peer: ports.peer.listener(Door::Peer, identity, plaintext)?,
            http: ports.http.listener(Door::Http, identity, plaintext)?,
        })
    }
}

/// What the parts of a node share.
struct Wiring {
    raft: Raft,
    identity: Identity,
    stop: CancellationToken,
    stop_peers: CancellationToken,
}

impl Wiring {
    /// 7101: Raft on its own threads; carried calls on the node's.
    fn serve_peers(&self, parts: &mut Parts, listener: Listener, services: &Services) {
        let carried = OnRuntime::new(services.peer_service(), Handle::current());
        let router = grpc_server()
            .layer(self.peer_layer())
            .layer(RolesLayer)
            .add_service(self.raft.peer_service())
            .add_service(carried);
        let stop = self.stop_peers.clone();
        let serving = async move {
            let served = router.serve_with_incoming_shutdown(listener.incoming(), stop.cancelled_owned()).await;
            ("the peer port", served.map_err(|error| error.to_string()))
        };
        parts.spawn_on(serving.instrument(Span::current()), &self.raft.runtime());
    }

    /// 7100: the admin services and the config stream.
    fn serve_admin(&self, parts: &mut Parts, listener: Listener, services: &Services, fleet: &Fleet) {
        let router = grpc_server()
            .layer(self.peer_layer())
            .layer(RolesLayer)
            .layer(services.forward_layer())
            .add_routes(services.routes());
        let stop = self.stop.clone();
        let serving = async move {
            let served = router.serve_with_incoming_shutdown(listener.incoming(), stop.cancelled_owned()).await;
            ("the admin port", served.map_err(|error| error.to_string()))
        };
        parts.spawn(serving.instrument(Span::current()));
    }

    /// 7180: health and metrics.
    fn serve_http(&self, parts: &mut Parts, listener: Listener, report: Arc<Report>) {
        let stop = self.stop.clone();
        let serving = async move {
            http::serve(listener.incoming(), report, stop).await;
            ("the http port", Ok(()))
        };
        parts.spawn(serving.instrument(Span::current()));
    }

    fn keep_house(&self, parts: &mut Parts, this: Node, metrics: Metrics) {
        let keeping = self.stop.clone().run_until_cancelled_owned(housekeeping::run(self.raft.clone(), this));
        parts.spawn(async move { (keeping.await, ("housekeeping", Ok(()))).1 }.instrument(Span::current()));
        let folding = self.stop.clone().run_until_cancelled_owned(async move {
            let mut every = interval(UPKEEP_EVERY);
            loop {
                every.tick().await;
                metrics.upkeep();
            }
        });
        parts.spawn(async move { (folding.await, ("metrics", Ok(()))).1 });
    }

    fn peer_layer(&self) -> PeerLayer {
        PeerLayer::new(&self.identity.cluster_id, Arc::new(BootstrapToken { raft: self.raft.clone() }))
    }
}

/// The one operator's token of this release: the one made when the cluster was founded, known by its hash.
struct BootstrapToken {
    raft: Raft,
}

impl TokenCheck for BootstrapToken {
    fn actor(&self, hash: &blake3::Hash) -> Option<String> {
        let kept = self.raft.view().cluster()?.bootstrap_token_hash;
        let kept = blake3::Hash::from_slice(&kept).ok()?;
        // blake3 compares in constant time.
        (kept == *hash).then(|| "bootstrap".to_owned())
    }
}

/// Founds the cluster, or finds that an earlier start did and was cut off before it could say so.
async fn found(raft: &Raft, first: sluice_proto::raft::FoundCluster) -> Result<(), StartFailure> {
    match raft.initialize(first).await {
        Ok(()) | Err(RaftFailure::NotPristine) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

fn this_node(identity: &Identity, announced: &Announced) -> Result<Node, StartFailure> {
    Ok(Node {
        id: identity.node_id.clone(),
        raft_id: identity.raft_id.unwrap_or_default(),
        certificate_serial: identity.certificate_serial()?,
        ..node_row(announced)
    })
}

fn raft_settings(
    settings: &Settings,
    data: &DataDir,
    identity: &Identity,
    announced: &Announced,
) -> Result<RaftSettings, StartFailure> {
    let raft_id = identity.raft_id.ok_or_else(|| StartFailure::WrongRole { folder: data.root().to_owned() })?;
    let (folder, cluster_id) = (data.root().to_owned(), identity.cluster_id.clone());
    Ok(RaftSettings {
        heartbeat: settings.raft_heartbeat,
        election_min: settings.raft_election_min,
        election_max: settings.raft_election_max,
        snapshot_log_bytes: settings.raft_snapshot_log_bytes,
        snapshot_interval: settings.raft_snapshot_interval,
        ..RaftSettings::new(folder, raft_id, cluster_id, announced.peer.clone())
    })
}
