//! Snapshots when the log has grown, time has passed or the disk is full, and a look at the disk now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{info, warn};

use super::{Core, Inner, members::metrics_of};
use crate::{
    Shortage,
    disk::{Ballast, shortage},
    log::Growth,
    network::Network,
    states::States,
};

/// How often the disk is measured and the clock looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often a node with too little free disk takes a snapshot, behind which its log is dropped.
const SHORT_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Upkeep {
    core: Core,
    states: Arc<States>,
    network: Arc<Network>,
    growth: Arc<Growth>,
    interval: Duration,
    raft_id: u64,
    reserve_bytes: u64,
    ballast: Ballast,
    shortage: watch::Sender<Option<Shortage>>,
}

impl Upkeep {
    pub(super) fn new(inner: &Inner) -> Self {
        Self {
            core: inner.core.clone(),
            states: inner.states.clone(),
            network: inner.network.clone(),
            growth: inner.log.growth(),
            interval: inner.settings.snapshot_interval,
            raft_id: inner.settings.raft_id,
            reserve_bytes: inner.settings.disk_reserve_bytes,
            ballast: Ballast::new(&inner.settings.data_dir, inner.settings.disk_reserve_bytes),
            shortage: inner.shortage.clone(),
        }
    }

    /// Until Raft stops.
    pub(super) async fn run(self) {
        let mut last = Instant::now();
        let mut tick = tokio::time::interval(TICK);
        loop {
            // Cancel-safe: both are looked at anew below.
            tokio::select! {
                () = self.growth.exceeded() => {}
                _ = tick.tick() => {}
            }
            self.network.records.measure_disk();
            let is_short = self.look_at_disks().await;
            // It stays so until a checkpoint begins; openraft takes one at a time and forgets what else is asked.
            let grown = self.growth.is_exceeded();
            let interval = if is_short { self.interval.min(SHORT_INTERVAL) } else { self.interval };
            if grown || (last.elapsed() >= interval && self.has_news()) {
                last = Instant::now();
                info!(grown, "raft snapshot asked for");
                if self.core.trigger().snapshot().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Sees who has too little free disk; whether this node has.
    async fn look_at_disks(&self) -> bool {
        let (free, ballast) = (self.network.records.own_free_bytes(), self.ballast.clone());
        // Making a file may take a while.
        let _ = tokio::task::spawn_blocking(move || ballast.adjust(free)).await;
        let metrics = metrics_of(&self.core);
        let free_of = |id: u64| {
            if id == self.raft_id {
                Some(free)
            } else {
                self.network.records.of(id).and_then(|record| record.free_bytes)
            }
        };
        // Who does not lead knows of itself only.
        let is_seen = |id: &u64| *id == self.raft_id || metrics.state.is_leader();
        let voters = metrics.membership_config.voter_ids().filter(is_seen);
        let voters: Vec<_> = voters.map(|id| (id, free_of(id))).collect();
        let found = shortage(self.raft_id, &voters, self.reserve_bytes);
        self.shortage.send_if_modified(|before| {
            let changed = *before != found;
            match &found {
                Some(found) if changed => {
                    warn!(nodes = ?found.nodes, "disk is full: changes are refused, deletes pass")
                }
                None if changed => info!("disk is free again: changes are taken"),
                _ => {}
            }
            before.clone_from(&found);
            changed
        });
        free < self.reserve_bytes
    }

    /// Whether anything was applied since the newest checkpoint.
    fn has_news(&self) -> bool {
        let checkpoint = self.states.checkpoint().and_then(|newest| newest.meta().last_log_id).map(|id| id.index);
        *self.states.applied().borrow() > checkpoint
    }
}
