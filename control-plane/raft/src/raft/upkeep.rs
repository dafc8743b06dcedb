//! Snapshots when the log has grown or time has passed, and a look at the disk now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use super::{Core, Inner};
use crate::{log::Growth, network::Network, states::States};

/// How often the disk is measured and the clock looked at.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Upkeep {
    core: Core,
    states: Arc<States>,
    network: Arc<Network>,
    growth: Arc<Growth>,
    interval: Duration,
}

impl Upkeep {
    pub(super) fn new(inner: &Inner) -> Self {
        Self {
            core: inner.core.clone(),
            states: inner.states.clone(),
            network: inner.network.clone(),
            growth: inner.log.growth(),
            interval: inner.settings.snapshot_interval,
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
            // It stays so until a checkpoint begins; openraft takes one at a time and forgets what else is asked.
            let grown = self.growth.is_exceeded();
            if grown || (last.elapsed() >= self.interval && self.has_news()) {
                last = Instant::now();
                info!(grown, "raft snapshot asked for");
                if self.core.trigger().snapshot().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Whether anything was applied since the newest checkpoint.
    fn has_news(&self) -> bool {
        let checkpoint = self.states.checkpoint().and_then(|newest| newest.meta().last_log_id).map(|id| id.index);
        *self.states.applied().borrow() > checkpoint
    }
}
