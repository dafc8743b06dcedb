//! Settings of the daemons: one table per program gives the file's keys, the variables, the flags and `--help`.
//!
//! Promise: `--config FILE.toml`, then `SLUICE_*` variables (two underscores step into a table), then flags, later ones
//! winning; an unknown key is refused with the nearest valid one; every value is parsed and in range before a program
//! sees it, and a refusal names where the value came from. Absent: reloading, secrets (settings name files that hold
//! them).

mod command;
mod failure;
mod layers;
mod nearest;
mod table;
mod value;
mod values;

pub use failure::SettingsFailure;
pub use layers::{Sources, read};
pub use table::{Default, Kind, Program, Setting};
pub use values::Values;
