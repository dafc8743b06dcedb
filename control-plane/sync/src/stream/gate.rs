//! A restarted control node serves streams only after one read index: until then it may not know what was committed.

use std::time::Instant;

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::Status;

use crate::{fleet::Fleet, source::Source};

/// Closed at first; once open it stays open.
pub(crate) struct Gate {
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(false) }
    }
}

/// Opens the gate of `fleet` as soon as this node has caught up once. May be dropped at any time.
pub(crate) async fn open_gate<S: Source>(fleet: Fleet<S>) {
    let inner = &fleet.inner;
    while !inner.source.caught_up(Instant::now() + inner.timing.gate_max).await {
        sleep(inner.timing.report_retry).await;
    }
    inner.gate.open.send_replace(true);
}

/// Waits a while for the gate.
pub(super) async fn pass<S: Source>(fleet: &Fleet<S>) -> Result<(), Status> {
    let inner = &fleet.inner;
    let mut open = inner.gate.open.subscribe();
    let passed = timeout(inner.timing.gate_max, open.wait_for(|open| *open)).await;
    match passed {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Status::unavailable("this control node has not caught up since its start; try another")),
    }
}
