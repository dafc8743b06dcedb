//! Gives memory that was freed back to the system.
//!
//! mimalloc keeps the pages that a thread has freed until that thread allocates much more. Threads that take in the
//! configuration free a lot at once, then wait for hours: what an import left behind, more than its rows need, would
//! stay with the process. Promise: nothing that is in use moves or goes; a thread trims when it is idle, never another one.
//! Absent: when it is worth it; who asks knows.
//!
//! The count of asks is of the process, the one exception to state being a node's own: the allocator is of the process too,
//! and a thread that trims gives back what any node of it left. Two nodes of one process, as in tests and `sluice dev`, trim
//! for each other, which costs a look at pages and changes nothing else.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

/// How often it was asked for, by any node of the process.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How often it had been asked for when this thread last trimmed.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// Asks every thread that calls [`when_asked`] to trim.
pub fn ask() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Trims if it was asked for since this thread last did; for threads to call before they wait.
pub fn when_asked() {
    let asked = ASKED.load(Ordering::Relaxed);
    if SEEN.replace(asked) != asked {
        trim();
    }
}

/// Gives the free pages of the calling thread's heap back to the system, and those of the process that no thread has.
///
/// Cost: a look at every page of the thread, some milliseconds for 100 MiB. Without effect in a process that has another
/// allocator.
#[expect(unsafe_code, reason = "mimalloc offers this to C only")]
fn trim() {
    // SAFETY: `mi_collect` takes no pointers and keeps none. It may be called by any thread at any time, also in one that
    // has never allocated with mimalloc, whose empty heap it then makes; it works on the calling thread's own heap and,
    // under mimalloc's own locks, on pages that are free (mimalloc's manual, "mi_collect").
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

    /// Bytes of this process that are in memory and its own.
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux says what a process has in memory");
        let lines = text.lines().filter(|line| line.starts_with("Private_"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() * 1024
    }

    #[test]
    fn what_was_freed_goes_and_what_is_used_stays() {
        let kept: Vec<Box<[u8]>> = (0..100_u8).map(|byte| vec![byte; 1_000].into()).collect();
        let before = resident();
        let freed: Vec<Box<[u8]>> = (0..100_000).map(|_| vec![1; 1_000].into()).collect();
        let full = resident();
        drop(freed);
        ask();
        when_asked();
        let trimmed = resident();
        // How much of it comes back is the allocator's affair, and the system's: most of it, or trimming does nothing.
        let (grown, gone) = (full.saturating_sub(before), full.saturating_sub(trimmed));
        assert!(gone > grown / 2, "of {grown} bytes, {gone} came back");
        assert!(kept.iter().zip(0..100_u8).all(|(bytes, byte)| bytes.iter().all(|found| *found == byte)));
    }
}
