//! Why a daemon does not start: for the operator who typed the settings.

use std::{io, path::PathBuf};

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFailure {
    /// A flag or a value is wrong; or help or the version was asked for.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the settings file {}: {source}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("expected TOML in the settings file {}: {source}", .path.display())]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where, and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A key that no setting has.
    #[error("unknown setting {found} in {place}; did you mean {nearest}?")]
    Unknown {
        /// The key as written.
        found: String,
        /// The file or the environment.
        place: String,
        /// The nearest key that exists, in the same form.
        nearest: String,
    },
    /// A value that is neither text, number, flag nor list of them.
    #[error("setting {key} in {}: expected text, a number, a flag or a list, found a {found}", .path.display())]
    WrongShape {
        /// The key.
        key: String,
        /// Which file.
        path: PathBuf,
        /// The kind of value.
        found: &'static str,
    },
}

impl SettingsFailure {
    /// Says what is wrong on standard error, or what was asked for on standard output, and gives the exit status.
    pub fn report(&self) -> std::process::ExitCode {
        const WRONG_USAGE: u8 = 2;
        match self {
            // The output may be closed; then there is no one to tell.
            Self::Usage(usage) => drop(usage.print()),
            failure => eprintln!("error: {failure}"),
        }
        match self {
            Self::Usage(usage) if !usage.use_stderr() => std::process::ExitCode::SUCCESS,
            _ => std::process::ExitCode::from(WRONG_USAGE),
        }
    }
}

/// A failure and what lies beneath it, each thing once: many a failure names its cause in its own words already.
pub fn whole(failure: &(dyn std::error::Error + 'static)) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Outer {
        words: &'static str,
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once() {
        let said = |words| whole(&Outer { words, source: io::Error::other("port taken") });
        assert_eq!(said("cannot listen: port taken; choose another"), "cannot listen: port taken; choose another");
        assert_eq!(said("cannot listen"), "cannot listen: port taken");
    }
}
