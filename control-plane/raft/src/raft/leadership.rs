//! Who leads.

use std::time::Duration;

use openraft::{
    ServerState,
    async_runtime::{Instant as _, WatchReceiver},
    vote::RaftLeaderId,
};
use sluice_telemetry::Counter;
use tokio::sync::watch;
use tracing::info;

use super::{Core, Raft};

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
