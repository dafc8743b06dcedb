//! Members: who they are, how far they have come, and how they become voters.
//!
//! Promise: one change at a time; a learner is made a voter by the leader once it has caught up, without being asked, unless
//! its row says that it is held or was removed, or the majority that is needed then would not answer.
//! Absent: the way out (`removal`), and other addresses (`addresses`).

use std::{
    collections::BTreeSet,
    sync::Weak,
    time::{Duration, Instant},
};

use openraft::{
    BasicNode, ChangeMembers, RaftMetrics,
    async_runtime::{Instant as _, WatchReceiver},
    errors::{ChangeMembershipError, ClientWriteError, ForwardToLeader, RaftError},
};
use tracing::{info, warn};

use super::{Core, Inner, Raft, quorum::Voters, removal::Leaving};
use crate::{RaftFailure, network::PeerRecord, types::TypeConfig};

/// A member this many entries behind has caught up: fewer than a busy second has.
pub(super) const CAUGHT_UP_ENTRIES: u64 = 512;
/// A change that takes longer is given up waiting for.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A member without an answer for this long is down: thirty heartbeats, more than twice the longest wait for an election.
const DOWN_AFTER: Duration = Duration::from_secs(3);
/// How often the leader looks at a learner that is catching up, or going.
const LEARNER_EVERY: Duration = Duration::from_millis(100);
/// How often at those that are to stay what they are.
const HELD_EVERY: Duration = Duration::from_secs(1);

/// One member, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Raft's number of it.
    pub raft_id: u64,
    /// `HOST:PORT` of its peer port.
    pub address: String,
    /// Whether it votes; a learner does not yet.
    pub voter: bool,
    /// The last log index known to be on its disk; known to the leader only.
    pub matched: Option<u64>,
    /// Free bytes of its disk, where it has been heard.
    pub free_bytes: Option<u64>,
    /// Whether this node leads and has had no answer of it for three seconds.
    pub down: bool,
    /// When it was last heard; never for this node itself.
    pub heard: Option<Instant>,
    /// Its wall clock less this node's, where it has been heard.
    pub clock_offset_ms: Option<i64>,
}

impl Raft {
    /// All members, by number.
    pub fn members(&self) -> Vec<MemberStatus> {
        let metrics = metrics_of(&self.inner.core);
        let steps = metrics.membership_config.get_joint_config();
        let status = |(&raft_id, node): (&u64, &BasicNode)| {
            let this = raft_id == self.raft_id();
            let record = self.inner.network.records.of(raft_id);
            MemberStatus {
                raft_id,
                address: node.addr.clone(),
                // Between the two steps of a change nothing is decided without a majority of the old voters and of the
                // new ones: who waits for a voter, to stop another node then, waits for both.
                voter: steps.iter().all(|voters| voters.contains(&raft_id)),
                matched: if this { metrics.last_log_index } else { matched(&metrics, raft_id) },
                free_bytes: if this {
                    Some(self.inner.network.records.own_free_bytes())
                } else {
                    record.and_then(|record| record.free_bytes)
                },
                down: !this && metrics.state.is_leader() && is_silent(&metrics, raft_id, record),
                heard: record.map(|record| record.heard),
                clock_offset_ms: if this { Some(0) } else { record.map(|record| record.clock_offset_ms) },
            }
        };
        metrics.membership_config.nodes().map(status).collect()
    }

    /// Adds a node that does not vote yet; the leader makes it a voter when it has caught up. A node that is a member
    /// already stays what it is.
    ///
    /// # Errors
    /// `NotLeader`, or `Members` when the change was refused.
    pub async fn add_learner(&self, raft_id: u64, address: &str) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.inner.changing.lock().await;
        if metrics_of(&self.inner.core).membership_config.get_node(&raft_id).is_some_and(|node| node.addr == address) {
            return Ok(());
        }
        let added = self.inner.core.add_learner(raft_id, BasicNode::new(address), false);
        within(added).await?.map(drop).map_err(refused)?;
        info!(learner = raft_id, address, "raft member added");
        Ok(())
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// `NotLeader`, or `Members` when the change was refused.
    pub async fn promote(&self, raft_id: u64) -> Result<(), RaftFailure> {
        self.inner.promote(raft_id).await
    }
}

impl Inner {
    /// The voters, and the members that answer this node, which leads.
    pub(super) fn voters(&self) -> Voters {
        let metrics = metrics_of(&self.core);
        let answers =
            |id: &u64| *id == self.settings.raft_id || !is_silent(&metrics, *id, self.network.records.of(*id));
        let all = metrics.membership_config.voter_ids().collect();
        Voters { all, up: metrics.membership_config.nodes().map(|(id, _)| *id).filter(answers).collect() }
    }

    async fn promote(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([raft_id]));
        within(self.core.change_membership(change, true)).await?.map(drop).map_err(refused)?;
        info!(voter = raft_id, "raft member promoted");
        Ok(())
    }

    /// Ends a change that an earlier leader began and did not live to end: until then nothing is decided without a
    /// majority of the old voters too.
    async fn settle(&self) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.changing.lock().await;
        if !is_joint(&metrics_of(&self.core)) {
            return Ok(());
        }
        let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
        within(self.core.change_membership(nobody, true)).await?.map(drop).map_err(refused)?;
        info!("raft change of members ended that an earlier leader began");
        Ok(())
    }
}

