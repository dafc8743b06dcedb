//! Learners that have caught up become voters, as `sluice-raft` makes them.

use std::{collections::BTreeSet, time::Duration};

use openraft::{ChangeMembers, RaftMetrics, async_runtime::WatchReceiver};
use tokio::time::{sleep, timeout};

use super::types::{Core, TypeConfig};
use crate::life::Life;

/// A learner this many entries behind has caught up; fewer than in production, since a run writes less.
const CAUGHT_UP_ENTRIES: u64 = 16;
/// How often the leader looks at its learners.
const LEARNERS_EVERY: Duration = Duration::from_millis(100);
/// A change that takes longer is given up waiting for.
const CHANGE_MAX: Duration = Duration::from_secs(30);

/// Makes learners that have caught up voters while this node leads, until its life ends.
pub(crate) async fn promote_learners(core: Core, life: Life) {
    while !life.has_ended() {
        sleep(LEARNERS_EVERY).await;
        let metrics = metrics_of(&core);
        if !metrics.state.is_leader() {
            continue;
        }
        let members = &metrics.membership_config;
        let voters: BTreeSet<u64> = members.voter_ids().collect();
        let last = metrics.last_log_index.unwrap_or_default();
        let is_near = |id: &u64| {
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(id)?);
            matched.is_some_and(|matched| matched.index + CAUGHT_UP_ENTRIES >= last)
        };
        let is_joint = members.get_joint_config().len() > 1;
        let caught_up = members.nodes().map(|(id, _)| *id).find(|id| !voters.contains(id) && is_near(id));
        let added = match caught_up {
            // A change that an earlier leader began is ended first.
            _ if is_joint => BTreeSet::new(),
            Some(learner) => BTreeSet::from([learner]),
            None => continue,
        };
        // What does not succeed is tried again.
        let _ = timeout(CHANGE_MAX, core.change_membership(ChangeMembers::AddVoterIds(added), true)).await;
    }
}

/// A copy: the borrow must not be held across an await.
pub(crate) fn metrics_of(core: &Core) -> RaftMetrics<TypeConfig> {
    core.metrics().borrow_watched().clone()
}
