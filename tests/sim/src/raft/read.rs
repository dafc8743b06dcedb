//! Linearizable reads on any node, as `sluice-raft` makes them.

use std::time::Duration;

use openraft::ReadPolicy;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    control::{self, Member},
    world::World,
};

/// Between two tries where nobody is known to lead.
const RETRY: Duration = Duration::from_millis(50);

/// Returns whether this node's state shows everything that was acknowledged, anywhere, before the call; false at the
/// deadline.
pub(crate) async fn barrier(world: &World, running: &Member, deadline: Instant) -> bool {
    loop {
        let leadership = *running.leadership.borrow();
        let index = match leadership.leader {
            Some(leader) if leader == running.raft_id => timeout_at(deadline, own_index(running)).await.ok().flatten(),
            Some(leader) => timeout_at(deadline, index_of(world, running, leader)).await.ok().flatten(),
            None => None,
        };
        if let Some(index) = index {
            let mut applied = running.states.applied.subscribe();
            let reached = applied.wait_for(|applied| applied.is_some_and(|applied| applied >= index));
            return timeout_at(deadline, reached).await.is_ok();
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(RETRY).await;
    }
}

async fn own_index(running: &Member) -> Option<u64> {
    running.core.get_read_linearizer(ReadPolicy::ReadIndex).await.ok().map(|found| found.read_log_id().index())
}

async fn index_of(world: &World, running: &Member, leader: u64) -> Option<u64> {
    let asked = world.call(&running.end(), leader, |leader| async move { own_index(&leader).await });
    timeout(control::ELECTION_MAX * 2, asked).await.ok()?.ok()?
}
