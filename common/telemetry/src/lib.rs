//! Names of every metric and tracing field, with unit, and where a node keeps its numbers.
//!
//! Promise: a name is written here and nowhere else; each node has a recorder of its own, so that many live in one
//! process; handles are registered at assembly, so that counting is one atomic. Absent: the HTTP endpoint (the server's),
//! traces, sketches, and the macros of the `metrics` crate, which would count process-wide.

pub mod bound;
pub mod field;
pub mod metric;
mod recorder;
mod tracing_output;

pub use metrics::{Counter, Gauge, Histogram};

pub use metric::Metric;
pub use recorder::Metrics;
pub use tracing_output::{LogFormat, TracingFailure, init_tracing};
