//! End-to-end tests: one binary, since each links for long.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod agreement;
mod catch_up;
mod cluster;
mod endurance;
mod files;
mod github;
mod imports;
mod in_process;
mod isolation;
mod keys;
mod recovery;
mod reflection;
mod traffic;
