//! How a daemon reads its settings: file, then variables, then flags, into one typed struct.
//!
//! Promise: a setting's one name is its variable: `SLUICE_LISTEN__ADMIN` is `admin` in the table `[listen]` of the file
//! `--config` names, and `--listen-admin`; flags win over variables, which win over the file; an unknown key is refused
//! with the nearest valid one, but for variables of Sluice's other programs. Absent: which settings there are (each
//! daemon's struct, read by clap), secrets (settings name the files that hold them), reloading.

mod failure;
mod quantity;
mod source;
mod table;
mod variable;

pub use failure::{SettingsFailure, whole};
pub use quantity::{bytes_within, time_within};
pub use source::{defaults, load, load_from};
pub use variable::VARIABLES;
