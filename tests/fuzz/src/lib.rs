//! Fuzz targets: what Sluice parses itself, and what must hold whatever it is given.
//!
//! Each target is a function over bytes that panics when a promise is broken. `tests/mutations.rs` runs all of them on
//! seeds and on mutations of seeds, so that they cannot rot; libFuzzer runs one for as long as one likes:
//!
//! ```sh
//! cargo install cargo-fuzz
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --features libfuzzer documents tests/fuzz/seeds/documents
//! ```
//!
//! Parsers of crates that are not PURE are taken in as files, by their paths, so that a target builds without sockets.
//! Absent: parsers of others (HTTP towards clients is hyper's, YAML and JSON are serde's, messages are prost's) but through
//! ours.

pub mod commands;
pub mod documents;
pub mod keys;
pub mod openapi;
pub mod patches;
pub mod proxy_protocol;
pub mod response;
pub mod rows;
pub mod settings;
pub mod stream;
pub mod tokens;

mod noun;
mod refused;
mod script;
mod taken;

// They name each other as parts of the crate they are from.
use taken::{
    chunked, fault, fields, holding, key_csv, nearest, patch, quantity, record, response as response_head, row_store,
    schema, table, token_text,
};

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its binary and of its folder of seeds.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Seeds beside those of the folder, where they are no text.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What mutations put in: words that lead somewhere.
    pub words: &'static [&'static str],
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    commands::TARGET,
    documents::TARGET,
    keys::TARGET,
    openapi::TARGET,
    patches::TARGET,
    proxy_protocol::TARGET,
    response::TARGET,
    rows::TARGET,
    settings::TARGET,
    stream::TARGET,
    tokens::TARGET,
];
