//! The threads of Raft.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};

/// One for the core and its calls, one for when the other applies a large batch.
const THREADS: usize = 2;
/// Threads for the disk: checkpoints, received states.
const BLOCKING_THREADS: usize = 8;
/// What is not done by then is cut off, as by a crash.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A runtime that may be dropped anywhere: then its tasks end at their next await.
pub(super) struct OwnRuntime {
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

impl OwnRuntime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("raft")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends all tasks and waits for them.
    pub(super) async fn stop(&self) {
        let Some(runtime) = self.take() else { return };
        // Waiting blocks, so it has a thread of the caller's runtime.
        let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(STOP_TIMEOUT)).await;
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}
