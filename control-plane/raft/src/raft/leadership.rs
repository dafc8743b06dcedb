//! Who leads.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use openraft::{
    ServerState,
    async_runtime::{Instant as _, WatchReceiver},
    vote::RaftLeaderId,
};
use sluice_telemetry::Counter;
use tokio::sync::watch;
use tracing::info;

use super::{Core, Raft, members::CAUGHT_UP_ENTRIES};
use crate::RaftFailure;

/// Who leads, as one node knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term.
    pub term: u64,
    /// The leader of the term, where it is known.
    pub leader: Option<u64>,
    /// Whether it is this node.
    pub this: bool,
}

impl Raft {
    /// How long ago leadership was last confirmed here: on the leader by a quorum, elsewhere by the leader.
    pub fn last_heard(&self) -> Option<Duration> {
        let metrics = self.inner.core.metrics();
        let (leads, acked) = {
            let metrics = metrics.borrow_watched();
            (metrics.state.is_leader(), metrics.last_quorum_acked.map(|acked| acked.into_inner()))
        };
        if leads {
            return acked.map(|acked| acked.elapsed());
        }
        let leader = self.inner.leadership.borrow().leader?;
        self.inner.network.records.of(leader).map(|record| record.heard.elapsed())
    }

    /// The voter that could lead next: of those that answer the one that is furthest, none of `but`.
    pub fn heir(&self, but: &BTreeSet<u64>) -> Option<u64> {
        let able = |one: &super::MemberStatus| one.voter && !one.down && !but.contains(&one.raft_id);
        let others = self.members().into_iter().filter(|one| one.raft_id != self.raft_id());
        others.filter(able).max_by_key(|one| one.matched).map(|one| one.raft_id)
    }

    /// Lets `raft_id` lead; returns who does when this node does not any more.
    ///
    /// # Errors
    /// `NotLeader`, or `Members` when it cannot lead, or no one took over before the deadline.
    pub async fn hand_over(&self, raft_id: u64, deadline: Instant) -> Result<Leadership, RaftFailure> {
        let mut leadership = self.leadership();
        let now = *leadership.borrow();
        if !now.this {
            return Err(RaftFailure::NotLeader { leader: now.leader });
        }
        if let Some(problem) = self.cannot_lead(raft_id) {
            return Err(RaftFailure::Members { problem });
        }
        let handed = async {
            self.transfer_leadership(raft_id).await;
            // The sender lives as long as this handle.
            leadership.wait_for(|now| !now.this && now.leader.is_some()).await.map(|now| *now)
        };
        match tokio::time::timeout_at(deadline.into(), handed).await {
            Ok(Ok(now)) => Ok(now),
            Ok(Err(_)) => Err(RaftFailure::Stopped { problem: "it stopped while it handed over".to_owned() }),
            Err(_) => Err(RaftFailure::Members { problem: format!("raft node {raft_id} has not taken over in time") }),
        }
    }

    fn cannot_lead(&self, raft_id: u64) -> Option<String> {
        let members = self.members();
        let last = self.log_positions().last.unwrap_or_default();
        match members.iter().find(|member| member.raft_id == raft_id) {
            None => Some(format!("raft node {raft_id} is no member")),
            Some(member) if !member.voter => Some(format!("raft node {raft_id} does not vote: a leader is a voter")),
            Some(member) if member.down => Some(format!("raft node {raft_id} is down")),
            Some(member) if member.matched.unwrap_or_default() + CAUGHT_UP_ENTRIES < last => {
                Some(format!("raft node {raft_id} has not caught up"))
            }
            Some(_) => None,
        }
    }

    /// Asks `raft_id`, a voter, to take over from this node; without effect when this node does not lead. Returns when
    /// asked: watch [`Raft::leadership`]. A change of members under way ends first: half done, it would need this node.
    pub async fn transfer_leadership(&self, raft_id: u64) {
        let _not_amid_a_change = self.inner.changing.lock().await;
        // A core that has stopped leads no more.
        let _ = self.inner.core.trigger().transfer_leader(raft_id).await;
    }
}

/// Tells `told` of each change, until Raft stops, and counts the terms that began meanwhile.
pub(super) async fn follow(core: Core, told: watch::Sender<Leadership>, elections: Counter) {
    let mut metrics = core.server_metrics();
    let mut term = metrics.borrow_watched().vote.leader_id.term();
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            let this = metrics.state == ServerState::Leader;
            Leadership { term: metrics.vote.leader_id.term(), leader: metrics.current_leader, this }
        };
        elections.increment(now.term.saturating_sub(std::mem::replace(&mut term, now.term)));
        let changed = told.send_if_modified(|before| std::mem::replace(before, now) != now);
        if changed {
            info!(term = now.term, leader = now.leader, this = now.this, "raft leadership");
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
