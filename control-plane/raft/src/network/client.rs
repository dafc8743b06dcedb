//! openraft's network over the `Raft` service of a peer.
//!
//! Promise: no call outlives its deadline; a peer that cannot be reached, or is not the one that is meant, is backed
//! off from; an answer that makes no sense is an error, never a guess.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::{
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes, RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    storage::Snapshot,
};
use sluice_identity::Channel;
use sluice_proto::raft as message;
use sluice_rpc::raft::raft_client::RaftClient;
use tonic::{Code, Request, Response, Status};

use super::{Lane, Network, acknowledged::Forgot, image};
use crate::{
    durable::{Durable, Malformed},
    machine::StateImage,
    types::{LogId, TypeConfig, Vote},
};

type Leader = openraft::alias::CommittedLeaderIdOf<TypeConfig>;

/// Calls one peer.
pub(crate) struct PeerClient {
    pub(super) network: Arc<Network>,
    pub(super) target: u64,
    pub(super) address: String,
    pub(super) lane: Lane,
}

impl PeerClient {
    fn client(&self, lane: Lane) -> Result<RaftClient<Channel>, RPCError<TypeConfig>> {
        // Asked for each call: openraft keeps this client when a member's address changes.
        let address = self.network.address(self.target, &self.address);
        self.network.client(&address, lane).map_err(|failure| Unreachable::new(&failure).into())
    }

    /// Waits for `answer`, but no longer than `limit`.
    async fn within<T>(
        &self,
        action: RPCTypes,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RPCError<TypeConfig>> {
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(action, limit, &status)),
            Err(_) => Err(self.timeout(action, limit)),
        }
    }

    fn failure(&self, action: RPCTypes, limit: Duration, status: &Status) -> RPCError<TypeConfig> {
        if sluice_identity::says_removed(status) {
            self.network.told_removed.send_replace(true);
        }
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => self.timeout(action, limit),
            // Not there, not the node that is meant, or not one that serves Raft: asking again at once does not help.
            Code::Unavailable
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => Unreachable::new(status).into(),
            _ => NetworkError::new(status).into(),
        }
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> RPCError<TypeConfig> {
        Timeout { action, id: self.network.raft_id, target: self.target, timeout }.into()
    }

    /// Holds an answer against what the peer has said before.
    fn believe(
        &self,
        rpc: &AppendEntriesRequest<TypeConfig>,
        answer: &AppendEntriesResponse<TypeConfig>,
    ) -> Result<(), Forgot> {
        let acknowledged = &self.network.acknowledged;
        match answer {
            AppendEntriesResponse::Success => {
                let last = rpc.entries.last().map(|entry| &entry.log_id).or(rpc.prev_log_id.as_ref());
                acknowledged.note(self.target, rpc.vote, last);
            }
            AppendEntriesResponse::PartialSuccess(last) => {
                acknowledged.note(self.target, rpc.vote, last.as_ref());
            }
            AppendEntriesResponse::Conflict => {
                acknowledged.check(self.target, rpc.vote, rpc.prev_log_id.as_ref())?;
            }
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(())
    }

    async fn ask_for_vote(
        &self,
        kind: Ballot,
        rpc: VoteRequest<TypeConfig>,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Urgent)?;
        let limit = option.hard_ttl();
        let request = within(
            limit,
            message::VoteRequest {
                cluster_id: self.network.cluster_id.clone(),
                target: self.target,
                vote: Some(rpc.vote.to_message()),
                last_log_id: rpc.last_log_id.as_ref().map(Durable::to_message),
                leadership_transfer: rpc.leadership_transfer,
            },
        );
        let reply = match kind {
            Ballot::Vote => self.within(RPCTypes::Vote, limit, client.vote(request)).await?,
            Ballot::PreVote => self.within(RPCTypes::Vote, limit, client.pre_vote(request)).await?,
        };
        let vote = required(reply.vote)?;
        let last_log_id = reply.last_log_id.map(LogId::from_message).transpose().map_err(nonsense)?;
        Ok(VoteResponse::new(vote, last_log_id, reply.granted))
    }
}

enum Ballot {
    Vote,
    PreVote,
}

/// A request that tells the peer how long its answer is waited for.
fn within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

fn required(vote: Option<message::Vote>) -> Result<Vote, RPCError<TypeConfig>> {
    let vote = vote.ok_or(Malformed::Missing { what: "an answer", field: "a vote" });
    vote.and_then(Vote::from_message).map_err(nonsense)
}

