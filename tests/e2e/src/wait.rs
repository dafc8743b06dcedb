//! Waiting on a condition.

use std::{
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

/// How long a condition may take before a test gives up; generous, since machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Asks until the condition answers `Ok`, and returns what it answered.
///
/// # Panics
/// With the last refusal when `PATIENCE` is over.
pub async fn eventually<T, E, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let give_up = Instant::now() + PATIENCE;
    loop {
        let refusal = match condition().await {
            Ok(value) => return value,
            Err(refusal) => refusal,
        };
        assert!(Instant::now() < give_up, "{what} did not come true in {PATIENCE:?}: {refusal:?}");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
