//! End-to-end tests: one binary, since each links for long.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cluster;
mod github;
mod isolation;
mod keys;
mod recovery;