/// Makes learners that have caught up voters, and lets those go that were removed, while this node leads.
pub(super) async fn tend_learners(raft: Weak<Inner>) {
    let Some(mut changes) = raft.upgrade().map(|inner| inner.core.server_metrics()) else { return };
    let mut leaving = Leaving::default();
    loop {
        let Some(inner) = raft.upgrade() else { return };
        let learners = learners(&inner);
        leaving.advance(&inner, &learners.removed).await;
        if learners.unsettled
            && let Err(failure) = inner.settle().await
        {
            warn!(%failure, "raft change of members not ended yet");
        } else if let Some(learner) = learners.caught_up
            && let Err(failure) = inner.promote(learner).await
        {
            warn!(learner, %failure, "raft member not promoted yet");
        }
        drop(inner);
        // Cancel-safe: the value is read again after either.
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(learners.again.unwrap_or_default()), if learners.again.is_some() => {}
        }
    }
}

#[derive(Default)]
struct Learners {
    /// When to look again, if not only at the next change.
    again: Option<Duration>,
    /// A change of members is half done.
    unsettled: bool,
    caught_up: Option<u64>,
    /// Those that were taken out of the cluster.
    removed: BTreeSet<u64>,
}

fn learners(inner: &Inner) -> Learners {
    let metrics = metrics_of(&inner.core);
    if !metrics.state.is_leader() {
        return Learners::default();
    }
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let mut learners: BTreeSet<u64> = metrics.membership_config.nodes().map(|(id, _)| *id).collect();
    learners.retain(|id| !voters.contains(id));
    let unsettled = is_joint(&metrics);
    if learners.is_empty() {
        return Learners { again: unsettled.then_some(LEARNER_EVERY), unsettled, ..Learners::default() };
    }
    let view = inner.states.view();
    let removed: BTreeSet<u64> =
        view.removed_nodes().into_iter().map(|node| node.raft_id).filter(|id| learners.contains(id)).collect();
    let held: BTreeSet<u64> = view.nodes().into_iter().filter(|node| node.held).map(|node| node.raft_id).collect();
    drop(view);
    let busy = unsettled || learners.iter().any(|id| !held.contains(id));
    let last = metrics.last_log_index.unwrap_or_default();
    let near = |id: u64| matched(&metrics, id).is_some_and(|matched| matched + CAUGHT_UP_ENTRIES >= last);
    let able = inner.voters();
    let may_vote = |id: &u64| {
        let free = !held.contains(id) && !removed.contains(id);
        free && near(*id) && able.up.contains(id) && able.check_with(*id).is_ok()
    };
    let caught_up = learners.iter().copied().find(may_vote);
    Learners { again: Some(if busy { LEARNER_EVERY } else { HELD_EVERY }), unsettled, caught_up, removed }
}

/// Whether two sets of voters decide together: a change from the one to the other is half done.
fn is_joint(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.membership_config.get_joint_config().len() > 1
}

pub(super) fn matched(metrics: &RaftMetrics<TypeConfig>, raft_id: u64) -> Option<u64> {
    metrics.replication.as_ref()?.get(&raft_id)?.map(|id| id.index)
}

/// Whether a leader has no answer of a member since [`DOWN_AFTER`]. One that it never heard, as one that was down before it
/// led, is silent too; one that is there answers its first heartbeat.
fn is_silent(metrics: &RaftMetrics<TypeConfig>, raft_id: u64, record: Option<PeerRecord>) -> bool {
    let acked = metrics.heartbeat.as_ref().and_then(|acked| acked.get(&raft_id)?.as_ref());
    let acked = acked.map(|acked| acked.elapsed());
    let heard = acked.or(record.map(|record| record.heard.elapsed()));
    heard.is_none_or(|heard| heard >= DOWN_AFTER)
}

/// A copy: the borrow must not be held across an await.
pub(super) fn metrics_of(core: &Core) -> RaftMetrics<TypeConfig> {
    core.metrics().borrow_watched().clone()
}

/// Waits for a change of members, but not for ever: without a quorum it has no end.
pub(super) async fn within<T>(change: impl Future<Output = T>) -> Result<T, RaftFailure> {
    tokio::time::timeout(CHANGE_TIMEOUT, change).await.map_err(|_| RaftFailure::Members {
        problem: format!("no quorum agreed within {} s; it may do so later", CHANGE_TIMEOUT.as_secs()),
    })
}

pub(super) fn refused(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> RaftFailure {
    match error {
        RaftError::Fatal(error) => RaftFailure::Stopped { problem: error.to_string() },
        RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. })) => {
            RaftFailure::NotLeader { leader: leader_id }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))) => {
            RaftFailure::Changing
        }
        RaftError::APIError(error) => RaftFailure::Members { problem: error.to_string() },
    }
}
