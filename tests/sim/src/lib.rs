//! A seeded simulation of the control plane and the config stream.
//!
//! A run is a cluster in one thread, with simulated time, network and disks. Everything that happens in it follows from
//! its seed: run twice, a seed has the same fingerprint. While operators work, nodes crash, networks are cut, disks are slow
//! and clocks jump; the invariants see everything, and what they refuse is printed with the seed that shows it again.
//!
//! Real: openraft; what applying commands does (`sluice-state`); the config stream and the fleet (`sluice-sync`); the data
//! nodes' follower, with its compiling and its last-good copy on a real folder (`sluice-follow`, `sluice-compile`).
//! Modelled: the disks under log and state, the network, the calls between control nodes, and the way of a command into
//! the log, each after the crate whose part it takes (`raft`, `proposal`). Absent: gRPC's bytes, TLS, checks of documents,
//! requests of clients.

mod circumstances;
mod clock;
mod control;
mod data;
mod dice;
mod disk;
mod event;
mod fingerprint;
mod invariants;
mod life;
mod network;
mod operator;
mod pipe;
mod proposal;
mod raft;
mod run;
mod source;
mod trouble;
mod wire;
mod witness;
mod world;

pub use circumstances::{Circumstances, Sabotage};
pub use dice::Dice;
pub use event::{Event, Truth};
pub use invariants::Invariant;
pub use run::{Report, Telling, run};
pub use witness::Violation;
