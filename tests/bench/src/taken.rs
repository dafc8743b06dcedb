//! What the data node's own tests pour, taken in by its paths.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "written for those tests, which use all of it and fail by panicking"
)]

use std::time::Duration;

#[path = "../../../data-plane/server/tests/rig/flood.rs"]
pub(crate) mod flood;
#[path = "../../../data-plane/server/tests/rig/frames.rs"]
pub(crate) mod frames;

/// How long the other side of a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
