//! Why a call was refused, for the one who made it.
//!
//! Promise: every refusal carries a stable code and, for faults of a configuration, all diagnostics at once; a
//! [`tonic::Status`] made of it holds them as encoded `sluice.admin.v1.ErrorDetails`. Absent: failures of the node
//! itself, which stop it where they happen.

use prost::Message as _;
use sluice_proto::{
    admin::ErrorDetails,
    model::Diagnostic,
    raft::{Rejected, RowRef, Table, rejected},
};
use tonic::{Code, Status};

/// Metadata that marks an answer of a node which is not the leader: the call may be tried elsewhere.
pub(crate) const NOT_LEADER: &str = "sluice-not-leader";

/// The kinds of refusal; each is one stable code and one gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Something that was named does not exist.
    NotFound,
    /// Something else already has this id, name, path or value.
    Conflict,
    /// Someone else changed the row meanwhile.
    VersionChanged,
    /// The request or the document is wrong; diagnostics say where.
    Invalid,
    /// Another row still refers to this one.
    Referenced,
    /// The request id was used for another request.
    RequestReused,
    /// The request id is older than what is remembered.
    RequestTooOld,
    /// A bound of the product is reached.
    Capacity,
    /// There is too little free disk on control nodes.
    DiskFull,
    /// The document needs a feature level that the cluster does not have.
    Level,
    /// A join token is used up or expired.
    Expired,
    /// The caller may not do this.
    Denied,
    /// The cluster, as its members stand, cannot do without what would go.
    Members,
    /// This node is not the leader.
    NotLeader,
    /// The caller stopped sending a request that has several messages; nothing was changed.
    Silent,
    /// There was no answer in time; the change may or may not have been made.
    OutcomeUnknown,
    /// The node cannot serve the call now.
    Unavailable,
}

impl Reason {
    /// The stable code, kebab-case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::VersionChanged => "version-changed",
            Self::Invalid => "invalid",
            Self::Referenced => "referenced",
            Self::RequestReused => "request-reused",
            Self::RequestTooOld => "request-too-old",
            Self::Capacity => "capacity",
            Self::DiskFull => "disk-full",
            Self::Level => "level",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Members => "members",
            Self::NotLeader => "not-leader",
            Self::Silent => "silent",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::Conflict => Code::AlreadyExists,
            Self::VersionChanged => Code::Aborted,
            Self::Invalid => Code::InvalidArgument,
            Self::Referenced | Self::RequestReused | Self::RequestTooOld | Self::Level | Self::Members => {
                Code::FailedPrecondition
            }
            Self::Capacity | Self::DiskFull => Code::ResourceExhausted,
            Self::Expired => Code::Unauthenticated,
            Self::Denied => Code::PermissionDenied,
            Self::Silent | Self::OutcomeUnknown => Code::DeadlineExceeded,
            Self::NotLeader | Self::Unavailable => Code::Unavailable,
        }
    }
}

/// A refusal: what kind, in words, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The kind.
    pub reason: Reason,
    /// One line for people: lower case, what was expected, found, and what to do.
    pub message: String,
    /// Faults by field path; empty where the message says it all.
    pub diagnostics: Vec<Diagnostic>,
}

impl Refused {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), diagnostics: Vec::new() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Reason::Conflict, message)
    }

    /// One fault at one field.
    pub(crate) fn invalid(at: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::faults(vec![fault("invalid", at, message, hint)])
    }

    /// A feature that is stored or known but that this release cannot run.
    pub(crate) fn not_supported(at: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::faults(vec![fault("not-supported-yet", at, message, hint)])
    }

    /// Faults of a configuration; the message is the first of them.
    pub(crate) fn faults(diagnostics: Vec<Diagnostic>) -> Self {
        let errors = diagnostics.iter().filter(|one| one.severity != "warning").count();
        let first = diagnostics.iter().find(|one| one.severity != "warning");
        let mut message = first.map_or_else(|| "the request is not valid".to_owned(), in_words);
        if errors > 1 {
            message.push_str(&format!(" (and {} more)", errors - 1));
        }
        Self { reason: Reason::Invalid, message, diagnostics }
    }

    /// The same refusal with every field path under `prefix`.
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        for diagnostic in &mut self.diagnostics {
            diagnostic.at = join(prefix, &diagnostic.at);
        }
        if self.diagnostics.is_empty() {
            self.diagnostics.push(fault(self.reason.code(), prefix, self.message.clone(), ""));
        }
        self
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

/// A diagnostic of severity error.
pub(crate) fn fault(
    code: &str,
    at: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        at: at.into(),
        message: message.into(),
        hint: hint.into(),
        severity: "error".to_owned(),
    }
}

fn in_words(diagnostic: &Diagnostic) -> String {
    if diagnostic.at.is_empty() {
        diagnostic.message.clone()
    } else {
        format!("{}: {}", diagnostic.at, diagnostic.message)
    }
}

/// Whether another node refused for this reason.
pub(crate) fn is_of(status: &Status, reason: Reason) -> bool {
    ErrorDetails::decode(status.details()).is_ok_and(|details| details.code == reason.code())
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let details = ErrorDetails { code: refused.reason.code().to_owned(), diagnostics: refused.diagnostics };
        let mut status = Status::with_details(refused.reason.status(), refused.message, details.encode_to_vec().into());
        if refused.reason == Reason::NotLeader {
            status.metadata_mut().insert(NOT_LEADER, tonic::metadata::MetadataValue::from_static("1"));
        }
        status
    }
}

