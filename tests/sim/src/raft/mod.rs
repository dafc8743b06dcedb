//! openraft on a simulated disk and network.
//!
//! Real: openraft itself, its settings, and what applying does to the state. Modelled after `sluice-raft`: the log, with
//! the moment in which what was written is on disk; the state with its checkpoints; the calls between nodes; who leads;
//! linearizable reads; how learners become voters.

pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod members;
pub(crate) mod peers;
pub(crate) mod read;
pub(crate) mod types;

#[cfg(test)]
mod suite;
