//! Log lines of a process: to standard error, as text or JSON.
//!
//! The one process-wide thing of Sluice. Binaries call it once; libraries and tests never do. Lines of a node carry its
//! `node_id` through the span that the node runs in.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line per event, for people.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

impl LogFormat {
    /// Reads `text` or `json`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why log lines cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracingFailure {
    /// The filter is none.
    #[error("expected a log filter such as info or sluice=debug,info, found {filter:?}: {reason}")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was set up before.
    #[error("log output was set up twice in this process")]
    Twice,
}

/// Sends log lines of this process to standard error. `filter` is what `tracing-subscriber` reads: `info`,
/// `sluice_raft=debug,info`.
///
/// # Errors
/// `Filter` when the filter cannot be read, `Twice` when it was called before.
pub fn init_tracing(format: LogFormat, filter: &str) -> Result<(), TracingFailure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| TracingFailure::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal();
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => registry.with(output).try_init(),
        LogFormat::Json => registry.with(output.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| TracingFailure::Twice)
}
