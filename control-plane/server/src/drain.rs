//! A control node that an operator drains leads no more: it hands over, again when it is elected all the same.
//!
//! Promise: leadership goes to a voter that does not drain, where one answers; else it stays. Absent: sending data nodes
//! elsewhere (`sluice-sync`).

use std::time::{Duration, Instant};

use sluice_raft::Raft;
use sluice_sync::{Fleet, Order};
use tracing::{info, warn};

/// How long another may take to take over.
const HANDOVER: Duration = Duration::from_secs(5);
/// Pause before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until it is dropped, which it may be at any time.
pub(crate) async fn run(raft: Raft, fleet: Fleet) {
    let (mut orders, mut leadership) = (fleet.orders(), raft.leadership());
    loop {
        let drains = *orders.borrow_and_update() == Order::Drain;
        let leads = leadership.borrow_and_update().this;
        if drains && leads {
            hand_over(&raft, &fleet).await;
        }
        let leads = drains && raft.leadership().borrow().this;
        // Cancel-safe: both are looked at anew.
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if leads => {}
        }
    }
}

async fn hand_over(raft: &Raft, fleet: &Fleet) {
    let draining = fleet.draining().into_iter().map(|(raft_id, _)| raft_id).collect();
    let Some(heir) = raft.heir(&draining) else {
        return warn!("this node drains and leads on: no other voter answers that does not drain");
    };
    match raft.hand_over(heir, Instant::now() + HANDOVER).await {
        Ok(now) => info!(leader = now.leader, "this node drains and has handed over"),
        Err(failure) => warn!(%failure, "this node drains and has not handed over yet"),
    }
}
