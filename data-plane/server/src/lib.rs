//! One data-plane node: listeners, HTTP engine, operations port, drain.
//!
//! A node is some traffic cores, each a thread with a socket, connections, counters and backends of its own, and one
//! runtime for all that is not traffic. Promise: no process-wide state; what a core does for a request is
//! `sluice-pipeline`. Absent: WebSockets.

mod bounds;
mod configuration;
mod connection;
mod drain;
mod entry;
mod excess;
mod exposition;
mod folder_lock;
mod handshakes;
mod listener;
mod node;
mod operations;
mod settings;
mod spread;
mod tls;
mod traffic;
mod watch;

pub use configuration::ConfigurationFailure;
pub use folder_lock::FolderFailure;
pub use listener::ListenFailure;
pub use node::{DataNode, StartFailure};
pub use settings::{PathAddresses, Settings};
pub use tls::{CertificateFailure, ClientTlsFailure};
