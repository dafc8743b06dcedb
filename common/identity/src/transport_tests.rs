//! Real connections over loopback: who gets through which door, and what the others are told.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sluice_proto::{admin, raft};
use sluice_rpc::{
    admin::{
        cluster_client::ClusterClient,
        cluster_server::{Cluster, ClusterServer},
    },
    raft::{
        peer_client::PeerClient,
        peer_server::{self, PeerServer},
    },
};
use tonic::{Code, Request, Response, Status};

use crate::{
    Authority, BOOTSTRAP, ClusterKey, Credentials, Dialer, Door, Identity, IdentityFailure, JoinToken, Listener,
    NodeNames, NodeRole, Operator, OperatorCertificate, OperatorProof, OperatorRefused, OperatorRole, Operators, Peer,
    PeerLayer, Plaintext, Purpose, Revoked, RolesLayer, Secret, ServerTrust, Trust, certificate_request, grpc_server,
    says_removed, token_hash,
};

const TOKEN: &str = "slo_test";
const HOUR: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(10);

/// Answers with who it was told the caller is.
struct Echo;

#[tonic::async_trait]
impl Cluster for Echo {
    async fn status(&self, request: Request<admin::StatusRequest>) -> Result<Response<admin::StatusReply>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap();
        let answered_by = format!("{} {}", peer.role, peer.actor);
        Ok(Response::new(admin::StatusReply { answered_by, ..Default::default() }))
    }
    async fn create_token(
        &self,
        _: Request<admin::CreateTokenRequest>,
    ) -> Result<Response<admin::CreateTokenReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn list_tokens(
        &self,
        _: Request<admin::ListTokensRequest>,
    ) -> Result<Response<admin::ListTokensReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn revoke_token(
        &self,
        _: Request<admin::RevokeTokenRequest>,
    ) -> Result<Response<admin::RevokeTokenReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn join(&self, _: Request<admin::JoinRequest>) -> Result<Response<admin::JoinReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn rotate_key(&self, _: Request<admin::RotateKeyRequest>) -> Result<Response<admin::RotateKeyReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn renew(&self, _: Request<admin::RenewRequest>) -> Result<Response<admin::RenewReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn promote(&self, _: Request<admin::PromoteRequest>) -> Result<Response<admin::MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn demote(&self, _: Request<admin::DemoteRequest>) -> Result<Response<admin::MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn remove_node(&self, _: Request<admin::RemoveNodeRequest>) -> Result<Response<admin::MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn transfer_leader(
        &self,
        _: Request<admin::TransferLeaderRequest>,
    ) -> Result<Response<admin::TransferLeaderReply>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl peer_server::Peer for Echo {
    async fn propose(&self, _: Request<raft::ProposeRequest>) -> Result<Response<raft::ProposeReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn forward(&self, request: Request<raft::ForwardRequest>) -> Result<Response<raft::ForwardReply>, Status> {
        let status_message = request.extensions().get::<Peer>().unwrap().actor.clone();
        Ok(Response::new(raft::ForwardReply { status_message, ..Default::default() }))
    }
    async fn keep_key(&self, _: Request<raft::KeepKeyRequest>) -> Result<Response<raft::KeepKeyReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn get_keys(&self, _: Request<raft::GetKeysRequest>) -> Result<Response<raft::GetKeysReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn report_sessions(
        &self,
        _: Request<raft::SessionReport>,
    ) -> Result<Response<raft::SessionReportReply>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn drain(&self, _: Request<raft::DrainRequest>) -> Result<Response<raft::DrainReply>, Status> {
        Ok(Response::new(Default::default()))
    }
}

/// The operators: one with a token, and one, deployer, with a certificate of any serial number; `gone` was deleted.
struct Known {
    token: blake3::Hash,
}

impl Operators for Known {
    fn by_token(&self, hash: &blake3::Hash) -> Result<Operator, OperatorRefused> {
        let found = (*hash == self.token).then(|| Operator::new(BOOTSTRAP, OperatorRole::Admin));
        found.ok_or(OperatorRefused::Token)
    }

