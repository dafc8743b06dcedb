//! End-to-end tests: one binary, since each links for long.

mod cluster;
mod github;
mod isolation;
mod keys;
mod recovery;
