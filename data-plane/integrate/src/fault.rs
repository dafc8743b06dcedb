//! What can go wrong between the gateway and a backend, and whose fault it is.
//!
//! Promise: every failure of an exchange becomes exactly one [`Fault`]; none is a panic and none is a bare `io::Error`.
//! Absent: bytes for the client. The pipeline turns a fault into a gateway response.

use std::borrow::Cow;
use std::fmt;

/// What happened, in the words that the operator's metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The backend's response head did not come before the integration's deadline.
    Timeout,
    /// No address of the backend accepted a connection.
    Connect,
    /// The backend's name has no address.
    Resolve,
    /// The TLS handshake failed, or the backend's certificate was refused.
    Tls,
    /// The connection ended before the response did.
    Reset,
    /// The backend sent something that is not a valid HTTP/1 response.
    BadResponse,
    /// The backend stopped sending in the middle of a response body.
    Stalled,
    /// The client ended its request body too early, or its connection.
    ClientGone,
    /// The client stopped sending in the middle of its request body.
    ClientStalled,
    /// The client's request body is larger than the limit.
    BodyTooLarge,
    /// This core already has as many upstream connections as its settings allow.
    Exhausted,
    /// The integration's URI, with its variables filled in, is not one that can be called.
    BadTarget,
    /// The client's values would make a `.` or `..` of a segment of the backend's path.
    DotSegment,
    /// A MOCK has no template for the request's media type, and does not let it pass.
    UnsupportedMediaType,
    /// The status that a MOCK's template names has no integration response.
    NoMockAnswer,
    /// A MOCK's template names no status.
    NoMockStatus,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultOrigin {
    /// The caller of the API.
    Client,
    /// This program or its configuration.
    Gateway,
    /// The backend.
    Integration,
}

/// Whether the same request may be sent again without the risk of doing its work twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing of it reached the backend.
    Safe,
    /// The backend may have acted on it.
    Unsafe,
}

/// Why there is no answer, or why an answer ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Whether another attempt is harmless.
    pub retry: Retry,
    /// For the operator's log: lower case, no secrets, never sent to clients.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault after which the backend may have acted on the request.
    pub fn new(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retry: Retry::Unsafe, detail: detail.into() }
    }

    /// A fault before anything was sent.
    pub fn before_sending(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retry: Retry::Safe, detail: detail.into() }
    }

    /// Whose fault it is; follows from the kind.
    pub fn origin(&self) -> FaultOrigin {
        match self.kind {
            FaultKind::ClientGone
            | FaultKind::ClientStalled
            | FaultKind::BodyTooLarge
            | FaultKind::DotSegment
            | FaultKind::UnsupportedMediaType => FaultOrigin::Client,
            FaultKind::Exhausted | FaultKind::BadTarget | FaultKind::NoMockAnswer | FaultKind::NoMockStatus => {
                FaultOrigin::Gateway
            }
            FaultKind::Timeout
            | FaultKind::Connect
            | FaultKind::Resolve
            | FaultKind::Tls
            | FaultKind::Reset
            | FaultKind::BadResponse
            | FaultKind::Stalled => FaultOrigin::Integration,
        }
    }
}

impl FaultKind {
    /// All of them, in their order.
    pub const ALL: [Self; 16] = [
        Self::Timeout,
        Self::Connect,
        Self::Resolve,
        Self::Tls,
        Self::Reset,
        Self::BadResponse,
        Self::Stalled,
        Self::ClientGone,
        Self::ClientStalled,
        Self::BodyTooLarge,
        Self::Exhausted,
        Self::BadTarget,
        Self::DotSegment,
        Self::UnsupportedMediaType,
        Self::NoMockAnswer,
        Self::NoMockStatus,
    ];

    /// The kind as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            FaultKind::Timeout => "timeout",
            FaultKind::Connect => "connect",
            FaultKind::Resolve => "resolve",
            FaultKind::Tls => "tls",
            FaultKind::Reset => "reset",
            FaultKind::BadResponse => "bad_response",
            FaultKind::Stalled => "stalled",
            FaultKind::ClientGone => "client_gone",
            FaultKind::ClientStalled => "client_stalled",
            FaultKind::BodyTooLarge => "body_too_large",
            FaultKind::Exhausted => "exhausted",
            FaultKind::BadTarget => "bad_target",
            FaultKind::DotSegment => "dot_segment",
            FaultKind::UnsupportedMediaType => "unsupported_media_type",
            FaultKind::NoMockAnswer => "no_mock_answer",
            FaultKind::NoMockStatus => "no_mock_status",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.label(), self.detail)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_their_order() {
        for (at, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "{}", kind.label());
        }
    }
}
