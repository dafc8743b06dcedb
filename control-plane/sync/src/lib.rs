//! The config stream to data nodes, and the fleet view: who serves which revision.
//!
//! Promise: a data node is told of a change as soon as this node has applied it, with one change in flight and the next
//! spanning all that happened meanwhile; it is never led back within a generation, and another generation reaches it only
//! whole; what it answers is known to the leader without a timer; it is sent elsewhere when its answers reach no leader, and for good when
//! it was removed.
//! Absent: leases and telemetry, which have streams of their own.

mod fleet;
mod source;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timing;

pub use fleet::{Fleet, Order};
pub use source::{Blocking, Source};
pub use stream::{Caller, SyncServer};
