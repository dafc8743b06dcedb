//! The bounds that a traffic core counts when they are hit.
//!
//! Absent: what has a count of its own: limits of requests (`ThrottledBy`), and calls that failed (`FaultKind`).

/// A bound that was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Connections at once: one more was closed.
    Connections,
    /// The rate of connections of one address: one more was closed.
    ConnectionRate,
    /// Connections at once of one address: one more was closed.
    AddressConnections,
    /// Connections at once whose TLS handshake or PROXY header is not done: the oldest of them was ended for a new one.
    Handshakes,
    /// The time for a TLS handshake and a PROXY header: its connection was ended.
    HandshakeTime,
    /// What the system has: a connection could not be accepted, for want of descriptors or memory.
    Descriptors,
    /// The head of a request: it was refused.
    HeadBytes,
    /// The body of a request: it was refused.
    BodyBytes,
    /// The time for a head: its connection was ended.
    HeadTime,
    /// The time between two requests: their connection was ended.
    IdleTime,
    /// The time for a client to take more of its response: its connection was ended.
    SendTime,
    /// The time for a client to stop sending after its last response: its connection was ended.
    LingerTime,
    /// Requests that a client of HTTP/2 began and gave up: its connection was ended.
    Resets,
    /// Frames that began no request: their connection was ended.
    IdleFrames,
    /// Stages that are counted by name: one more is counted with what reached no stage.
    Stages,
    /// Idle connections to backends: one more was closed rather than kept.
    UpstreamIdle,
    /// Backends that are remembered: one more was called without its idle connections.
    UpstreamBackends,
    /// Names of backends that are remembered: a good one was forgotten for another.
    UpstreamNames,
    /// Requests at once that their answers have overtaken: one more was given up with its answer.
    Remainders,
}

/// The label of each, in their order.
pub const BOUNDS: [&str; 19] = [
    "connections",
    "connection_rate",
    "address_connections",
    "handshakes",
    "handshake_time",
    "descriptors",
    "head_bytes",
    "body_bytes",
    "head_time",
    "idle_time",
    "send_time",
    "linger_time",
    "resets",
    "idle_frames",
    "stages",
    "upstream_idle",
    "upstream_backends",
    "upstream_names",
    "remainders",
];
