//! Where compiling and the last-good copy have their place.

/// Which threads a follower uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One for compiling and one for the disk, beside the runtime that calls.
    Own,
    /// None but that of the runtime that calls: for a simulation, in which nothing may run beside anything else.
    Shared,
}