    fn by_certificate(&self, certificate: &OperatorCertificate) -> Result<Operator, OperatorRefused> {
        match certificate.name.as_str() {
            "ann" if !certificate.serial.is_empty() => Ok(Operator::new("ann", OperatorRole::Deployer)),
            name => Err(OperatorRefused::Certificate { name: name.to_owned() }),
        }
    }
}

/// A cluster with certificates.
struct Certified {
    id: String,
    authority: Authority,
}

impl Certified {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), authority: Authority::make(id).unwrap().0 }
    }

    fn node(&self, role: NodeRole, node_id: &str) -> Identity {
        self.node_until(role, node_id, SystemTime::now() + HOUR)
    }

    fn node_until(&self, role: NodeRole, node_id: &str, until: SystemTime) -> Identity {
        let (key_pem, request) = certificate_request().unwrap();
        let names = NodeNames { role, node_id, hosts: &["127.0.0.1"] };
        let signed = self.authority.sign_until(&request, &names, until).unwrap();
        let ca_pem = self.authority.ca_pem().to_owned();
        let trust = Trust::Tls { ca_pem, credentials: Credentials::new(&signed.pem, key_pem).unwrap() };
        Identity { trust, ..Identity::plaintext(&self.id, role, node_id) }
    }

    fn certificate(&self, name: &str, until: SystemTime) -> (String, Secret<String>) {
        let (key_pem, request) = certificate_request().unwrap();
        (self.authority.sign_operator(&request, name, until).unwrap().pem, key_pem)
    }

    fn operator(&self, name: &str, until: SystemTime) -> Dialer {
        let (certificate_pem, key_pem) = &self.certificate(name, until);
        let proof = OperatorProof::Certificate { certificate_pem, key_pem };
        Dialer::of_operator(&self.ca(), proof, Plaintext::LoopbackOnly).unwrap()
    }

    fn ca(&self) -> ServerTrust {
        ServerTrust::Ca(self.authority.ca_pem().to_owned())
    }
}

/// A server of `identity` behind `door`; its address.
async fn serve(identity: &Identity, door: Door) -> String {
    serve_but(identity, door, Revoked::default()).await
}

/// The same, refusing some.
async fn serve_but(identity: &Identity, door: Door, revoked: Revoked) -> String {
    let listener = Listener::bind("127.0.0.1:0", door, identity, Plaintext::LoopbackOnly).await.unwrap();
    let address = listener.local_address().to_string();
    let operators = Known { token: token_hash(TOKEN) };
    let router = grpc_server()
        .layer(PeerLayer::new(&identity.cluster_id, Arc::new(operators)).refusing(revoked))
        .layer(RolesLayer)
        .add_service(ClusterServer::new(Echo))
        .add_service(PeerServer::new(Echo));
    tokio::spawn(router.serve_with_incoming_shutdown(listener.incoming(), pending()));
    address
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

async fn status_of(dialer: &Dialer, address: &str, role: NodeRole) -> Result<String, Status> {
    let channel = dialer.channel(address, role, Purpose::Admin).unwrap();
    let reply = ClusterClient::new(channel).status(timed(admin::StatusRequest::default())).await?;
    Ok(reply.into_inner().answered_by)
}

async fn forward(dialer: &Dialer, address: &str) -> Result<String, Status> {
    let channel = dialer.channel(address, NodeRole::Control, Purpose::Peer).unwrap();
    let reply = PeerClient::new(channel).forward(timed(raft::ForwardRequest::default())).await?;
    Ok(reply.into_inner().status_message)
}

fn by_token(cluster: &Certified, token: &str) -> Dialer {
    let token = Secret::new(token.to_owned());
    Dialer::of_operator(&cluster.ca(), OperatorProof::Token(&token), Plaintext::LoopbackOnly).unwrap()
}

fn of_node(identity: &Identity) -> Dialer {
    Dialer::of_node(identity, Plaintext::LoopbackOnly).unwrap()
}

#[tokio::test]
async fn control_nodes_of_one_cluster_talk_and_know_each_other() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    let other = cluster.node(NodeRole::Control, "n2");
    assert_eq!(forward(&of_node(&other), &address).await.unwrap(), "node:n2");
}

