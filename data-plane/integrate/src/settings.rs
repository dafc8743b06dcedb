//! How a core calls backends: the bounds and times of its pool, its dialling and its bodies.
//!
//! Every field has a default that suits a gateway in front of ordinary backends.

use std::time::Duration;

/// Bounds of one core's upstream side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Idle connections kept per backend. Default 256.
    pub idle_per_backend_max: usize,
    /// Idle connections kept in all. Default 1,024.
    pub idle_max: usize,
    /// How long an idle connection is kept. Default 60 s, below the 75 s after which nginx closes its side.
    pub idle_for: Duration,
    /// Open connections, busy and idle. Default 16,384.
    pub connections_max: usize,
    /// Time to open a connection over all addresses of a backend, TLS included. Default 5 s.
    pub connect_within: Duration,
    /// Longest silence of a backend in the middle of a response body. Default 60 s.
    pub body_stall: Duration,
    /// What is left of a request when its answer begins, in all. Default 30 s, as nginx's `lingering_time` and our own
    /// towards clients; not the integration's time, which is for the answer and may be far shorter than an upload.
    pub remainder_within: Duration,
    /// Requests at once that their answers have overtaken. Default 1,024, so that they never hold more than a sixteenth
    /// of the connections.
    pub remainders_max: usize,
    /// Largest request body, in bytes. Default 10 MiB, AWS's payload limit. More is `FaultKind::BodyTooLarge`.
    pub request_body_bytes_max: u64,
    /// Largest response head, in bytes, at most 65,535. Default 32 KiB.
    pub response_head_bytes_max: usize,
    /// How long a name's addresses are believed. Default 5 s.
    pub names_for: Duration,
    /// How long addresses past `names_for` are still used while the resolver fails. Default 5 min.
    pub names_stale_for: Duration,
    /// Names kept. Default 1,024.
    pub names_max: usize,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            idle_per_backend_max: 256,
            idle_max: 1_024,
            idle_for: Duration::from_secs(60),
            connections_max: 16_384,
            connect_within: Duration::from_secs(5),
            body_stall: Duration::from_secs(60),
            remainder_within: Duration::from_secs(30),
            remainders_max: 1_024,
            request_body_bytes_max: 10 * 1024 * 1024,
            response_head_bytes_max: 32 * 1024,
            names_for: Duration::from_secs(5),
            names_stale_for: Duration::from_secs(300),
            names_max: 1_024,
        }
    }
}