fn nonsense(malformed: Malformed) -> RPCError<TypeConfig> {
    NetworkError::new(&malformed).into()
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = StateImage;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(self.lane)?;
        // openraft's limit is one heartbeat. It stands for heartbeats; entries are synced before they are answered.
        let patience = if rpc.entries.is_empty() { Duration::ZERO } else { self.network.append_patience };
        let limit = option.hard_ttl().max(patience);
        let request = within(
            limit,
            message::AppendRequest {
                cluster_id: self.network.cluster_id.clone(),
                target: self.target,
                vote: Some(rpc.vote.to_message()),
                prev_log_id: rpc.prev_log_id.as_ref().map(Durable::to_message),
                entries: rpc.entries.iter().map(Durable::to_message).collect(),
                leader_commit: rpc.leader_commit.as_ref().map(Durable::to_message),
                wall_ms: self.network.records.wall_ms(),
            },
        );
        let sent = Instant::now();
        let reply = self.within(RPCTypes::AppendEntries, limit, client.append(request)).await?;
        self.network.records.heard(self.target, reply.wall_ms, sent.elapsed() / 2, Some(reply.free_bytes));
        let answer = append_answer(reply, rpc.prev_log_id.is_some())?;
        self.believe(&rpc, &answer).map_err(|forgot| Unreachable::new(&forgot))?;
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(Ballot::Vote, rpc, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(Ballot::PreVote, rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Leader, u64, openraft::BasicNode, StateImage>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let StateImage::Checkpoint(checkpoint) = snapshot.snapshot else {
            return Err(NetworkError::from_string("expected a checkpoint to send, found a received state").into());
        };
        let last = snapshot.meta.last_log_id;
        let begin = message::SnapshotBegin {
            cluster_id: self.network.cluster_id.clone(),
            target: self.target,
            vote: Some(vote.to_message()),
            meta: Some(snapshot.meta.to_message()),
        };
        let mut client = self.client(Lane::Snapshot)?;
        let limit = option.hard_ttl();
        let sent = client.install_snapshot(within(limit, image::stream(begin, checkpoint)));
        // Either branch may be dropped: the receiver then drops what it has, and openraft sends it all again.
        let reply = tokio::select! {
            closed = cancel => return Err(closed.into()),
            reply = self.within(RPCTypes::InstallSnapshot, limit, sent) => reply?,
        };
        let theirs = required(reply.vote)?;
        if theirs == vote {
            self.network.acknowledged.note(self.target, vote, last.as_ref());
        }
        Ok(SnapshotResponse::new(theirs))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        use message::transfer_leader_reply::Refusal;
        let mut client = self.client(Lane::Urgent)?;
        let limit = option.hard_ttl();
        let request = within(
            limit,
            message::TransferLeaderRequest {
                cluster_id: self.network.cluster_id.clone(),
                target: self.target,
                from_leader: Some(rpc.from_leader().to_message()),
                to_node_id: *rpc.to_node_id(),
                last_log_id: rpc.last_log_id().map(Durable::to_message),
            },
        );
        let reply = self.within(RPCTypes::TransferLeader, limit, client.transfer_leader(request)).await?;
        Ok(match reply.refusal {
            None => Ok(()),
            Some(Refusal::VoteChanged(vote)) => Err(TransferLeaderError::VoteChanged {
                expected: *rpc.from_leader(),
                actual: Vote::from_message(vote).map_err(nonsense)?,
            }),
            Some(Refusal::LogNotFlushed(flushed)) => Err(TransferLeaderError::LogNotFlushed {
                expected: rpc.last_log_id().copied(),
                actual: flushed.actual.map(LogId::from_message).transpose().map_err(nonsense)?,
            }),
        })
    }
}

/// `follows`: whether the request named an entry before its own. Only then can a peer say that it has another there.
fn append_answer(
    reply: message::AppendReply,
    follows: bool,
) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
    use message::append_reply::Kind;
    Ok(match reply.kind {
        Some(Kind::Success(_)) => AppendEntriesResponse::Success,
        Some(Kind::Conflict(_)) if follows => AppendEntriesResponse::Conflict,
        Some(Kind::HigherVote(vote)) => AppendEntriesResponse::HigherVote(Vote::from_message(vote).map_err(nonsense)?),
        Some(Kind::PartialSuccess(last)) => {
            AppendEntriesResponse::PartialSuccess(Some(LogId::from_message(last).map_err(nonsense)?))
        }
        Some(Kind::Conflict(_)) | None => {
            let problem = "expected an answer to an append, found none that fits";
            return Err(NetworkError::from_string(problem).into());
        }
    })
}
