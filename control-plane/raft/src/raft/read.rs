//! Linearizable reads on any node.

use std::time::Instant;

use openraft::{
    ReadPolicy,
    errors::{ForwardToLeader, LinearizableReadError, RaftError},
};
use sluice_proto::raft::ReadIndexRequest;
use tokio::time::timeout_at;
use tonic::Request;

use super::Raft;
use crate::{ReadFailure, network::Lane};

/// What a leader, or one that was taken for it, said.
enum Answer {
    /// The state at this index shows everything that was acknowledged before the question.
    Index(u64),
    /// It does not lead, or could not confirm it.
    NotConfirmed,
}

impl Raft {
    /// Returns when [`Raft::view`] on this node shows everything that was acknowledged, anywhere, before the call.
    ///
    /// # Errors
    /// `Timeout` when no leader confirmed itself before the deadline or this node did not catch up; `Stopped`.
    pub async fn read_barrier(&self, deadline: Instant) -> Result<(), ReadFailure> {
        let deadline = tokio::time::Instant::from_std(deadline);
        loop {
            let leadership = *self.inner.leadership.borrow();
            let answer = match leadership.leader {
                Some(leader) if leader == self.raft_id() => timeout_at(deadline, self.own_index()).await,
                Some(leader) => timeout_at(deadline, self.index_of(leader)).await,
                None => Ok(Ok(Answer::NotConfirmed)),
            };
            let late = || ReadFailure::Timeout { leader: leadership.leader };
            match answer.map_err(|_| late())?? {
                Answer::Index(index) => return self.applied(index, deadline).await.map_err(|_| late()),
                Answer::NotConfirmed if self.wait_for_leader(deadline).await => {}
                Answer::NotConfirmed => return Err(late()),
            }
        }
    }

    async fn own_index(&self) -> Result<Answer, ReadFailure> {
        match self.inner.core.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(found) => Ok(Answer::Index(found.read_log_id().index())),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(ForwardToLeader { .. })
                | LinearizableReadError::QuorumNotEnough(_),
            )) => Ok(Answer::NotConfirmed),
            Err(RaftError::Fatal(_)) => Err(ReadFailure::Stopped),
        }
    }

    async fn index_of(&self, leader: u64) -> Result<Answer, ReadFailure> {
        let network = &self.inner.network;
        let client = self.address_of(leader).and_then(|address| network.client(&address, Lane::Urgent).ok());
        let Some(mut client) = client else { return Ok(Answer::NotConfirmed) };
        let question = ReadIndexRequest { cluster_id: network.cluster_id.clone(), target: leader };
        let mut request = Request::new(question);
        // Long enough for a quorum to answer the leader; a lost leader is asked after again.
        request.set_timeout(self.inner.settings.election_max * 2);
        let index = match client.read_index(request).await {
            Ok(reply) => reply.into_inner().read_log_id.map(|id| id.index),
            Err(_) => None,
        };
        Ok(index.map_or(Answer::NotConfirmed, Answer::Index))
    }

    async fn applied(&self, index: u64, deadline: tokio::time::Instant) -> Result<(), tokio::time::error::Elapsed> {
        let mut applied = self.inner.states.applied();
        let reached = applied.wait_for(|applied| applied.is_some_and(|applied| applied >= index));
        // The sender lives in `states`, which this handle holds: the wait ends by the index or the deadline.
        timeout_at(deadline, reached).await.map(drop)
    }
}
