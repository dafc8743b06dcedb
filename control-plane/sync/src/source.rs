//! What this crate needs of the replicated state: a trait, so that tests run without Raft.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use sluice_proto::raft::{SessionReport, SessionReportReply};
use sluice_raft::{Leadership, Raft, StoreSnapshot};
use sluice_rpc::raft::peer_client::PeerClient;
use sluice_state::{Tables, View};
use tokio::sync::watch;
use tonic::Status;

/// Where what blocks on the store runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On threads for it, beside the streams.
    Aside,
    /// Where it is asked for: in a simulation, in which nothing may run beside anything else.
    Here,
}

/// The replicated state on this node, and the way to the leader.
pub trait Source: Clone + Send + Sync + 'static {
    /// The tables that views read.
    type Tables: Tables + Send + 'static;

    /// The state as it is on this node now.
    fn view(&self) -> View<Self::Tables>;

    /// Where reading it at length runs.
    fn blocking(&self) -> Blocking {
        Blocking::Aside
    }

    /// The number that data nodes see, after each batch that changed it on this node.
    fn revisions(&self) -> watch::Receiver<u64>;

    /// Who leads, as this node knows it.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Raft's number of this node.
    fn raft_id(&self) -> u64;

    /// Raft's numbers of all voters.
    fn voters(&self) -> Vec<u64>;

    /// How long ago a quorum last confirmed that this node leads; `None` when none has.
    fn confirmed(&self) -> Option<Duration>;

    /// Waits until this node's state holds everything that was committed before the call; false when it did not by the
    /// deadline.
    fn caught_up(&self, deadline: Instant) -> impl Future<Output = bool> + Send;

    /// Reports sessions to another control node.
    fn report(
        &self,
        to: u64,
        report: SessionReport,
        timeout: Duration,
    ) -> impl Future<Output = Result<SessionReportReply, Status>> + Send;
}

impl Source for Raft {
    type Tables = StoreSnapshot;

    fn view(&self) -> View<StoreSnapshot> {
        Raft::view(self)
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        Raft::revisions(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        Raft::leadership(self)
    }

    fn raft_id(&self) -> u64 {
        Raft::raft_id(self)
    }

    fn voters(&self) -> Vec<u64> {
        self.members().into_iter().filter(|member| member.voter).map(|member| member.raft_id).collect()
    }

    fn confirmed(&self) -> Option<Duration> {
        if !self.leadership().borrow().this {
            return None;
        }
        // Alone it is a quorum: no other has to answer it, and none does.
        if self.voters() == [Raft::raft_id(self)] { Some(Duration::ZERO) } else { self.last_heard() }
    }

    async fn caught_up(&self, deadline: Instant) -> bool {
        self.read_barrier(deadline).await.is_ok()
    }

    async fn report(&self, to: u64, report: SessionReport, timeout: Duration) -> Result<SessionReportReply, Status> {
        let channel = self.peer_channel(to).await;
        let channel = channel.ok_or_else(|| Status::unavailable(format!("the address of node {to} is not known")))?;
        let mut request = tonic::Request::new(report);
        request.set_timeout(timeout);
        Ok(PeerClient::new(channel).report_sessions(request).await?.into_inner())
    }
}
