//! The services of one node, assembled.

use std::{sync::Arc, time::Duration};

use sluice_identity::Keyring;
use sluice_raft::Raft;
use sluice_rpc::{
    admin::{
        apis_server::ApisServer, audit_server::AuditServer, backups_server::BackupsServer,
        cluster_client::ClusterClient, cluster_server::ClusterServer, config_server::ConfigServer,
        fleet_server::FleetServer, keys_server::KeysServer, operators_server::OperatorsServer,
    },
    raft::peer_server::PeerServer,
};
use sluice_telemetry::Metrics;
use tonic::service::Routes;
use tower::Layer as _;

use crate::{
    admin::{About, Admin},
    audit::{AuditLayer, Recorder},
    compiler::Compiler,
    fleet::Sessions,
    forward::{Forward, ForwardLayer, PeerCalls},
    imports::Imports,
    operators::{KnownOperators, NewcomerLayer},
    plan::Tools,
    replica::{PEER_MESSAGE_BYTES_MAX, Replica},
    rotation,
    schema::Schema,
    secrets::Secrets,
};

/// What the services are told when they start.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// This node, as `cluster status` names who answered.
    pub node_id: String,
    /// The cluster's keys: they seal values, and go to control nodes that join.
    pub keys: Keyring,
    /// How long a certificate is good that this node signs.
    pub certificate_lifetime: Duration,
}

/// The admin services of one node, over its Raft. Clones are the same services.
#[derive(Clone)]
pub struct Services {
    admin: Admin<Raft>,
    recorder: Recorder,
}

impl Services {
    /// The services of the node of `raft`, which knows the sessions of data nodes by `sessions`.
    pub fn new(raft: Raft, sessions: Arc<dyn Sessions>, settings: AdminSettings, metrics: &Metrics) -> Self {
        Self { admin: admin(raft, sessions, settings), recorder: Recorder::new(metrics) }
    }

    /// The services of 7100: Config, Apis, Keys, Backups, Fleet, Cluster, Operators, Audit and server reflection. They go behind
    /// [`Services::audit_layer`], [`Services::newcomer_layer`], `PeerLayer`, `RolesLayer` and [`Services::forward_layer`].
    pub fn routes(&self) -> Routes {
        routes(&self.admin)
    }

    /// Carries what runs on the leader to the leader.
    pub fn forward_layer(&self) -> ForwardLayer {
        ForwardLayer::new(self.admin.replica.clone())
    }

    /// The cluster as this node calls it: what runs on the leader is carried there. Requests need a [`sluice_identity::Peer`]
    /// among their extensions; no gate stands before it.
    pub fn cluster_client(&self) -> ClusterClient<Forward<Routes, Raft>> {
        ClusterClient::new(self.forward_layer().layer(self.routes()))
    }

    /// Notes where calls come from, and those that are refused. The outermost but for what counts calls.
    pub fn audit_layer(&self) -> AuditLayer {
        AuditLayer::new(self.recorder.clone(), &self.admin.about.node_id)
    }

    /// Writes what was refused into the audit trail, until it is dropped.
    pub fn write_audit(&self) -> impl Future<Output = ()> + Send + use<> {
        self.recorder.clone().write(self.admin.replica.clone(), self.admin.about.node_id.clone())
    }

    /// Lets this node hear of a token that was made elsewhere before `PeerLayer` refuses it.
    pub fn newcomer_layer(&self) -> NewcomerLayer {
        NewcomerLayer::of(self.admin.replica.clone())
    }

    /// Who the operators are, for `PeerLayer`.
    pub fn operators(&self) -> KnownOperators {
        KnownOperators::of(self.admin.replica.clone())
    }

    /// The service `Peer` of 7101. Carried calls run on the runtime on which this is called.
    pub fn peer_service(&self) -> PeerServer<PeerCalls> {
        PeerCalls::server(self.routes(), self.admin.clone())
    }

    /// Keeps the cluster keys of this node those that the cluster has and, while this node leads, brings a rotation of them
    /// to its end. Runs for as long as it is polled; may be dropped at any time.
    pub async fn keep_keys(self) {
        rotation::run(self.admin).await;
    }

    /// Waits until imports under way have ended; new ones are still taken. Call it when the listener is closed.
    pub async fn drain(&self) {
        self.admin.imports.tasks.close();
        self.admin.imports.tasks.wait().await;
    }
}

/// What all services share, over any replica.
pub(crate) fn admin<R: Replica>(replica: R, sessions: Arc<dyn Sessions>, settings: AdminSettings) -> Admin<R> {
    let tools = Tools { schema: Schema::new(), secrets: Secrets::new(settings.keys), compiler: Compiler::default() };
    let about = Arc::new(About { node_id: settings.node_id, certificate_lifetime: settings.certificate_lifetime });
    let (tools, imports, rotation) = (Arc::new(tools), Imports::default(), Arc::default());
    Admin { replica, tools, sessions, imports, about, rotation }
}

/// The services over any replica.
pub(crate) fn routes<R: Replica>(admin: &Admin<R>) -> Routes {
    // Applied files and lists of a page's documents are large; what they may hold is bounded where it is read.
    let config = ConfigServer::new(admin.clone())
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    let mut routes = Routes::builder();
    routes
        .add_service(config)
        .add_service(ApisServer::new(admin.clone()))
        .add_service(KeysServer::new(admin.clone()))
        .add_service(BackupsServer::new(admin.clone()))
        .add_service(FleetServer::new(admin.clone()))
        .add_service(ClusterServer::new(admin.clone()))
        .add_service(OperatorsServer::new(admin.clone()))
        .add_service(AuditServer::new(admin.clone()))
        .add_service(reflection().build_v1().expect("our own descriptors are complete"))
        .add_service(reflection().build_v1alpha().expect("our own descriptors are complete"));
    routes.routes().prepare()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(sluice_rpc::DESCRIPTORS)
}
