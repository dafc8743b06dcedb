//! Members that lose their vote, and members that go.
//!
//! Promise: one change at a time; no change takes the majority away from those that stay, and none touches the leader that
//! makes it: it hands over first. What was begun is ended by whoever leads: a member whose row says that it was removed goes
//! once it has heard of that, or has had the time to.
//! Absent: the row that says so (`sluice-state`), and who asks (`sluice-admin`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use openraft::{ChangeMembers, RaftMetrics};
use tracing::{info, warn};

use super::{
    Inner, Raft,
    members::{matched, metrics_of, refused, within},
};
use crate::{RaftFailure, types::TypeConfig};

/// A removed node that has the entry which says so learns within a heartbeat or two that it is committed.
const TOLD_AFTER: Duration = Duration::from_millis(500);
/// One that does not answer is not waited for.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

impl Raft {
    /// Takes the vote of a member, which follows on as a learner; without effect for one that has none. Keep it from being
    /// made a voter again by its row, before.
    ///
    /// # Errors
    /// `LastVoter` and `WouldLoseQuorum` when the others could not decide without it, `Members` for this node, which has to
    /// hand over first, `NotLeader`.
    pub async fn demote(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.inner.changing.lock().await;
        self.inner.check_demotion(raft_id)?;
        if !self.inner.voters().all.contains(&raft_id) {
            return Ok(());
        }
        if raft_id == self.raft_id() {
            let problem = "the leader does not take its own vote; let another lead first".to_owned();
            return Err(RaftFailure::Members { problem });
        }
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([raft_id]));
        within(self.inner.core.change_membership(change, true)).await?.map(drop).map_err(refused)?;
        info!(learner = raft_id, "raft member votes no more");
        Ok(())
    }

    /// Whether the others could decide without a member's vote as things are; one without a vote may always go.
    ///
    /// # Errors
    /// `LastVoter` and `WouldLoseQuorum`.
    pub fn check_demotion(&self, raft_id: u64) -> Result<(), RaftFailure> {
        self.inner.check_demotion(raft_id)
    }

    /// Whether a member could be given a vote as things are.
    ///
    /// # Errors
    /// `WouldLoseQuorum` when the majority that is needed then does not answer.
    pub fn check_promotion(&self, raft_id: u64) -> Result<(), RaftFailure> {
        self.inner.voters().check_with(raft_id)
    }
}

impl Inner {
    fn check_demotion(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let voters = self.voters();
        if voters.all.contains(&raft_id) { voters.check_without(raft_id) } else { Ok(()) }
    }

    async fn remove_learner(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.changing.lock().await;
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([raft_id]));
        within(self.core.change_membership(change, true)).await?.map(drop).map_err(refused)?;
        info!(removed = raft_id, "raft member removed");
        Ok(())
    }
}

/// Learners that are about to go, as this node has seen them while it led.
#[derive(Default)]
pub(super) struct Leaving {
    /// The last entry when it was seen that one was removed, and when that was.
    seen: BTreeMap<u64, (u64, Instant)>,
}

impl Leaving {
    /// Removes those of `removed` that have heard of it, or have had the time to.
    pub(super) async fn advance(&mut self, inner: &Inner, removed: &BTreeSet<u64>) {
        let metrics = metrics_of(&inner.core);
        self.seen.retain(|raft_id, _| removed.contains(raft_id));
        let now = Instant::now();
        for raft_id in removed {
            let last = metrics.last_log_index.unwrap_or_default();
            let seen = *self.seen.entry(*raft_id).or_insert((last, now));
            if !has_heard(&metrics, *raft_id, seen, now) {
                continue;
            }
            match inner.remove_learner(*raft_id).await {
                Ok(()) => drop(self.seen.remove(raft_id)),
                Err(failure) => warn!(removed = raft_id, %failure, "raft member not removed yet"),
            }
        }
    }
}

fn has_heard(metrics: &RaftMetrics<TypeConfig>, raft_id: u64, (last, seen): (u64, Instant), now: Instant) -> bool {
    let waited = now.duration_since(seen);
    let has_entry = matched(metrics, raft_id).is_some_and(|matched| matched >= last);
    waited >= TOLD_WITHIN || (has_entry && waited >= TOLD_AFTER)
}
