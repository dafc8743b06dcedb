//! One life of a node: from a start to the next crash.
//!
//! A crash ends a process between two instructions. Here its tasks cannot be ended so; instead nothing that they do counts
//! any more: what a dead life sends is not sent, what it writes is not written, what it is told it does not hear.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

/// How a life ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// `kill -9`: what it had written is in the system's hands, and reaches the disk.
    Killed,
    /// The power fails: what was not synced may be gone.
    PowerCut,
}

/// A life. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    number: u32,
    ended: Arc<AtomicBool>,
    /// Whether its machine lives on and tells its peers.
    told: Arc<AtomicBool>,
    end: CancellationToken,
}

impl Life {
    /// The `number`th life of a node.
    pub(crate) fn new(number: u32) -> Self {
        Self { number, ended: Arc::default(), told: Arc::default(), end: CancellationToken::new() }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// From now on nothing that it does counts.
    pub(crate) fn end(&self, crash: Crash) {
        self.told.store(crash == Crash::Killed, Ordering::Relaxed);
        self.ended.store(true, Ordering::Relaxed);
        self.end.cancel();
    }

    /// Whether it has ended and its machine says so to who had a connection to it.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns when it ends.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Runs `work` until it is done or the life ends.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.end.run_until_cancelled(work).await
    }
}
