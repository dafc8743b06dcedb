//! The harness of the end-to-end tests: real processes on loopback, driven as an operator would.
//!
//! Promise: everything started here is stopped when its handle is dropped; every wait is on a condition and has a deadline.
//! Absent: access to the insides of a node; a test knows what the command line, HTTP and gRPC show.

pub mod backend;
pub mod balancer;
pub mod certified;
pub mod cli;
pub mod cluster;
pub mod dev;
pub mod fixture;
pub mod follow;
pub mod grpc;
pub mod history;
pub mod http;
pub mod load;
pub mod machines;
pub mod netns;
pub mod node;
pub mod power;
pub mod process;
pub mod relay;
pub mod tls;
pub mod volume;
pub mod wait;
pub mod writer;
