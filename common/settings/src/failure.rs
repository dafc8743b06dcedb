//! Why a program does not start: for the operator who typed the settings.

use std::path::PathBuf;

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFailure {
    /// The command line: wrong usage, or `--help` and `--version`, which are answers rather than failures.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("expected TOML in {path}: {reason}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A key that no setting has.
    #[error("unknown setting {key} in {origin}; did you mean {nearest}?")]
    Unknown {
        /// As given.
        key: String,
        /// The file or the variable.
        origin: String,
        /// The nearest valid one, in the same form.
        nearest: String,
    },
    /// A value that is none of its kind.
    #[error("setting {key} ({origin}): expected {expected}, found {found:?}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// File, variable or flag.
        origin: String,
        /// Kind and range.
        expected: String,
        /// As given.
        found: String,
    },
    /// A setting without which the program cannot start.
    #[error(
        "setting {key} is required: give --{flag}, {variable}, or {key} in the settings file; for example {example}"
    )]
    Missing {
        /// Which setting.
        key: &'static str,
        /// Its flag.
        flag: String,
        /// Its variable.
        variable: String,
        /// A value that could be given.
        example: &'static str,
    },
}
