//! The replicated state machine: commands, apply, and typed reads over an ordered key-value store.
//!
//! Promise: `apply` is synchronous, total and deterministic: the same log gives the same bytes on every node, however it
//! was batched, and no command, however malformed, makes it panic. A refusal is an outcome and leaves no trace but its
//! request id. Absent: clocks, randomness, storage and checks of what documents say; commands carry what apply needs.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod apply;
mod draft;
mod frees;
mod keys;
mod level;
mod memory;
mod on_restore;
mod rows;
mod tables;
mod view;

pub use apply::{Applied, ChangeSet, apply, apply_encoded};
pub use draft::{Draft, Writes};
pub use frees::passes_full_disk;
pub use level::level_of;
pub use memory::MemoryTables;
pub use on_restore::{OnRestore, on_restore};
pub use tables::{Rows, Tables};
pub use view::{AuditKey, Changed, Delta, EntryPage, Gone, Page, Stored, View, VisibleRow};

#[cfg(test)]
mod tests;
