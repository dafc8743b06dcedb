//! One control-plane node: settings and assembly.
//!
//! Promise: everything that makes a node is wired in `assembly`, read top-down; nothing is process-wide, so that many nodes
//! live in one process. Absent: what the parts do.

mod assembly;
mod calls;
mod certificates;
mod data_dir;
mod drain;
mod failure;
mod housekeeping;
mod http;
mod levels;
mod membership;
mod node;
#[cfg(test)]
mod node_tests;
mod on_runtime;
mod parts;
mod removal;
mod sessions;
mod settings;

pub use failure::StartFailure;
pub use node::ControlNode;
pub use settings::{LogFormat, Settings};
