//! The bounds whose hits are counted: values of the label `kind` of `sluice_bounds_hit_total`.
//!
//! A bound that ends in an error of its own kind is counted there too: `sluice_throttled_total`,
//! `sluice_integration_faults_total`, `sluice_raft_proposals_total`, the codes of `sluice_admin_calls_total`.

/// Data nodes that stream from one control node: one more was refused.
pub const SESSIONS: &str = "sessions";
/// Whole snapshots that are read at once: a data node waited for its turn.
pub const SNAPSHOTS: &str = "snapshots";
/// Bytes of deltas, of one or of all that a control node holds: a snapshot was due instead.
pub const DELTA_BYTES: &str = "delta_bytes";
/// The time for a data node to read a message: its stream was ended.
pub const SESSION_SEND_TIME: &str = "session_send_time";
/// Writes of the log that wait for the disk: one more had to wait before it was taken.
pub const LOG_QUEUE: &str = "log_queue";
/// Refused calls that wait for their place in the audit trail: one more was not recorded.
pub const REFUSED_CALLS: &str = "refused_calls";
/// Connections to the port of health and metrics: one more waited.
pub const OPERATIONS_CONNECTIONS: &str = "operations_connections";
/// Buckets of rate limits: a request that needed one more was refused.
pub const BUCKETS: &str = "buckets";
/// Addresses whose connections are counted: one of another was let in uncounted.
pub const ADDRESSES: &str = "addresses";
/// Changes that wait for the disk of a data node: one was left out, and the copy is written anew.
pub const DISK_QUEUE: &str = "disk_queue";
/// Work of the compiling thread of a data node: its control node was held up.
pub const FOLLOW_QUEUE: &str = "follow_queue";
/// Messages to a control node: it did not read, and was left.
pub const FOLLOW_OUTGOING: &str = "follow_outgoing";

/// Those of control nodes.
pub const CONTROL: &[&str] =
    &[SESSIONS, SNAPSHOTS, DELTA_BYTES, SESSION_SEND_TIME, LOG_QUEUE, REFUSED_CALLS, OPERATIONS_CONNECTIONS];
/// Those of data nodes that are not counted on traffic cores.
pub const DATA: &[&str] = &[BUCKETS, ADDRESSES, OPERATIONS_CONNECTIONS, FOLLOW_QUEUE, FOLLOW_OUTGOING, DISK_QUEUE];
/// Those of traffic cores, in the order in which they are counted there (`sluice_pipeline::Bound` says what each is).
pub const CORES: [&str; 19] = [
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
