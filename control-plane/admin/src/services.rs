//! The services of one node, assembled.

use std::sync::Arc;

use sluice_identity::{ClusterKey, Sealer};
use sluice_raft::Raft;
use sluice_rpc::{
    admin::{
        apis_server::ApisServer, cluster_server::ClusterServer, config_server::ConfigServer, fleet_server::FleetServer,
        keys_server::KeysServer,
    },
    raft::peer_server::PeerServer,
};
use tonic::service::Routes;

use crate::{
    admin::{About, Admin},
    compiler::Compiler,
    fleet::Sessions,
    forward::{ForwardLayer, PeerCalls},
    imports::Imports,
    plan::Tools,
    replica::{PEER_MESSAGE_BYTES_MAX, Replica},
    schema::Schema,
    secrets::Secrets,
};

/// What the services are told when they start.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// This node, as `cluster status` names who answered.
    pub node_id: String,
    /// The cluster's key: seals values, and goes to control nodes that join.
    pub cluster_key: ClusterKey,
}

/// The admin services of one node, over its Raft.
pub struct Services {
    admin: Admin<Raft>,
}

impl Services {
    /// The services of the node of `raft`, which knows the sessions of data nodes by `sessions`.
    pub fn new(raft: Raft, sessions: Arc<dyn Sessions>, settings: AdminSettings) -> Self {
        Self { admin: admin(raft, sessions, settings) }
    }

    /// The services of 7100: Config, Apis, Keys, Fleet, Cluster and server reflection. They go behind `PeerLayer`,
    /// `RolesLayer` and [`Services::forward_layer`].
    pub fn routes(&self) -> Routes {
        routes(&self.admin)
    }

    /// Carries what runs on the leader to the leader.
    pub fn forward_layer(&self) -> ForwardLayer {
        ForwardLayer::new(self.admin.replica.clone())
    }

    /// The service `Peer` of 7101. Carried calls run on the runtime on which this is called.
    pub fn peer_service(&self) -> PeerServer<PeerCalls> {
        PeerCalls::server(self.routes(), self.admin.replica.clone(), self.admin.sessions.clone())
    }

    /// Waits until imports under way have ended; new ones are still taken. Call it when the listener is closed.
    pub async fn drain(&self) {
        self.admin.imports.tasks.close();
        self.admin.imports.tasks.wait().await;
    }
}

/// What all services share, over any replica.
pub(crate) fn admin<R: Replica>(replica: R, sessions: Arc<dyn Sessions>, settings: AdminSettings) -> Admin<R> {
    let tools = Tools {
        schema: Schema::new(),
        secrets: Secrets::new(Sealer::new(&settings.cluster_key)),
        compiler: Compiler::default(),
    };
    let about = About { node_id: settings.node_id, cluster_key: Some(settings.cluster_key) };
    Admin { replica, tools: Arc::new(tools), sessions, imports: Imports::default(), about: Arc::new(about) }
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
        .add_service(FleetServer::new(admin.clone()))
        .add_service(ClusterServer::new(admin.clone()))
        .add_service(reflection().build_v1().expect("our own descriptors are complete"))
        .add_service(reflection().build_v1alpha().expect("our own descriptors are complete"));
    routes.routes().prepare()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(sluice_rpc::DESCRIPTORS)
}
