//! Refusals as the files of `sluice-admin` make them: that crate's own know gRPC.

use sluice_proto::model::Diagnostic;

/// Why something is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Refused {
    pub(crate) fn invalid(at: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::faults(vec![fault("invalid", at, message, hint)])
    }

    pub(crate) fn faults(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics }
    }
}

pub(crate) fn fault(
    code: impl Into<String>,
    at: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        code: code.into(),
        at: at.into(),
        message: message.into(),
        hint: hint.into(),
        severity: "error".to_owned(),
    }
}

/// Joins two field paths.
pub(crate) fn join(prefix: &str, at: &str) -> String {
    match (prefix.is_empty(), at.is_empty()) {
        (true, _) => at.to_owned(),
        (false, true) => prefix.to_owned(),
        (false, false) if at.starts_with('[') => format!("{prefix}{at}"),
        (false, false) => format!("{prefix}.{at}"),
    }
}
