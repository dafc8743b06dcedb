//! Why a command did not do what it was told, and the exit status that says so.
//!
//! Promise: the exit statuses of the README, whatever failed: 1 nothing changed, 2 wrong usage, 3 outcome unknown,
//! 4 someone else changed it, 5 committed but not served everywhere.

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use prost::Message as _;
use serde_json::{Value, json};
use sluice_proto::{admin::ErrorDetails, model::Diagnostic};
use tonic::{Code, Status};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// Failed, and nothing changed. For `diff`: there are differences; for `key import`: some rows were left out.
    Failed = 1,
    /// Wrong usage, or an ambiguous name.
    Usage = 2,
    /// Not reachable, or the outcome is not known. Safe to repeat with the same request id.
    Unknown = 3,
    /// Someone else changed it.
    Lost = 4,
    /// Committed, but not served everywhere in time.
    NotServed = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable, kebab-case.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), diagnostics: Vec::new() }
    }

    /// Something local failed, before anything was changed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "not-found", message)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, failure: &std::io::Error) -> Self {
        Self::failed(format!("{}: {failure}", path.display()))
    }

    /// The form of errors for scripts.
    pub(crate) fn to_json(&self) -> Value {
        let diagnostics = self.diagnostics.iter().map(diagnostic_json).collect::<Vec<_>>();
        json!({"error": {"code": self.code, "message": self.message, "diagnostics": diagnostics}})
    }

    /// The form of errors for people: the message, unless it only repeats the first problem, then each problem with its
    /// place and what to do.
    pub(crate) fn to_text(&self) -> String {
        let repeats = self.diagnostics.first().is_some_and(|first| self.message.contains(&first.message));
        let headline = (!repeats).then(|| format!("error: {}", self.message));
        let indent = if repeats { "" } else { "  " };
        let problems = self.diagnostics.iter().map(|diagnostic| format!("{indent}{}", diagnostic_text(diagnostic)));
        headline.into_iter().chain(problems).collect::<Vec<_>>().join("\n")
    }
}

/// One problem as JSON.
pub(crate) fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    json!({
        "at": diagnostic.at,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "severity": diagnostic.severity,
    })
}

/// One problem as a line, and its hint as another.
pub(crate) fn diagnostic_text(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, at, message, hint, severity } = diagnostic;
    let place = if at.is_empty() { String::new() } else { format!(" {at}:") };
    let hint = if hint.is_empty() { String::new() } else { format!("\n      hint: {hint}") };
    format!("{severity}:{place} {message} [{code}]{hint}")
}

impl Failure {
    /// What a status says.
    pub(crate) fn of(status: &Status) -> Self {
        let details = ErrorDetails::decode(status.details()).unwrap_or_default();
        let exit = exit_of(&details.code, status.code());
        let code = if details.code.is_empty() { kebab(status.code()) } else { details.code };
        Self { exit, code, message: words(status), diagnostics: details.diagnostics }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let failure = Self::of(&status);
        match failure.exit {
            Exit::Unknown => {
                let message = format!("{}; whether it was done is not known", failure.message);
                Self { message, ..failure }
            }
            _ => failure,
        }
    }
}

/// The exit status of a refused call: by its stable code where it has one, else by gRPC's.
fn exit_of(code: &str, status: Code) -> Exit {
    match (code, status) {
        ("version-changed", _) => Exit::Lost,
        ("outcome-unknown" | "unavailable" | "not-leader" | "request-too-old", _) => Exit::Unknown,
        ("", Code::Aborted) => Exit::Lost,
        (
            "",
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss,
        ) => Exit::Unknown,
        _ => Exit::Failed,
    }
}

fn kebab(code: Code) -> String {
    format!("{code:?}").chars().fold(String::new(), |mut name, character| {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
        name
    })
}

/// The message of a status; for a broken connection what lies beneath it too.
fn words(status: &Status) -> String {
    let mut text = if status.message().is_empty() { kebab(status.code()) } else { status.message().to_owned() };
    let mut cause = std::error::Error::source(status);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // The library's name for all that follows.
        if inner_text != "transport error" && !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// What the parser refused: usage as text, or as JSON for those who asked for it; help and version are no errors.
pub(crate) fn refused_by_parser(refused: &clap::Error, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    if !refused.use_stderr() {
        // A closed pipe (`sluice --help | head`) is no error.
        drop(refused.print());
        return Exit::Done.into();
    }
    if wants_json(arguments) {
        let text = refused.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::usage(message);
        drop(writeln!(std::io::stderr(), "{}", failure.to_json()));
    } else {
        drop(refused.print());
    }
    Exit::Usage.into()
}

fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let joined = ["-ojson", "-o=json", "--output=json"];
    arguments.iter().any(|argument| joined.contains(&argument.as_str()))
        || arguments.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_exit_status() {
        let table = [
            ("not-found", Code::NotFound, Exit::Failed),
            ("invalid", Code::InvalidArgument, Exit::Failed),
            ("conflict", Code::AlreadyExists, Exit::Failed),
            ("referenced", Code::FailedPrecondition, Exit::Failed),
            ("capacity", Code::ResourceExhausted, Exit::Failed),
            ("denied", Code::PermissionDenied, Exit::Failed),
            ("version-changed", Code::Aborted, Exit::Lost),
            ("outcome-unknown", Code::DeadlineExceeded, Exit::Unknown),
            ("request-too-old", Code::FailedPrecondition, Exit::Unknown),
            ("unavailable", Code::Unavailable, Exit::Unknown),
            ("", Code::Unavailable, Exit::Unknown),
            ("", Code::DeadlineExceeded, Exit::Unknown),
            ("", Code::Internal, Exit::Unknown),
            ("", Code::Aborted, Exit::Lost),
            ("", Code::Unauthenticated, Exit::Failed),
            ("", Code::Unimplemented, Exit::Failed),
        ];
        for (code, status, exit) in table {
            assert_eq!(exit_of(code, status), exit, "{code} {status:?}");
        }
    }

    #[test]
    fn details_of_a_status_become_diagnostics() {
        let diagnostic = Diagnostic {
            code: "invalid".into(),
            at: "stage.name".into(),
            message: "expected a name".into(),
            hint: "give one".into(),
            severity: "error".into(),
        };
        let details = ErrorDetails { code: "invalid".into(), diagnostics: vec![diagnostic] };
        let status = Status::with_details(Code::InvalidArgument, "not valid", details.encode_to_vec().into());
        let failure = Failure::from(status);
        assert_eq!(
            failure.to_text(),
            "error: not valid\n  error: stage.name: expected a name [invalid]\n      hint: give one"
        );
        let repeating = Failure { message: "stage.name: expected a name (and 1 more)".to_owned(), ..failure.clone() };
        assert_eq!(repeating.to_text(), "error: stage.name: expected a name [invalid]\n      hint: give one");
        assert_eq!(failure.to_json()["error"]["diagnostics"][0]["at"], "stage.name");
    }

    #[test]
    fn a_status_without_details_is_named_by_its_grpc_code() {
        let failure = Failure::from(Status::permission_denied("no"));
        assert_eq!((failure.code.as_str(), failure.exit), ("permission-denied", Exit::Failed));
    }

    #[test]
    fn json_is_asked_for_in_every_spelling() {
        let asked = |line: &str| wants_json(line.split(' ').map(OsString::from));
        for line in ["-o json x", "x -ojson", "--output json", "--output=json", "-o=json"] {
            assert!(asked(line), "{line}");
        }
        for line in ["x", "-o yaml", "json", "-o"] {
            assert!(!asked(line), "{line}");
        }
    }
}