#[tokio::test]
async fn a_data_node_may_not_call_what_is_for_control_nodes() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    let refused = forward(&of_node(&cluster.node(NodeRole::Data, "d1")), &address).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("is for control; the caller is data"), "{refused}");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_on_both_sides() {
    let (ours, theirs) = (Certified::new("c1"), Certified::new("c2"));
    let address = serve(&ours.node(NodeRole::Control, "n1"), Door::Peer).await;
    // They do not trust our certificate.
    let refused = forward(&of_node(&theirs.node(NodeRole::Control, "x")), &address).await.unwrap_err();
    assert_ne!(refused.code(), Code::PermissionDenied);
    // One that trusts ours, but shows theirs, is refused by us.
    let mut mixed = theirs.node(NodeRole::Control, "x");
    if let Trust::Tls { ca_pem, .. } = &mut mixed.trust {
        *ca_pem = ours.authority.ca_pem().to_owned();
    }
    mixed.cluster_id = "c1".to_owned();
    assert!(forward(&of_node(&mixed), &address).await.is_err());
}

#[tokio::test]
async fn a_server_of_the_wrong_role_is_not_believed() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Data, "d1"), Door::Peer).await;
    let refused = forward(&of_node(&cluster.node(NodeRole::Control, "n1")), &address).await.unwrap_err();
    let told = format!("{refused:?}");
    assert!(told.contains("control.c1.sluice.internal"), "{told}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    let expired = cluster.node_until(NodeRole::Control, "n2", SystemTime::now() - HOUR);
    assert!(forward(&of_node(&expired), &address).await.is_err());
}

#[tokio::test]
async fn without_a_certificate_the_peer_door_is_shut() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    for operator in [by_token(&cluster, TOKEN), cluster.operator("ann", SystemTime::now() + HOUR)] {
        assert!(status_of(&operator, &address, NodeRole::Control).await.is_err());
    }
}

#[tokio::test]
async fn at_the_admin_door_a_token_makes_an_operator_and_nothing_makes_anonymous() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Admin).await;
    let served = status_of(&by_token(&cluster, TOKEN), &address, NodeRole::Control).await.unwrap();
    assert_eq!(served, "admin bootstrap");
    let without = Dialer::of_operator(&cluster.ca(), OperatorProof::None, Plaintext::LoopbackOnly).unwrap();
    for dialer in [by_token(&cluster, "slo_other"), without] {
        let refused = status_of(&dialer, &address, NodeRole::Control).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("--token-file"), "{refused}");
    }
}

#[tokio::test]
async fn an_operators_certificate_is_looked_up_at_each_call_and_makes_no_server() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Admin).await;
    let until = SystemTime::now() + HOUR;
    let status = async |dialer: Dialer| status_of(&dialer, &address, NodeRole::Control).await;
    assert_eq!(status(cluster.operator("ann", until)).await.unwrap(), "deployer ann");
    let refused = status(cluster.operator("gone", until)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("operator gone") && refused.message().contains("deleted"), "{refused}");
    let denied = forward(&cluster.operator("ann", until), &address).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "an operator is no node: {denied}");
    assert!(status(cluster.operator("ann", SystemTime::now() - HOUR)).await.is_err(), "expired");
    // Of another cluster, though its CA says the same name.
    assert!(status(Certified::new("c1").operator("ann", until)).await.is_err());

    let (certificate_pem, key_pem) = cluster.certificate("ann", until);
    let ca_pem = cluster.authority.ca_pem().to_owned();
    let trust = Trust::Tls { ca_pem, credentials: Credentials::new(&certificate_pem, key_pem).unwrap() };
    let posing = Identity { trust, ..Identity::plaintext("c1", NodeRole::Control, "n9") };
    let address = serve(&posing, Door::Admin).await;
    assert!(status_of(&by_token(&cluster, TOKEN), &address, NodeRole::Control).await.is_err());
}

