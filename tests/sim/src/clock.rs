//! The clocks of a run: simulated time, which passes only when nothing else is left to do.

use std::{cell::Cell, time::Duration};

use sluice_machine::Clocks;
use tokio::time::Instant;

/// What the clocks say when a run begins: any time will do, if it is the same in each.
pub(crate) const BEGIN: Clocks =
    Clocks { monotonic: Duration::from_secs(100_000), wall: Duration::from_secs(1_800_000_000) };

thread_local! {
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From now on the clocks of this thread go with simulated time. Called within the runtime, whose clock is paused.
pub(crate) fn follow() {
    BEGUN.set(Some(Instant::now()));
    sluice_machine::read_clocks(read);
}

fn read() -> Clocks {
    let passed = BEGUN.get().map_or(Duration::ZERO, |begun| Instant::now().duration_since(begun));
    Clocks { monotonic: BEGIN.monotonic + passed, wall: BEGIN.wall + passed }
}

/// The true time, milliseconds since the epoch; nodes have wall clocks that are off.
pub(crate) fn wall_ms() -> u64 {
    u64::try_from(read().wall.as_millis()).unwrap_or(u64::MAX)
}
