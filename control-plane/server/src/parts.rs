//! The parts of a node that run: its three ports, and what it does unasked.
//!
//! Promise: each part ends when it is told to, and a part that ends before is noticed. Absent: what they share and the
//! order they start in (`assembly`).

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use sluice_admin::Services;
use sluice_identity::{Listener, PeerLayer, Renewal, Revoked, RolesLayer, grpc_server};
use sluice_proto::raft::Node;
use sluice_raft::Raft;
use sluice_sync::{Fleet, SyncServer};
use sluice_telemetry::Metrics;
use tokio::{runtime::Handle, task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{
    calls::CallsLayer,
    certificates::ByLeader,
    drain, housekeeping,
    http::{self, Report},
    levels,
    on_runtime::OnRuntime,
    removal,
};

/// How often samples of histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The part that fails when the node was removed from its cluster.
pub(crate) const MEMBERSHIP: &str = "the membership";

/// Running parts: the name of each, and how it ended.
pub(crate) type Parts = JoinSet<(&'static str, Result<(), String>)>;

/// How parts are told to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    /// What serves operators, data nodes and HTTP, and the housekeeping.
    pub(crate) all_but_peers: CancellationToken,
    /// What serves other control nodes, last.
    pub(crate) peers: CancellationToken,
}

/// Starts the parts.
pub(crate) struct Wiring {
    raft: Raft,
    cluster_id: String,
    revoked: Revoked,
    metrics: Metrics,
    stops: Stops,
    parts: Parts,
}

impl Wiring {
    pub(crate) fn new(raft: Raft, cluster_id: String, revoked: Revoked, metrics: Metrics, stops: Stops) -> Self {
        Self { raft, cluster_id, revoked, metrics, stops, parts: Parts::new() }
    }

    /// What was started.
    pub(crate) fn parts(self) -> Parts {
        self.parts
    }

    /// 7101: Raft on its own threads; carried calls on the node's.
    pub(crate) fn serve_peers(&mut self, listener: Listener, services: &Services) {
        let carried = OnRuntime::new(services.peer_service(), Handle::current());
        let router = grpc_server()
            .layer(self.peer_layer(services))
            .layer(RolesLayer)
            .add_service(self.raft.peer_service())
            .add_service(carried);
        let stop = self.stops.peers.clone().cancelled_owned();
        let serving = async move { router.serve_with_incoming_shutdown(listener.incoming(), stop).await };
        self.start_on(&self.raft.runtime(), "the peer port", async {
            serving.await.map_err(|error| error.to_string())
        });
    }

    /// 7100: the admin services and the config stream.
    pub(crate) fn serve_admin(&mut self, listener: Listener, services: &Services, sync: SyncServer) {
        let router = grpc_server()
            .layer(CallsLayer::new(&self.metrics))
            .layer(services.audit_layer())
            .layer(services.newcomer_layer())
            .layer(self.peer_layer(services))
            .layer(RolesLayer)
            .layer(services.forward_layer())
            .add_routes(services.routes())
            .add_service(sync.into_service());
        let stop = self.stops.all_but_peers.clone().cancelled_owned();
        let serving = async move { router.serve_with_incoming_shutdown(listener.incoming(), stop).await };
        self.start("the admin port", async { serving.await.map_err(|error| error.to_string()) });
    }

    /// What is refused on 7100, into the audit trail.
    pub(crate) fn keep_audit(&mut self, services: &Services) {
        let writing = self.stops.all_but_peers.clone().run_until_cancelled_owned(services.write_audit());
        self.start("the audit trail", async {
            writing.await;
            Ok(())
        });
    }

    /// 7180: health and metrics.
    pub(crate) fn serve_http(&mut self, listener: Listener, report: Arc<Report>) {
        let stop = self.stops.all_but_peers.clone();
        self.start("the http port", async {
            http::serve(listener.incoming(), report, stop).await;
            Ok(())
        });
    }

    /// Raft itself: without it a node would go on to serve what is never again brought up to date.
    pub(crate) fn watch_raft(&mut self) {
        let (raft, stop) = (self.raft.clone(), self.stops.all_but_peers.clone());
        self.start("raft", async move {
            match stop.run_until_cancelled(raft.stopped()).await {
                None => Ok(()),
                Some(()) => Err("it could not go on; the log says why: check the disk, then start the node".to_owned()),
            }
        });
    }

    /// The list of removed nodes; ends when this node is one of them.
    pub(crate) fn watch_removal(&mut self, node_id: &str, data_dir: &Path) {
        let (raft, revoked, stop) = (self.raft.clone(), self.revoked.clone(), self.stops.all_but_peers.clone());
        let (node_id, data_dir) = (node_id.to_owned(), data_dir.to_owned());
        self.start(MEMBERSHIP, async move {
            match stop.run_until_cancelled(removal::watch(&raft, &revoked, &node_id, &data_dir)).await {
                None => Ok(()),
                Some(()) => Err("this node was removed from the cluster".to_owned()),
            }
        });
    }

    /// What a node does unasked. `this` is what it says of itself.
    pub(crate) fn keep_house(&mut self, this: Node, fleet: Fleet) {
        let stop = self.stops.all_but_peers.clone();
        let leveling = stop.clone().run_until_cancelled_owned(levels::run(self.raft.clone(), fleet, this.clone()));
        self.start("the feature level", async {
            leveling.await;
            Ok(())
        });
        let keeping = stop.clone().run_until_cancelled_owned(housekeeping::run(self.raft.clone(), this));
        self.start("the housekeeping", async {
            keeping.await;
            Ok(())
        });
        let metrics = self.metrics.clone();
        let folding = stop.run_until_cancelled_owned(async move {
            let mut every = interval(UPKEEP_EVERY);
            loop {
                every.tick().await;
                metrics.upkeep();
            }
        });
        self.start("the metrics", async {
            folding.await;
            Ok(())
        });
    }

    /// The cluster keys that the cluster has.
    pub(crate) fn keep_keys(&mut self, services: Services) {
        let keeping = self.stops.all_but_peers.clone().run_until_cancelled_owned(services.keep_keys());
        self.start("the cluster keys", async {
            keeping.await;
            Ok(())
        });
    }

    /// What an operator wants of the node.
    pub(crate) fn obey(&mut self, fleet: Fleet) {
        let stop = self.stops.all_but_peers.clone();
        let obeying = stop.run_until_cancelled_owned(drain::run(self.raft.clone(), fleet));
        self.start("the drain", async {
            obeying.await;
            Ok(())
        });
    }

    /// A certificate that lives as long as the node does.
    pub(crate) fn keep_certificate(&mut self, renewal: Renewal, by: ByLeader) {
        let keeping = self.stops.all_but_peers.clone().run_until_cancelled_owned(renewal.run(by));
        self.start("the renewal of the certificate", async {
            keeping.await;
            Ok(())
        });
    }

    fn peer_layer(&self, services: &Services) -> PeerLayer {
        PeerLayer::new(&self.cluster_id, Arc::new(services.operators())).refusing(self.revoked.clone())
    }

    fn start(&mut self, name: &'static str, part: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.start_on(&Handle::current(), name, part);
    }

    fn start_on(
        &mut self,
        runtime: &Handle,
        name: &'static str,
        part: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.parts.spawn_on(async move { (name, part.await) }.instrument(Span::current()), runtime);
    }
}
