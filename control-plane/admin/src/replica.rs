//! What the services need of the replicated log: a trait, so that tests run on tables in memory.
//!
//! Absent: rules. A replica proposes what it is given and says what apply answered.

use std::{future::Future, time::Instant};

use sluice_proto::raft::{
    Command, DrainReply, DrainRequest, ForwardReply, ForwardRequest, GetKeysReply, GetKeysRequest, KeepKeyReply,
    KeepKeyRequest, Outcome, ProposeReply, ProposeRequest,
};
use sluice_raft::{
    Astray, HistoryWindow, Leadership, MemberStatus, ProposeFailure, Raft, RaftFailure, ReadFailure, RewindFailure,
    RewindTo, Shortage,
};
use sluice_rpc::raft::peer_client::PeerClient;
use sluice_state::{Tables, View};
use tonic::Status;

use crate::refused::{Reason, Refused};

/// Bytes of one message between control nodes: an applied folder of files, with room for its envelope.
pub(crate) const PEER_MESSAGE_BYTES_MAX: usize = sluice_model::limits::IMPORT_BYTES_MAX + 64 * 1024;

/// Who leads, as this node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    /// This node.
    This,
    /// Another, by its Raft id.
    Other(u64),
    /// Nobody, or nobody that this node has heard of.
    Unknown,
}

/// Where Raft stands, as this node knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) raft_id: u64,
    pub(crate) term: u64,
    pub(crate) leader: Option<u64>,
    pub(crate) commit_index: u64,
    pub(crate) applied_index: u64,
    pub(crate) members: Vec<MemberStatus>,
}

/// A change of who votes, by Raft's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    /// To a learner.
    Given(u64),
    /// From a voter, which follows on.
    Taken(u64),
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    /// Where this proposal stands in the log; a replay's outcome has an earlier version.
    pub(crate) log_index: u64,
}

/// A node's access to the replicated state.
pub(crate) trait Replica: Clone + Send + Sync + 'static {
    /// The tables that views read.
    type Tables: Tables + Send + 'static;

    /// The state as this node has it now.
    fn view(&self) -> View<Self::Tables>;

    /// The last log index whose effect is in a view; none where the tables do not know it.
    fn applied_in(view: &View<Self::Tables>) -> Option<u64>;

    /// Who leads.
    fn leader(&self) -> Leader;

    /// Proposes at this node, which must lead.
    fn propose(
        &self,
        command: Command,
        deadline: Instant,
    ) -> impl Future<Output = Result<Applied, ProposeFailure>> + Send;

    /// Waits until this node's state holds everything committed before the call.
    fn read_barrier(&self, deadline: Instant) -> impl Future<Output = Result<(), ReadFailure>> + Send;

    /// Carries a call of the admin API to `leader`.
    fn forward(
        &self,
        leader: u64,
        request: ForwardRequest,
        deadline: Instant,
    ) -> impl Future<Output = Result<ForwardReply, Status>> + Send;

    /// Where Raft stands.
    fn standing(&self) -> Standing;

    /// Adds a control node to the group; it is promoted when it has caught up.
    fn add_learner(
        &self,
        raft_id: u64,
        address: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Has another control node keep a cluster key.
    fn keep_key(
        &self,
        _other: u64,
        _request: KeepKeyRequest,
        _deadline: Instant,
    ) -> impl Future<Output = Result<KeepKeyReply, Status>> + Send {
        std::future::ready(Err(Status::unavailable("there is no other node")))
    }

    /// Asks another control node for cluster keys.
    fn get_keys(
        &self,
        _other: u64,
        _request: GetKeysRequest,
        _deadline: Instant,
    ) -> impl Future<Output = Result<GetKeysReply, Status>> + Send {
        std::future::ready(Err(Status::unavailable("there is no other node")))
    }

    /// From when to when this node can make earlier states again.
    fn history(&self) -> impl Future<Output = Result<HistoryWindow, RewindFailure>> + Send;

    /// The state that `to` means. Blocks for as long as it takes to apply the log again.
    fn rewind(&self, to: RewindTo) -> Result<View<Self::Tables>, RewindFailure>;

    /// Whether a vote may be given or taken as members stand.
    fn may_change(&self, vote: Vote) -> Result<(), Refused>;

    /// Gives or takes a vote.
    fn change_vote(&self, vote: Vote, deadline: Instant) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Who has so little free disk that changes are refused.
    fn disk_shortage(&self) -> Option<Shortage>;

    /// Voters whose clocks are wrong.
    fn clocks_astray(&self) -> Vec<Astray>;

    /// The voter that could lead next.
    fn heir(&self) -> Option<u64>;

    /// Lets `to` lead instead of this node; returns who does then.
    fn hand_over(&self, to: u64, deadline: Instant) -> impl Future<Output = Result<Leadership, Refused>> + Send;

    /// Carries a command to `leader`.
    fn propose_at(
        &self,
        leader: u64,
        request: ProposeRequest,
        deadline: Instant,
    ) -> impl Future<Output = Result<ProposeReply, Status>> + Send;

    /// Tells another control node to drain, or a data node that streams from it.
    fn drain_at(
        &self,
        place: u64,
        request: DrainRequest,
        deadline: Instant,
    ) -> impl Future<Output = Result<DrainReply, Status>> + Send;
}

impl Replica for Raft {
    type Tables = sluice_raft::StoreSnapshot;

    fn view(&self) -> View<Self::Tables> {
        Raft::view(self)
    }

    fn applied_in(view: &View<Self::Tables>) -> Option<u64> {
        view.0.applied_index()
    }