#[tokio::test]
async fn a_joining_node_verifies_the_server_by_its_token_and_may_only_join() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Admin).await;
    let token = |ca_pem| {
        JoinToken::of_request(&ClusterKey::generate().unwrap(), ("local", b"1"), "c1", NodeRole::Data, Some(ca_pem))
    };
    let (foreign, token) = (token(Certified::new("c1").authority.ca_pem()), token(cluster.authority.ca_pem()));
    let joining = Dialer::of_joining(Some(&token), Plaintext::LoopbackOnly).unwrap();
    let channel = joining.channel(&address, NodeRole::Control, Purpose::Admin).unwrap();
    ClusterClient::new(channel).join(timed(admin::JoinRequest::default())).await.unwrap();
    assert_eq!(status_of(&joining, &address, NodeRole::Control).await.unwrap_err().code(), Code::Unauthenticated);
    let foreign = Dialer::of_joining(Some(&foreign), Plaintext::LoopbackOnly).unwrap();
    let channel = foreign.channel(&address, NodeRole::Control, Purpose::Admin).unwrap();
    assert!(ClusterClient::new(channel).join(timed(admin::JoinRequest::default())).await.is_err());
}

#[tokio::test]
async fn on_plaintext_the_stated_cluster_is_checked_and_the_role_believed() {
    let address = serve(&Identity::plaintext("c1", NodeRole::Control, "n1"), Door::Admin).await;
    let operator = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly).unwrap();
    assert_eq!(status_of(&operator, &address, NodeRole::Control).await.unwrap(), "admin local");
    let control = of_node(&Identity::plaintext("c1", NodeRole::Control, "n2"));
    assert_eq!(forward(&control, &address).await.unwrap(), "node:n2");
    let data = of_node(&Identity::plaintext("c1", NodeRole::Data, "d1"));
    assert_eq!(forward(&data, &address).await.unwrap_err().code(), Code::PermissionDenied);
    let stranger = of_node(&Identity::plaintext("c2", NodeRole::Control, "n9"));
    let refused = forward(&stranger, &address).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("of cluster c1, the caller of cluster c2"), "{refused}");
}

#[tokio::test]
async fn each_door_agrees_to_the_protocol_that_is_served_there() {
    let cluster = Certified::new("c1");
    let identity = cluster.node(NodeRole::Control, "n1");
    let (h2, http1) = (&b"h2"[..], &b"http/1.1"[..]);
    for (door, agreed) in [(Door::Http, http1), (Door::Admin, h2)] {
        let listener = Listener::bind("127.0.0.1:0", door, &identity, Plaintext::LoopbackOnly).await.unwrap();
        let address = listener.local_address();
        let _incoming = listener.incoming();
        let mut client = (*crate::tls::client_config(cluster.authority.ca_pem(), None).unwrap()).clone();
        client.alpn_protocols = vec![h2.to_vec(), http1.to_vec()];
        let name = crate::tls::server_name(NodeRole::Control, "c1").unwrap();
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed), "{door:?}");
    }
}