/// What apply answered, in the words of the caller.
impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        use rejected::Code;
        let reason = match rejected.code() {
            Code::NotFound => Reason::NotFound,
            Code::AlreadyExists | Code::NotUnique => Reason::Conflict,
            Code::VersionChanged => Reason::VersionChanged,
            Code::Referenced => Reason::Referenced,
            Code::RequestReused => Reason::RequestReused,
            Code::RequestTooOld => Reason::RequestTooOld,
            Code::Capacity => Reason::Capacity,
            Code::Level => Reason::Level,
            Code::Expired => Reason::Expired,
            Code::Invalid | Code::Unspecified => Reason::Invalid,
        };
        let row = rejected.row.as_ref().map(row_in_words).unwrap_or_default();
        let other = rejected.other.as_ref().map(row_in_words).unwrap_or_default();
        let refused = Refused::new(reason, rejection_in_words(rejected.code(), &row, &other, &rejected.message));
        // A bound is met by a change that is right in itself: say what to do with it.
        let diagnostics = match reason {
            Reason::Capacity => {
                vec![fault(reason.code(), row, refused.message.as_str(), "split it into smaller ones")]
            }
            _ => Vec::new(),
        };
        Refused { diagnostics, ..refused }
    }
}

fn rejection_in_words(code: rejected::Code, row: &str, other: &str, message: &str) -> String {
    use rejected::Code;
    match code {
        Code::NotFound if !row.is_empty() => format!("{row} does not exist"),
        Code::AlreadyExists if !row.is_empty() => format!("{row} already exists"),
        Code::VersionChanged if !row.is_empty() => {
            format!("{row} was changed by someone else; read it again and repeat the change")
        }
        Code::Referenced if !other.is_empty() => format!("{row} is still used by {other}; remove that first"),
        Code::NotUnique if !other.is_empty() => format!("{other} already has this value"),
        Code::RequestReused => "this request id was used for another request; make a new one".to_owned(),
        Code::RequestTooOld => {
            "this request id is older than what is remembered; whether it was carried out is not known".to_owned()
        }
        _ if !message.is_empty() => message.to_owned(),
        _ => format!("the change was refused: {}", code.as_str_name().to_lowercase()),
    }
}

/// A row as people name it: `stage prod of abc`.
pub(crate) fn row_in_words(row: &RowRef) -> String {
    let noun = match row.table() {
        Table::RestApi => "api",
        Table::Resource => "resource",
        Table::Method => "method",
        Table::Model => "model",
        Table::RequestValidator => "request validator",
        Table::Authorizer => "authorizer",
        Table::GatewayResponse => "gateway response",
        Table::Deployment => "deployment",
        Table::Stage => "stage",
        Table::ApiKey => "api key",
        Table::Plan => "usage plan",
        Table::PlanKey => "key of a usage plan",
        Table::Node => "node",
        Table::JoinToken => "join token",
        Table::Operator => "operator",
        Table::Audit | Table::RefusedCall => "entry of the audit trail",
        Table::Owned => "ownership",
        Table::RevokedNode | Table::RemovedNode => "removed node",
        Table::Probe => "probe",
        Table::Part => "part",
        Table::Content => "content",
        Table::KeyView | Table::Domain | Table::Setting | Table::Unspecified => "row",
    };
    match row.key.as_slice() {
        [] => noun.to_owned(),
        [one] => format!("{noun} {one}"),
        [api, rest @ ..] => format!("{noun} {} of {api}", rest.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_diagnostics_in_the_status() {
        let status = Status::from(Refused::invalid("stage.deploymentId", "expected a deployment", "deploy first"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = ErrorDetails::decode(status.details()).unwrap();
        assert_eq!(details.code, "invalid");
        assert_eq!(details.diagnostics[0].at, "stage.deploymentId");
    }

    #[test]
    fn a_bound_that_is_met_has_a_code_and_says_what_to_do() {
        let message = "expected at most 10 rows, found 11".to_owned();
        let rejected = Rejected { code: rejected::Code::Capacity.into(), message, ..Rejected::default() };
        let refused = Refused::from(rejected);
        assert_eq!(refused.reason, Reason::Capacity);
        let [one] = refused.diagnostics.as_slice() else { panic!("{:?}", refused.diagnostics) };
        assert_eq!((one.code.as_str(), one.message.as_str()), ("capacity", "expected at most 10 rows, found 11"));
        assert!(!one.hint.is_empty());
    }

    #[test]
    fn a_rejection_names_both_rows() {
        let row = |table: Table, key: &[&str]| RowRef {
            table: table.into(),
            key: key.iter().map(|part| (*part).to_owned()).collect(),
        };
        let rejected = Rejected {
            code: rejected::Code::Referenced.into(),
            row: Some(row(Table::Stage, &["abc", "prod"])),
            other: Some(row(Table::Plan, &["gold"])),
            ..Rejected::default()
        };
        let refused = Refused::from(rejected);
        assert_eq!(refused.message, "stage prod of abc is still used by usage plan gold; remove that first");
    }
}
