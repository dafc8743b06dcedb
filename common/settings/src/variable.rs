//! The variables of all programs of Sluice: what one program finds in its environment may be meant for another.
//!
//! Promise: complete; `tests/tidy` compares it with the sources. Absent: what they mean, which is each program's.

/// The variable that names the file of settings.
pub(crate) const CONFIG: &str = "SLUICE_CONFIG";

/// Every variable that some program of Sluice, its build or its tests read. A daemon refuses any other that begins with
/// `SLUICE_`, since it is a slip of the pen, and lets those of other programs pass: one shell, or one file of variables,
/// may serve several.
pub const VARIABLES: [&str; 42] = [
    CONFIG,
    "SLUICE_ADVERTISE",
    "SLUICE_ADVERTISE_ADMIN",
    "SLUICE_BACKEND__CA_FILE",
    "SLUICE_BOOTSTRAP",
    "SLUICE_CACHE",
    "SLUICE_CA_FILE",
    "SLUICE_CERTIFICATE_LIFETIME",
    "SLUICE_CONTEXT",
    "SLUICE_CONTROL",
    "SLUICE_CORES",
    "SLUICE_DATA_DIR",
    "SLUICE_DRAIN_DELAY",
    "SLUICE_DRAIN_TIMEOUT",
    "SLUICE_FOLLOW",
    "SLUICE_INSECURE",
    "SLUICE_JOIN",
    "SLUICE_JOIN_PATIENCE",
    "SLUICE_JOIN_TOKEN_FILE",
    "SLUICE_LIMITS__CONNECTIONS",
    "SLUICE_LIMITS__CONNECTION_BURST",
    "SLUICE_LIMITS__CONNECTION_RATE",
    "SLUICE_LIMITS__STREAMS",
    "SLUICE_LISTEN__ADMIN",
    "SLUICE_LISTEN__HTTP",
    "SLUICE_LISTEN__OPERATIONS",
    "SLUICE_LISTEN__PEER",
    "SLUICE_LOG",
    "SLUICE_LOG_FORMAT",
    "SLUICE_PATH_ADDRESSES",
    "SLUICE_PLAINTEXT",
    "SLUICE_RAFT__ELECTION_MAX",
    "SLUICE_RAFT__ELECTION_MIN",
    "SLUICE_RAFT__HEARTBEAT",
    "SLUICE_RAFT__SNAPSHOT_INTERVAL",
    "SLUICE_RAFT__SNAPSHOT_LOG_BYTES",
    "SLUICE_SKIPS",
    "SLUICE_TIMEOUTS__HEAD",
    "SLUICE_TIMEOUTS__IDLE",
    "SLUICE_TIMEOUTS__SEND",
    "SLUICE_TOKEN_FILE",
    "SLUICE_TRUSTED_PROXIES",
];
