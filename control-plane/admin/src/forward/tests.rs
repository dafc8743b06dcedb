//! Calls that a follower takes, carried to a leader in the same process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Request;
use http_body_util::BodyExt as _;
use prost::Message as _;
use sluice_identity::{LOCAL, Operator, OperatorRole, Peer, Shown, token_hash};
use sluice_proto::{
    admin::{ChangeReply, ChangeRequest, ErrorDetails},
    model::{ApiKey, RestApi},
    raft::{Command, DrainReply, DrainRequest, ForwardReply, ForwardRequest, ProposeReply, ProposeRequest},
};
use sluice_raft::{Astray, HistoryWindow, Leadership, ProposeFailure, ReadFailure, RewindFailure, RewindTo, Shortage};
use sluice_rpc::raft::peer_server::{Peer as _, PeerServer};
use sluice_state::View;
use tonic::{Code, Status, body::Body};
use tower::{Service as _, ServiceExt as _};

use super::{Forward, PeerCalls, frame};
use crate::{
    propose,
    refused::Refused,
    replica::{Applied, Leader, Replica, Standing, Vote},
    services::routes,
    testing::{MemoryReplica, NoSessions, founded, put},
};

/// A follower whose leader is in the same process, and is not there for the first calls.
#[derive(Clone)]
struct Follower {
    leader: Arc<PeerCalls<MemoryReplica>>,
    state: MemoryReplica,
    refusals: Arc<AtomicUsize>,
    /// A leader that takes the first call and never answers; by then another leads.
    hanging: Option<u64>,
    asked: Arc<AtomicBool>,
}

impl Follower {
    fn is_away(&self) -> bool {
        self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    async fn hang(&self, leader: u64) {
        if self.hanging == Some(leader) {
            self.asked.store(true, Ordering::SeqCst);
            std::future::pending().await
        }
    }
}

impl Replica for Follower {
    type Tables = <MemoryReplica as Replica>::Tables;

    fn view(&self) -> View<Self::Tables> {
        self.state.view()
    }

    fn applied_in(_: &View<Self::Tables>) -> Option<u64> {
        None
    }

    fn leader(&self) -> Leader {
        if let Some(hanging) = self.hanging
            && !self.asked.load(Ordering::SeqCst)
        {
            return Leader::Other(hanging);
        }
        if self.is_away() { Leader::Unknown } else { Leader::Other(1) }
    }

    async fn propose(&self, _: Command, _: Instant) -> Result<Applied, ProposeFailure> {
        Err(ProposeFailure::NotLeader { leader: Some(1) })
    }

    async fn read_barrier(&self, _: Instant) -> Result<(), ReadFailure> {
        Ok(())
    }

    async fn forward(&self, leader: u64, request: ForwardRequest, _: Instant) -> Result<ForwardReply, Status> {
        self.hang(leader).await;
        if self.is_away() {
            return Err(Status::unavailable("connection refused"));
        }
        Ok(self.leader.forward(tonic::Request::new(request)).await?.into_inner())
    }

    fn standing(&self) -> Standing {
        Standing::default()
    }

    async fn add_learner(&self, _: u64, _: &str, _: Instant) -> Result<(), Refused> {
        Ok(())
    }

    async fn history(&self) -> Result<HistoryWindow, RewindFailure> {
        self.state.history().await
    }

    fn rewind(&self, to: RewindTo) -> Result<View<Self::Tables>, RewindFailure> {
        self.state.rewind(to)
    }

    async fn propose_at(&self, leader: u64, request: ProposeRequest, _: Instant) -> Result<ProposeReply, Status> {
        self.hang(leader).await;
        if self.is_away() {
            return Err(Status::unavailable("connection refused"));
        }
        Ok(self.leader.propose(tonic::Request::new(request)).await?.into_inner())
    }

    fn may_change(&self, vote: Vote) -> Result<(), Refused> {
        self.state.may_change(vote)
    }

    async fn change_vote(&self, vote: Vote, deadline: Instant) -> Result<(), Refused> {
        self.state.change_vote(vote, deadline).await
    }

