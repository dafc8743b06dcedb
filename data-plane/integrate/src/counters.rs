//! What one core's upstream side has done, as plain cells that the operations port reads.
//!
//! Promise: counting costs one add; nothing here is shared between cores.

use std::cell::Cell;

use crate::fault::FaultKind;

/// Counters of one core; all but `open` and `idle` only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections opened.
    pub opened: Cell<u64>,
    /// Requests sent on a connection that had served one before.
    pub reused: Cell<u64>,
    /// Requests sent again because their connection had died idle.
    pub retried: Cell<u64>,
    /// Pooled connections found dead, or kept for too long.
    pub expired: Cell<u64>,
    /// Connections that could not be opened.
    pub connect_failures: Cell<u64>,
    /// Names asked of the resolver.
    pub lookups: Cell<u64>,
    /// Exchanges that ended without a whole response, deadlines included.
    pub faults: Cell<u64>,
    /// The same by what went wrong, in the order of [`FaultKind::ALL`].
    pub faults_by_kind: [Cell<u64>; FaultKind::ALL.len()],
    /// Connections that were closed after their exchange, because enough were idle.
    pub unkept: Cell<u64>,
    /// Backends called without a pool, because enough were remembered.
    pub unpooled: Cell<u64>,
    /// Names for which another one that was still good had to be forgotten.
    pub names_dropped: Cell<u64>,
    /// Answers whose connections were ended with them though something of the request was left, because enough others
    /// were being finished.
    pub remainders_refused: Cell<u64>,
    /// Connections that exist now, busy or idle.
    pub open: Cell<u64>,
    /// Connections in the pool now.
    pub idle: Cell<u64>,
}

impl Counters {
    /// Counts a call, or the body of an answer, that failed.
    pub fn failed(&self, kind: FaultKind) {
        add(&self.faults, 1);
        add(&self.faults_by_kind[kind as usize], 1);
    }
}

pub(crate) fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get().wrapping_add(n));
}

pub(crate) fn less(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get().saturating_sub(n));
}
