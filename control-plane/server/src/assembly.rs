//! The assembly of a control node: all wiring, read top-down.

use std::{net::SocketAddr, sync::Arc};

use sluice_admin::{AdminSettings, Services};
use sluice_identity::{
    Credentials, Dialer, Door, Identity, IdentityFailure, Listener, Plaintext, Port, Renewal, Revoked,
};
use sluice_proto::raft::{FoundCluster, Node};
use sluice_raft::{Raft, RaftFailure, RaftSettings};
use sluice_sync::{Fleet, SyncServer};
use sluice_telemetry::Metrics;
use tracing::info;

use crate::{
    ControlNode, Settings, StartFailure,
    certificates::{self, ByLeader, renew_if_expired},
    data_dir::DataDir,
    http::Report,
    membership::{Announced, Membership, begins_in_plaintext, node_row},
    parts::{Stops, Wiring},
    sessions::FleetSessions,
};

/// Assembles and starts a node that knows its cluster.
pub(crate) async fn assemble(
    settings: Settings,
    data: DataDir,
    ports: Ports,
    announced: Announced,
    membership: Membership,
) -> Result<ControlNode, StartFailure> {
    let Membership { identity, keys, founding } = membership;
    let plaintext = settings.plaintext_reach();
    let addresses = ports.addresses();
    let stops = Stops::default();
    let metrics = Metrics::new();

    let listeners = Listeners::new(ports, &identity, plaintext)?;
    let revoked = Revoked::default();
    let dialer = Dialer::of_node(&identity, plaintext)?.refusing(revoked.clone());
    let raft = Raft::open(raft_settings(&settings, &data, &identity, &announced)?, dialer, &metrics).await?;
    let renewal = Renewal::of(&identity, &data.identity_folder());
    if let Some(renewal) = &renewal {
        renew_if_expired(renewal, &identity, &raft, &keys, &announced, settings.certificate_lifetime)?;
    }
    let fleet = Fleet::start(raft.clone());
    let sync = SyncServer::new(fleet.clone(), keys.clone(), &metrics);
    let certificate_lifetime = settings.certificate_lifetime;
    let admin = AdminSettings { node_id: identity.node_id.clone(), keys, certificate_lifetime };
    let services = Services::new(raft.clone(), Arc::new(FleetSessions(fleet.clone())), admin, &metrics);
    let folder = data.root().to_owned();
    let report = Arc::new(Report::new(raft.clone(), metrics.clone(), fleet.orders(), stops.all_but_peers.clone()));
    let this = this_node(&identity, &announced);

    let cluster_id = identity.cluster_id.clone();
    let mut wiring = Wiring::new(raft.clone(), cluster_id, revoked, metrics.clone(), stops.clone());
    wiring.serve_peers(listeners.peer, &services);
    if let Some(first) = founding {
        found(&raft, first).await?;
        data.founded()?;
    }
    wiring.serve_admin(listeners.admin, &services, sync);
    wiring.keep_audit(&services);
    wiring.serve_http(listeners.http, report.clone());
    wiring.watch_raft();
    wiring.watch_removal(&identity.node_id, data.root());
    wiring.keep_house(this, fleet.clone());
    wiring.obey(fleet.clone());
    wiring.keep_keys(services.clone());
    if let Some(renewal) = renewal {
        let meters = certificates::Meters::new(&renewal, &metrics);
        wiring.keep_certificate(renewal, ByLeader::new(services.clone(), &identity, meters));
    }

    info!(admin = %addresses.admin, peer = %addresses.peer, http = %addresses.http, "control node listens");
    let (drain_timeout, parts) = (settings.drain_timeout, wiring.parts());
    Ok(ControlNode { raft, fleet, services, report, addresses, identity, folder, drain_timeout, stops, parts })
}

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) admin: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// Ports that are taken before the node has a certificate: others are told of them when it joins.
pub(crate) struct Ports {
    admin: Port,
    peer: Port,
    http: Port,
}

impl Ports {
    pub(crate) async fn take(settings: &Settings) -> Result<Self, StartFailure> {
        Ok(Self {
            admin: Port::take(&settings.listen_admin).await?,
            peer: Port::take(&settings.listen_peer).await?,
            http: Port::take(&settings.listen_http).await?,
        })
    }

    /// Refuses ports on which a node without certificates must not listen.
    pub(crate) fn allow_plaintext(&self, settings: &Settings) -> Result<(), StartFailure> {
        let ports = [&self.admin, &self.peer, &self.http];
        Ok(ports.into_iter().try_for_each(|port| port.allows_plaintext(settings.plaintext_reach()))?)
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            admin: self.admin.local_address(),
            peer: self.peer.local_address(),
            http: self.http.local_address(),
        }
    }
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

/// Founds the cluster, or finds that an earlier start did and was cut off before it could say so.
async fn found(raft: &Raft, first: FoundCluster) -> Result<(), StartFailure> {
    match raft.initialize(first).await {
        Ok(()) | Err(RaftFailure::NotPristine) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

fn this_node(identity: &Identity, announced: &Announced) -> Node {
    let credentials = identity.credentials();
    Node {
        id: identity.node_id.clone(),
        raft_id: identity.raft_id.unwrap_or_default(),
        certificate_serial: credentials.map(Credentials::serial).unwrap_or_default(),
        certificate_expires_ms: credentials.map_or(0, |shown| shown.validity().until_ms()),
        ..node_row(announced)
    }
}

fn raft_settings(
    settings: &Settings,
    data: &DataDir,
    identity: &Identity,
    announced: &Announced,
) -> Result<RaftSettings, StartFailure> {
    let raft_id = identity.raft_id.ok_or_else(|| IdentityFailure::Malformed {
        path: data.identity_folder(),
        expected: "the identity of a control node",
        reason: "its number in Raft is missing".to_owned(),
    })?;
    let (folder, cluster_id) = (data.root().to_owned(), identity.cluster_id.clone());
    Ok(timed(settings, RaftSettings::new(folder, raft_id, cluster_id, announced.peer.clone())))
}

/// The times and sizes of the node's settings.
fn timed(settings: &Settings, raft: RaftSettings) -> RaftSettings {
    #[cfg(debug_assertions)]
    let raft = RaftSettings { fail_points: settings.fail_point.clone().unwrap_or_default(), ..raft };
    RaftSettings {
        heartbeat: settings.raft_heartbeat,
        election_min: settings.raft_election_min,
        election_max: settings.raft_election_max,
        snapshot_log_bytes: settings.raft_snapshot_log_bytes,
        snapshot_interval: settings.raft_snapshot_interval,
        history_log_bytes: settings.raft_history_log_bytes,
        disk_reserve_bytes: settings.disk_reserve,
        ..raft
    }
}

/// Refuses settings that contradict each other or the ports, before anything is made that the next start would find.
pub(crate) fn check(settings: &Settings, data: &DataDir, ports: &Ports) -> Result<(), StartFailure> {
    // Who the node is matters to none of it.
    timed(settings, RaftSettings::new(data.root().to_owned(), 1, String::new(), String::new())).check()?;
    if begins_in_plaintext(settings, data)? {
        ports.allow_plaintext(settings)?;
    }
    Ok(())
}
