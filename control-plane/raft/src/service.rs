//! What other control nodes ask of this one's Raft.
//!
//! Promise: a call for another node or cluster is refused before it reaches Raft; a call whose caller has given up is
//! given up. Absent: whether the caller is a control node (the roles table of `sluice-identity`).

mod receive;

use std::sync::Arc;

use openraft::{
    ReadPolicy,
    errors::{ForwardToLeader, LinearizableReadError, RaftError},
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest},
};
use sluice_proto::raft as message;
use sluice_rpc::raft::raft_server;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    durable::{Durable, Malformed},
    machine::Machine,
    network::Network,
    states::States,
    types::{Entry, LogId, TypeConfig, Vote},
};

type Core = openraft::Raft<TypeConfig, Machine>;

/// The `Raft` service of this node, for the peer port.
#[derive(Clone)]
pub struct RaftService {
    core: Core,
    network: Arc<Network>,
    states: Arc<States>,
}

impl std::fmt::Debug for RaftService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RaftService").field("raft_id", &self.network.raft_id).finish_non_exhaustive()
    }
}

impl RaftService {
    pub(crate) fn new(core: Core, network: Arc<Network>, states: Arc<States>) -> Self {
        Self { core, network, states }
    }

    fn check_target(&self, cluster_id: &str, target: u64) -> Result<(), Status> {
        if cluster_id != self.network.cluster_id {
            let ours = &self.network.cluster_id;
            return Err(Status::failed_precondition(format!(
                "this node is of cluster {ours}, the call is for cluster {cluster_id}; check the peer's address"
            )));
        }
        if target != self.network.raft_id {
            let ours = self.network.raft_id;
            return Err(Status::failed_precondition(format!(
                "this is raft node {ours}, the call is for node {target}; check the peer's address"
            )));
        }
        Ok(())
    }

    fn vote_request(&self, request: message::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
        self.check_target(&request.cluster_id, request.target)?;
        let last_log_id = request.last_log_id.map(LogId::from_message).transpose().map_err(malformed)?;
        let mut rpc = VoteRequest::new(vote(request.vote)?, last_log_id);
        rpc.leadership_transfer = request.leadership_transfer;
        Ok(rpc)
    }
}

fn malformed(malformed: Malformed) -> Status {
    Status::invalid_argument(malformed.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped on this node: {error}"))
}

fn vote(message: Option<message::Vote>) -> Result<Vote, Status> {
    let vote = message.ok_or(Malformed::Missing { what: "a call between control nodes", field: "a vote" });
    vote.and_then(Vote::from_message).map_err(malformed)
}

fn vote_reply(reply: &openraft::raft::VoteResponse<TypeConfig>) -> Response<message::VoteReply> {
    Response::new(message::VoteReply {
        vote: Some(reply.vote.to_message()),
        granted: reply.vote_granted,
        last_log_id: reply.last_log_id.as_ref().map(Durable::to_message),
    })
}

fn append_reply(reply: &AppendEntriesResponse<TypeConfig>) -> message::append_reply::Kind {
    use message::append_reply::{Conflict, Kind, Success};
    match reply {
        AppendEntriesResponse::Success => Kind::Success(Success {}),
        AppendEntriesResponse::PartialSuccess(Some(last)) => Kind::PartialSuccess(last.to_message()),
        AppendEntriesResponse::PartialSuccess(None) | AppendEntriesResponse::Conflict => Kind::Conflict(Conflict {}),
        AppendEntriesResponse::HigherVote(vote) => Kind::HigherVote(vote.to_message()),
    }
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn append(&self, request: Request<message::AppendRequest>) -> Result<Response<message::AppendReply>, Status> {
        let request = request.into_inner();
        self.check_target(&request.cluster_id, request.target)?;
        let vote = vote(request.vote)?;
        let leader = vote.leader_id.node_id;
        self.network.records.heard(leader, request.wall_ms, std::time::Duration::ZERO, None);
        let entries: Result<Vec<Entry>, Malformed> = request.entries.into_iter().map(Entry::from_message).collect();
        let rpc = AppendEntriesRequest {
            vote,
            prev_log_id: request.prev_log_id.map(LogId::from_message).transpose().map_err(malformed)?,
            entries: entries.map_err(malformed)?,
            leader_commit: request.leader_commit.map(LogId::from_message).transpose().map_err(malformed)?,
        };
        let reply = self.core.append_entries(rpc).await.map_err(stopped)?;
        Ok(Response::new(message::AppendReply {
            kind: Some(append_reply(&reply)),
            free_bytes: self.network.records.own_free_bytes(),
            wall_ms: self.network.records.wall_ms(),
        }))
    }

    async fn vote(&self, request: Request<message::VoteRequest>) -> Result<Response<message::VoteReply>, Status> {
        let rpc = self.vote_request(request.into_inner())?;
        let reply = self.core.vote(rpc).await.map_err(stopped)?;
        Ok(vote_reply(&reply))
    }

    async fn pre_vote(&self, request: Request<message::VoteRequest>) -> Result<Response<message::VoteReply>, Status> {
        let rpc = self.vote_request(request.into_inner())?;
        let reply = self.core.pre_vote(rpc).await.map_err(stopped)?;
        Ok(vote_reply(&reply))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<message::SnapshotChunk>>,
    ) -> Result<Response<message::SnapshotReply>, Status> {
        let mut chunks = request.into_inner();
        let begin = receive::begin(&mut chunks).await?;
        self.check_target(&begin.cluster_id, begin.target)?;
        let vote = vote(begin.vote)?;
        let snapshot = receive::state(&mut chunks, begin.meta, self.states.clone()).await?;
        let reply = self.core.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(message::SnapshotReply { vote: Some(reply.vote.to_message()) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<message::TransferLeaderRequest>,
    ) -> Result<Response<message::TransferLeaderReply>, Status> {
        use message::transfer_leader_reply::{LogNotFlushed, Refusal};
        let request = request.into_inner();
        self.check_target(&request.cluster_id, request.target)?;
        let last = request.last_log_id.map(LogId::from_message).transpose().map_err(malformed)?;
        let rpc = TransferLeaderRequest::new(vote(request.from_leader)?, request.to_node_id, last);
        let refusal = match self.core.handle_transfer_leader(rpc).await.map_err(stopped)? {
            Ok(()) => None,
            Err(TransferLeaderError::VoteChanged { actual, .. }) => Some(Refusal::VoteChanged(actual.to_message())),
            Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
                Some(Refusal::LogNotFlushed(LogNotFlushed { actual: actual.as_ref().map(Durable::to_message) }))
            }
        };
        Ok(Response::new(message::TransferLeaderReply { refusal }))
    }

    async fn read_index(
        &self,
        request: Request<message::ReadIndexRequest>,
    ) -> Result<Response<message::ReadIndexReply>, Status> {
        let request = request.into_inner();
        self.check_target(&request.cluster_id, request.target)?;
        let (read_log_id, leader) = match self.core.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(found) => (Some(found.read_log_id().log_id().to_message()), self.network.raft_id),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
                (None, leader_id.unwrap_or_default())
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => (None, 0),
            Err(RaftError::Fatal(error)) => return Err(stopped(error)),
        };
        Ok(Response::new(message::ReadIndexReply { read_log_id, leader }))
    }
}