    fn disk_shortage(&self) -> Option<Shortage> {
        None
    }

    fn clocks_astray(&self) -> Vec<Astray> {
        Vec::new()
    }

    fn heir(&self) -> Option<u64> {
        None
    }

    async fn hand_over(&self, to: u64, deadline: Instant) -> Result<Leadership, Refused> {
        self.state.hand_over(to, deadline).await
    }

    async fn drain_at(&self, place: u64, request: DrainRequest, deadline: Instant) -> Result<DrainReply, Status> {
        self.state.drain_at(place, request, deadline).await
    }
}

fn cluster(refusals: usize) -> (crate::admin::Admin<MemoryReplica>, Follower) {
    let admin = founded();
    let calls = PeerCalls::over(
        routes(&admin),
        admin.replica.clone(),
        Arc::new(NoSessions),
        admin.tools.secrets.keys().clone(),
    );
    let follower = Follower {
        leader: Arc::new(calls),
        state: admin.replica.clone(),
        refusals: Arc::new(AtomicUsize::new(refusals)),
        hanging: None,
        asked: Arc::default(),
    };
    (admin, follower)
}

async fn change(follower: &Follower, timeout: &str, message: &ChangeRequest) -> Result<ChangeReply, Status> {
    let admin = crate::services::admin(
        follower.clone(),
        Arc::new(NoSessions),
        crate::AdminSettings {
            node_id: "n2".into(),
            keys: sluice_identity::Keyring::of(vec![sluice_identity::ClusterKey::generate().unwrap()]),
            certificate_lifetime: Duration::from_secs(3600),
        },
    );
    let mut service = Forward::over(routes(&admin), follower.clone());
    let mut request = Request::post("/sluice.admin.v1.Config/Change")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(frame::body_of(&message.encode_to_vec()))
        .unwrap();
    request.extensions_mut().insert(local());
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let collected = Body::collect(body).await.unwrap();
    let status = collected.trailers().and_then(Status::from_header_map);
    match status.or_else(|| Status::from_header_map(&parts.headers)) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(ChangeReply::decode(frame::message_of(&collected.to_bytes()).unwrap()).unwrap()),
    }
}

/// Who calls on this machine in a cluster without certificates.
fn local() -> Peer {
    Peer::operator(&Operator::new(LOCAL, OperatorRole::Admin), Shown::Nothing)
}

fn new_api() -> ChangeRequest {
    let api = RestApi { name: "pets".into(), ..RestApi::default() };
    ChangeRequest { request_id: Vec::new(), operations: vec![put(api)] }
}

#[tokio::test]
async fn a_change_on_a_follower_is_made_by_the_leader() {
    let (admin, follower) = cluster(0);
    let reply = change(&follower, "5S", &new_api()).await.unwrap();
    assert_eq!(reply.results.len(), 1);
    assert_eq!(admin.replica.log_index(), 2);
}

#[tokio::test]
async fn a_leader_that_is_away_is_asked_again_until_it_is_there() {
    let (admin, follower) = cluster(5);
    change(&follower, "5S", &new_api()).await.unwrap();
    assert_eq!(admin.replica.log_index(), 2);
}

#[tokio::test]
async fn a_leader_that_hangs_is_not_waited_for_once_another_leads() {
    let (admin, follower) = cluster(0);
    let follower = || Follower { hanging: Some(9), asked: Arc::default(), ..follower.clone() };
    change(&follower(), "3600S", &new_api()).await.unwrap();
    assert_eq!(admin.replica.log_index(), 2);
    let deadline = Instant::now() + Duration::from_secs(3_600);
    propose::anywhere(&follower(), propose::change(stamp(), Vec::new()), deadline).await.unwrap();
    assert_eq!(admin.replica.log_index(), 3);
}

