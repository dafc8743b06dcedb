//! What a client makes a connection do that leads to no answer: requests that it resets, and frames that begin none.
//!
//! Promise: costs a few stores per request and per read; what goes beyond its bound is found at once, not by the sweep, and
//! no connection holds its core longer than some reads at a time, so that a flood costs others one turn of it.
//! Absent: what the engine counts by itself, each ending in a GOAWAY: streams reset before they were looked at, errors that
//! the node is made to answer with a reset, CONTINUATION frames, small DATA frames.

use std::cell::Cell;

use sluice_pipeline::Bound;

/// Requests that a client may give up unless settings say else; then no more than half of all it began. Envoy drops
/// at the same share of 500 streams (`overload.premature_reset_total_stream_count`, CVE-2023-44487); a reset costs more here,
/// since a call of a backend is given up with it.
const RESETS_MAX: u32 = 200;
/// Reads of a connection before its core turns to others: some 64 KiB of frames, half a millisecond.
const READS_PER_TURN: u8 = 8;
/// Reads in one second of a connection on which no request is under way or begins: some 2 MiB of frames that are of no use to anyone.
/// nginx gives up at 1 MiB in all. What is left of an upload that was answered early is read as a body, and not counted.
const IDLE_READS_MAX: u32 = 300;

/// The excesses of one connection.
#[derive(Debug)]
pub(crate) struct Excess {
    resets_max: Cell<u32>,
    begun: Cell<u32>,
    given_up: Cell<u32>,
    /// Reads left of this turn.
    reads: Cell<u8>,
    /// Idle reads of this second, since the last request.
    idle_reads: Cell<u32>,
    second: Cell<u32>,
    met: Cell<Option<Bound>>,
}

/// Whether a read may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Goes,
    /// Others come first.
    IsOver,
}

impl Default for Excess {
    fn default() -> Self {
        Self {
            resets_max: Cell::new(RESETS_MAX),
            begun: Cell::default(),
            given_up: Cell::default(),
            reads: Cell::default(),
            idle_reads: Cell::default(),
            second: Cell::default(),
            met: Cell::default(),
        }
    }
}

impl Excess {
    /// How many requests the client may give up.
    pub(crate) fn allow_resets(&self, most: u32) {
        self.resets_max.set(most);
    }

    /// The connection's task has its turn.
    pub(crate) fn turn(&self) {
        self.reads.set(READS_PER_TURN);
    }

    /// Asks for a read.
    pub(crate) fn read(&self) -> Turn {
        let Some(left) = self.reads.get().checked_sub(1) else { return Turn::IsOver };
        self.reads.set(left);
        Turn::Goes
    }

    /// Something was read while no request was under way.
    pub(crate) fn idle_read(&self, second: u32) {
        let before = if self.second.replace(second) == second { self.idle_reads.get() } else { 0 };
        self.idle_reads.set(before + 1);
        if before >= IDLE_READS_MAX {
            self.met.set(Some(Bound::IdleFrames));
        }
    }

    /// A request has begun.
    pub(crate) fn begun(&self) {
        self.begun.set(self.begun.get().saturating_add(1));
        self.idle_reads.set(0);
    }

    /// How many requests have begun.
    pub(crate) fn requests(&self) -> u32 {
        self.begun.get()
    }

    /// The client has given up a request before its answer was whole.
    pub(crate) fn given_up(&self) {
        let count = self.given_up.get().saturating_add(1);
        self.given_up.set(count);
        if count > self.resets_max.get() && count > self.begun.get() / 2 {
            self.met.set(Some(Bound::Resets));
        }
    }

    /// The bound that was met: the connection has to end.
    pub(crate) fn met(&self) -> Option<Bound> {
        self.met.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_some_reads_and_the_next_has_as_many() {
        let excess = Excess::default();
        for _ in 0..3 {
            excess.turn();
            let reads = std::iter::from_fn(|| (excess.read() == Turn::Goes).then_some(())).count();
            assert_eq!(reads, usize::from(READS_PER_TURN));
        }
    }

    #[test]
    fn many_reads_of_an_idle_connection_in_one_second_are_an_excess() {
        let honest = Excess::default();
        for second in 0..100 {
            (0..IDLE_READS_MAX).for_each(|_| honest.idle_read(second));
        }
        assert_eq!(honest.met(), None);
        for _ in 0..10 * IDLE_READS_MAX {
            honest.begun();
            honest.idle_read(99);
        }
        assert_eq!(honest.met(), None, "each was the head of a request");
        (0..IDLE_READS_MAX).for_each(|_| honest.idle_read(99));
        assert_eq!(honest.met(), Some(Bound::IdleFrames));
    }

    #[test]
    fn a_client_that_gives_up_most_of_many_requests_is_an_excess() {
        let honest = Excess::default();
        for _ in 0..2_000 {
            honest.begun();
            honest.begun();
            honest.given_up();
        }
        assert_eq!(honest.met(), None);
        let hostile = Excess::default();
        for _ in 0..RESETS_MAX {
            hostile.begun();
            hostile.given_up();
        }
        assert_eq!(hostile.met(), None, "a browser may leave so many");
        hostile.begun();
        hostile.given_up();
        assert_eq!(hostile.met(), Some(Bound::Resets));
    }
}