#[tokio::test]
async fn plaintext_does_not_leave_loopback() {
    let identity = Identity::plaintext("c1", NodeRole::Control, "n1");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = Listener::bind(address, Door::Admin, &identity, Plaintext::LoopbackOnly).await.unwrap_err();
        assert!(matches!(refused, IdentityFailure::PlaintextOffLoopback { .. }), "{refused}");
    }
    Listener::bind("0.0.0.0:0", Door::Admin, &identity, Plaintext::Anywhere).await.unwrap();
    for address in ["192.0.2.1:7100", "http://control.example:7100"] {
        let refused = of_node(&identity).channel(address, NodeRole::Control, Purpose::Peer).unwrap_err();
        assert!(matches!(refused, IdentityFailure::PlaintextOffLoopback { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_scheme_that_contradicts_the_trust_is_refused() {
    let cluster = Certified::new("c1");
    let secured = of_node(&cluster.node(NodeRole::Control, "n1"));
    let plain = of_node(&Identity::plaintext("c1", NodeRole::Control, "n1"));
    for (dialer, address) in [(&secured, "http://192.0.2.1:7100"), (&plain, "https://127.0.0.1:7100")] {
        let refused = dialer.channel(address, NodeRole::Control, Purpose::Peer).unwrap_err();
        assert!(matches!(refused, IdentityFailure::Scheme { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let identity = Identity::plaintext("c1", NodeRole::Control, "n1");
    let first = Listener::bind("127.0.0.1:0", Door::Admin, &identity, Plaintext::LoopbackOnly).await.unwrap();
    let address = first.local_address().to_string();
    let refused = Listener::bind(&address, Door::Admin, &identity, Plaintext::LoopbackOnly).await.unwrap_err();
    assert!(refused.to_string().contains(&address), "{refused}");
}

#[tokio::test]
async fn a_removed_node_is_told_so_at_its_next_call_and_its_connection_ends() {
    let cluster = Certified::new("c1");
    let plain = |node_id| Identity::plaintext("c1", NodeRole::Control, node_id);
    let nodes = [
        (
            cluster.node(NodeRole::Control, "n1"),
            cluster.node(NodeRole::Control, "n2"),
            cluster.node(NodeRole::Control, "n3"),
        ),
        (plain("n1"), plain("n2"), plain("n3")),
    ];
    for (server, removed, stays) in nodes {
        let revoked = Revoked::default();
        let address = serve_but(&server, Door::Peer, revoked.clone()).await;
        let channel = |identity: &Identity| {
            of_node(identity).channel(&address, NodeRole::Control, Purpose::Raft).map(PeerClient::new).unwrap()
        };
        let (mut removed, mut stays) = (channel(&removed), channel(&stays));
        removed.forward(timed(raft::ForwardRequest::default())).await.unwrap();
        revoked.set(["n2".to_owned()].into());
        // On the connection that it has, and on each that it makes when that has ended.
        let ended = async {
            let mut told = 0;
            while told < 2 {
                let refused = removed.forward(timed(raft::ForwardRequest::default())).await.unwrap_err();
                assert!(says_removed(&refused), "{refused:?}");
                told += 1;
            }
        };
        tokio::time::timeout(DEADLINE, ended).await.unwrap();
        stays.forward(timed(raft::ForwardRequest::default())).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_was_removed_is_not_talked_to() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    let revoked = Revoked::default();
    let dialer = of_node(&cluster.node(NodeRole::Control, "n2")).refusing(revoked.clone());
    assert!(forward(&dialer, &address).await.is_ok());
    revoked.extend(["n1".to_owned()], 1);
    let refused = forward(&dialer, &address).await.unwrap_err();
    assert!(format!("{refused:?}").contains("n1, which was removed"), "{refused:?}");
}

#[tokio::test]
async fn a_caller_that_never_speaks_does_not_hold_up_the_next() {
    let cluster = Certified::new("c1");
    let address = serve(&cluster.node(NodeRole::Control, "n1"), Door::Peer).await;
    let _silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    assert_eq!(forward(&of_node(&cluster.node(NodeRole::Control, "n2")), &address).await.unwrap(), "node:n2");
}

#[tokio::test]
async fn a_channel_made_before_its_server_starts_connects_when_it_does() {
    let identity = Identity::plaintext("c1", NodeRole::Control, "n1");
    let first = Listener::bind("127.0.0.1:0", Door::Peer, &identity, Plaintext::LoopbackOnly).await.unwrap();
    let address = first.local_address().to_string();
    drop(first);
    let channel = of_node(&identity).channel(&address, NodeRole::Control, Purpose::Peer).unwrap();
    let mut client = PeerClient::new(channel);
    assert_eq!(client.forward(timed(raft::ForwardRequest::default())).await.unwrap_err().code(), Code::Unavailable);
    let listener = Listener::bind(&address, Door::Peer, &identity, Plaintext::LoopbackOnly).await.unwrap();
    let tokens = Arc::new(Known { token: token_hash(TOKEN) });
    let router = grpc_server().layer(PeerLayer::new("c1", tokens)).add_service(PeerServer::new(Echo));
    tokio::spawn(router.serve_with_incoming_shutdown(listener.incoming(), pending()));
    client.forward(timed(raft::ForwardRequest::default())).await.unwrap();
}