#[tokio::test]
async fn without_a_leader_the_call_ends_with_its_deadline() {
    let (_, follower) = cluster(usize::MAX);
    let status = change(&follower, "100m", &new_api()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(ErrorDetails::decode(status.details()).unwrap().code, "unavailable");
}

#[tokio::test]
async fn a_refusal_of_the_leader_comes_back_with_its_details() {
    let (_, follower) = cluster(0);
    let key = ApiKey { name: "k".into(), value: Some("short".into()), ..ApiKey::default() };
    let message = ChangeRequest { request_id: Vec::new(), operations: vec![put(key)] };
    let status = change(&follower, "5S", &message).await.unwrap_err();
    let details = ErrorDetails::decode(status.details()).unwrap();
    assert_eq!((details.code.as_str(), details.diagnostics[0].at.as_str()), ("invalid", "value"));
}

fn stamp() -> sluice_proto::raft::Stamp {
    sluice_proto::raft::Stamp { actor: "ann".into(), ..Default::default() }
}

#[tokio::test]
async fn a_command_of_a_follower_is_stamped_and_proposed_by_the_leader() {
    let (admin, follower) = cluster(3);
    let deadline = Instant::now() + Duration::from_secs(5);
    let committed = propose::anywhere(&follower, propose::change(stamp(), Vec::new()), deadline).await.unwrap();
    assert_eq!(committed.version, 2);
    assert!(admin.replica.view().stamp() > 0);
}

#[tokio::test]
async fn a_stranger_is_read_only_as_far_as_a_joining_node_has_to_say() {
    let (admin, follower) = cluster(0);
    let mut service = Forward::over(routes(&admin), follower);
    let mut answer = async |peer: Peer, bytes: usize| {
        let mut request = Request::post("/sluice.admin.v1.Cluster/Join").body(frame::body_of(&vec![0; bytes])).unwrap();
        request.extensions_mut().insert(peer);
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        Status::from_header_map(response.headers()).map(|status| status.code())
    };
    assert_eq!(answer(Peer::anonymous(), 65 * 1024).await, Some(Code::ResourceExhausted));
    assert_ne!(answer(Peer::anonymous(), 63 * 1024).await, Some(Code::ResourceExhausted));
    assert_ne!(answer(local(), 65 * 1024).await, Some(Code::ResourceExhausted));
}

#[tokio::test]
async fn a_carried_call_may_do_no_more_than_the_leader_lets_its_caller() {
    let (admin, follower) = cluster(0);
    let token = crate::operators::testing::create(&admin, "vera", "viewer").await;
    assert!(token.starts_with("slo_"));
    let ask = async |actor: &str, role: &str, path: &str| {
        let message = new_api().encode_to_vec().into();
        let (path, actor, role) = (format!("/sluice.{path}"), actor.into(), role.into());
        let request = ForwardRequest { path, message, actor, role, timeout_ms: 5_000, ..ForwardRequest::default() };
        // Whoever it is said to be, the viewer's token is what was shown.
        let request = crate::operators::with_shown(request, &Shown::Token(token_hash(&token)));
        follower.leader.forward(tonic::Request::new(request)).await.err().map(|status| status.code())
    };
    const CHANGE: &str = "admin.v1.Config/Change";
    assert_eq!(ask(LOCAL, "deployer", CHANGE).await, None);
    assert_eq!(ask("vera", "admin", CHANGE).await, Some(Code::PermissionDenied), "a viewer who is said to be more");
    assert_eq!(ask(LOCAL, "viewer", CHANGE).await, Some(Code::PermissionDenied), "as the other node found it");
    assert_eq!(ask("nobody", "admin", CHANGE).await, Some(Code::Unauthenticated));
    assert_eq!(ask("node:d1", "data", CHANGE).await, Some(Code::PermissionDenied));
    assert_eq!(ask(LOCAL, "boss", CHANGE).await, Some(Code::InvalidArgument));
    assert_eq!(ask(LOCAL, "admin", "admin.v1.Apis/Import").await, Some(Code::InvalidArgument), "it is carried nowhere");
    assert_eq!(ask("node:n2", "control", "raft.v1.Peer/Propose").await, Some(Code::InvalidArgument));
}

/// The service is what the peer port serves.
#[test]
fn the_peer_service_has_its_name() {
    let name = <PeerServer<PeerCalls> as tonic::server::NamedService>::NAME;
    assert_eq!(name, "sluice.raft.v1.Peer");
}