    fn leader(&self) -> Leader {
        let leadership = self.leadership();
        let now = leadership.borrow();
        match now.leader {
            _ if now.this => Leader::This,
            Some(leader) if leader != self.raft_id() => Leader::Other(leader),
            Some(_) | None => Leader::Unknown,
        }
    }

    async fn propose(&self, command: Command, deadline: Instant) -> Result<Applied, ProposeFailure> {
        let proposed = Raft::propose(self, command, deadline).await?;
        Ok(Applied { outcome: proposed.outcome, log_index: proposed.log_index })
    }

    async fn read_barrier(&self, deadline: Instant) -> Result<(), ReadFailure> {
        Raft::read_barrier(self, deadline).await
    }

    async fn forward(&self, leader: u64, request: ForwardRequest, deadline: Instant) -> Result<ForwardReply, Status> {
        let call = timed(request, deadline);
        Ok(client(self, leader).await?.forward(call).await?.into_inner())
    }

    fn standing(&self) -> Standing {
        let leadership = self.leadership();
        let (term, leader) = {
            let now = leadership.borrow();
            (now.term, now.leader)
        };
        Standing {
            raft_id: self.raft_id(),
            term,
            leader,
            commit_index: self.log_positions().committed.unwrap_or(0),
            applied_index: self.applied_index().unwrap_or(0),
            members: self.members(),
        }
    }

    async fn add_learner(&self, raft_id: u64, address: &str, deadline: Instant) -> Result<(), Refused> {
        if self.members().iter().any(|member| member.raft_id == raft_id) {
            return Ok(());
        }
        changed(Raft::add_learner(self, raft_id, address), deadline).await
    }

    fn may_change(&self, vote: Vote) -> Result<(), Refused> {
        let may = match vote {
            Vote::Given(raft_id) => self.check_promotion(raft_id),
            Vote::Taken(raft_id) => self.check_demotion(raft_id),
        };
        may.map_err(|failure| of_members(&failure))
    }

    async fn change_vote(&self, vote: Vote, deadline: Instant) -> Result<(), Refused> {
        match vote {
            Vote::Given(raft_id) => changed(self.promote(raft_id), deadline).await,
            Vote::Taken(raft_id) => changed(self.demote(raft_id), deadline).await,
        }
    }

    async fn keep_key(&self, other: u64, request: KeepKeyRequest, deadline: Instant) -> Result<KeepKeyReply, Status> {
        let call = timed(request, deadline);
        Ok(client(self, other).await?.keep_key(call).await?.into_inner())
    }

    async fn get_keys(&self, other: u64, request: GetKeysRequest, deadline: Instant) -> Result<GetKeysReply, Status> {
        let call = timed(request, deadline);
        Ok(client(self, other).await?.get_keys(call).await?.into_inner())
    }

    async fn history(&self) -> Result<HistoryWindow, RewindFailure> {
        let raft = self.clone();
        let read = tokio::task::spawn_blocking(move || Raft::history(&raft));
        read.await.map_err(|error| RewindFailure::Storage(error.to_string()))?
    }

    fn rewind(&self, to: RewindTo) -> Result<View<Self::Tables>, RewindFailure> {
        Raft::rewind(self, to)
    }

    fn disk_shortage(&self) -> Option<Shortage> {
        Raft::disk_shortage(self)
    }

    fn clocks_astray(&self) -> Vec<Astray> {
        Raft::clocks_astray(self)
    }

    fn heir(&self) -> Option<u64> {
        Raft::heir(self, &std::collections::BTreeSet::new())
    }

    async fn hand_over(&self, to: u64, deadline: Instant) -> Result<Leadership, Refused> {
        Raft::hand_over(self, to, deadline).await.map_err(|failure| of_members(&failure))
    }

    async fn propose_at(
        &self,
        leader: u64,
        request: ProposeRequest,
        deadline: Instant,
    ) -> Result<ProposeReply, Status> {
        let call = timed(request, deadline);
        Ok(client(self, leader).await?.propose(call).await?.into_inner())
    }

    async fn drain_at(&self, place: u64, request: DrainRequest, deadline: Instant) -> Result<DrainReply, Status> {
        let call = timed(request, deadline);
        Ok(client(self, place).await?.drain(call).await?.into_inner())
    }
}

/// Waits for a change of members.
async fn changed(change: impl Future<Output = Result<(), RaftFailure>>, deadline: Instant) -> Result<(), Refused> {
    match tokio::time::timeout_at(deadline.into(), change).await {
        Ok(changed) => changed.map_err(|failure| of_members(&failure)),
        Err(_) => Err(Refused::new(Reason::OutcomeUnknown, "members were not changed before the deadline; ask again")),
    }
}

/// Why members were not changed, for the one who asked.
fn of_members(failure: &RaftFailure) -> Refused {
    let reason = match failure {
        RaftFailure::NotLeader { .. } => Reason::NotLeader,
        RaftFailure::LastVoter | RaftFailure::WouldLoseQuorum { .. } | RaftFailure::Members { .. } => Reason::Members,
        _ => Reason::Unavailable,
    };
    Refused::new(reason, failure.to_string())
}

fn timed<T>(message: T, deadline: Instant) -> tonic::Request<T> {
    let mut call = tonic::Request::new(message);
    call.set_timeout(deadline.saturating_duration_since(Instant::now()));
    call
}

async fn client(raft: &Raft, leader: u64) -> Result<PeerClient<sluice_identity::Channel>, Status> {
    let channel = raft.peer_channel(leader).await;
    let channel = channel.ok_or_else(|| Status::unavailable(format!("the address of node {leader} is not known")))?;
    Ok(PeerClient::new(channel)
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
}
