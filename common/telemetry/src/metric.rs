//! Every metric: its name, unit, meaning and labels.
//!
//! Names follow Prometheus: base units (seconds, bytes), `_total` for counters.

use metrics::Unit;

/// A metric: what `Metrics` registers and `/metrics` explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As scraped.
    pub name: &'static str,
    /// What one is.
    pub unit: Unit,
    /// One sentence for operators.
    pub help: &'static str,
    /// The labels it is registered with.
    pub labels: &'static [&'static str],
}

const fn metric(name: &'static str, unit: Unit, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, unit, help, labels }
}

/// The cluster's API of a request.
pub const API_ID: &str = "api_id";
/// The stage of a request.
pub const STAGE: &str = "stage";
/// The class of an answer's status: 2xx, 3xx, 4xx, 5xx.
pub const STATUS: &str = "status";
/// A gRPC method.
pub const METHOD: &str = "method";
/// A gRPC status code.
pub const CODE: &str = "code";
/// Which bound, throttle or reason.
pub const KIND: &str = "kind";
/// A traffic core, from 0.
pub const CORE: &str = "core";
/// A file that the settings name.
pub const FILE: &str = "file";

// ---- both planes ----

/// Constant 1, with the release as its label.
pub const BUILD: Metric = metric("sluice_build", Unit::Count, "constant 1 labelled with the release", &["version"]);
/// The number of the configuration: held by a control node, served by a data node.
pub const REVISION_NUMBER: Metric =
    metric("sluice_revision_number", Unit::Count, "number of the configuration this node holds", &[]);
/// Bounds of the node that were hit.
pub const BOUNDS_HIT: Metric =
    metric("sluice_bounds_hit_total", Unit::Count, "times that something met a bound of this node", &[KIND]);
/// When the node's certificate expires.
pub const CERTIFICATE_EXPIRES_SECONDS: Metric = metric(
    "sluice_certificate_expires_seconds",
    Unit::Seconds,
    "when the certificate of this node expires, in seconds since the epoch; absent without certificates",
    &[],
);
/// Tries to renew the node's certificate.
pub const CERTIFICATE_RENEWALS: Metric = metric(
    "sluice_certificate_renewals_total",
    Unit::Count,
    "tries to renew the certificate of this node, by what became of them: renewed, failed",
    &[KIND],
);

// ---- control plane ----

/// Raft's term.
pub const RAFT_TERM: Metric = metric("sluice_raft_term", Unit::Count, "term this node is in", &[]);
/// 1 on the leader.
pub const RAFT_LEADER: Metric = metric("sluice_raft_leader", Unit::Count, "1 on the leader, else 0", &[]);
/// Last applied log index.
pub const RAFT_APPLIED_INDEX: Metric =
    metric("sluice_raft_applied_index", Unit::Count, "last log index this node has applied", &[]);
/// Last log index.
pub const RAFT_LAST_INDEX: Metric = metric("sluice_raft_last_index", Unit::Count, "last index of this node's log", &[]);
/// Last committed log index.
pub const RAFT_COMMITTED_INDEX: Metric =
    metric("sluice_raft_committed_index", Unit::Count, "last log index this node knows to be committed", &[]);
/// Last log index in the newest snapshot.
pub const RAFT_SNAPSHOT_INDEX: Metric =
    metric("sluice_raft_snapshot_index", Unit::Count, "last log index in this node's newest snapshot", &[]);
/// Last log index that was purged.
pub const RAFT_PURGED_INDEX: Metric =
    metric("sluice_raft_purged_index", Unit::Count, "last index that is no longer in this node's log", &[]);
/// Terms that began.
pub const RAFT_ELECTIONS: Metric =
    metric("sluice_raft_elections_total", Unit::Count, "terms that began while this node ran", &[]);
/// Commands proposed on this node.
pub const RAFT_PROPOSALS: Metric = metric(
    "sluice_raft_proposals_total",
    Unit::Count,
    "commands proposed on this node, by what became of them: applied, not_leader, timeout, too_large, stopped",
    &[KIND],
);
/// Commands under way.
pub const RAFT_PROPOSALS_IN_FLIGHT: Metric =
    metric("sluice_raft_proposals_in_flight", Unit::Count, "commands proposed on this node that are under way", &[]);
/// Time of a sync of the log.
pub const RAFT_SYNC_SECONDS: Metric =
    metric("sluice_raft_sync_seconds", Unit::Seconds, "time to write a group of the log's writes and sync it", &[]);
/// Writes of the log.
pub const RAFT_SYNCED_WRITES: Metric =
    metric("sluice_raft_synced_writes_total", Unit::Count, "writes of the log; a sync takes all that wait", &[]);
/// Bytes of the log.
pub const RAFT_SYNCED_BYTES: Metric =
    metric("sluice_raft_synced_bytes_total", Unit::Bytes, "bytes written to the log", &[]);
/// Free space where the data lies.
pub const DISK_FREE_BYTES: Metric =
    metric("sluice_disk_free_bytes", Unit::Bytes, "free space of the data directory", &[]);
/// Data nodes that stream from this node.
pub const SYNC_SESSIONS: Metric = metric("sluice_sync_sessions", Unit::Count, "data nodes that follow this node", &[]);
/// Bytes of configuration sent.
pub const SYNC_SENT_BYTES: Metric = metric(
    "sluice_sync_sent_bytes_total",
    Unit::Bytes,
    "configuration sent to data nodes, as delta or snapshot",
    &[KIND],
);
/// Configuration sent whole or in part.
pub const SYNC_SENT: Metric =
    metric("sluice_sync_sent_total", Unit::Count, "deltas and snapshots sent to data nodes", &[KIND]);
/// Calls of the admin API.
pub const ADMIN_CALLS: Metric =
    metric("sluice_admin_calls_total", Unit::Count, "calls of the admin API, by method and code", &[METHOD, CODE]);
/// Time of calls of the admin API.
pub const ADMIN_CALL_SECONDS: Metric =
    metric("sluice_admin_call_seconds", Unit::Seconds, "time of unary calls of the admin API", &[METHOD]);

// ---- data plane ----

/// Requests of clients.
pub const REQUESTS: Metric = metric(
    "sluice_requests_total",
    Unit::Count,
    "requests of clients, by api, stage and status class",
    &[API_ID, STAGE, STATUS],
);
/// Time of requests of clients.
pub const REQUEST_SECONDS: Metric = metric(
    "sluice_request_seconds",
    Unit::Seconds,
    "time from a request's head to the end of its answer",
    &[API_ID, STAGE],
);
/// Time spent in integrations.
pub const INTEGRATION_SECONDS: Metric = metric(
    "sluice_integration_seconds",
    Unit::Seconds,
    "time from the call of an integration to the head of its answer",
    &[API_ID, STAGE],
);
/// Requests refused by a limit.
pub const THROTTLED: Metric = metric(
    "sluice_throttled_total",
    Unit::Count,
    "requests and connections refused by a limit: plan, method, connection",
    &[KIND],
);
/// Calls of integrations without a whole answer.
pub const INTEGRATION_FAULTS: Metric = metric(
    "sluice_integration_faults_total",
    Unit::Count,
    "calls of integrations that gave no whole answer, by what went wrong",
    &[KIND],
);
/// Connections of clients that are open.
pub const CONNECTIONS: Metric = metric("sluice_connections", Unit::Count, "open connections of clients", &[]);
/// Connections of clients that are open and hold no buffers.
pub const CONNECTIONS_RESTING: Metric = metric(
    "sluice_connections_resting",
    Unit::Count,
    "open connections of clients that are idle and hold no buffers",
    &[],
);
/// Connections of clients ever taken.
pub const CONNECTIONS_TAKEN: Metric =
    metric("sluice_connections_total", Unit::Count, "connections of clients that were taken", &[]);
/// Connections of clients closed at once by a bound of the node.
pub const CONNECTIONS_REFUSED: Metric =
    metric("sluice_connections_refused_total", Unit::Count, "connections of clients closed at once by a bound", &[]);
/// Connections of clients that another core serves than the one that accepted them.
pub const CONNECTIONS_HANDED: Metric = metric(
    "sluice_connections_handed_total",
    Unit::Count,
    "connections of clients that a core with many handed to the one with the fewest",
    &[],
);
/// Connections of clients that are open on a core.
pub const CORE_CONNECTIONS: Metric =
    metric("sluice_core_connections", Unit::Count, "open connections of clients by traffic core", &[CORE]);
/// TLS handshakes with clients that were done.
pub const TLS_HANDSHAKES: Metric =
    metric("sluice_tls_handshakes_total", Unit::Count, "TLS handshakes with clients that were done", &[]);
/// Connections of clients that ended before their first request.
pub const HANDSHAKES_FAILED: Metric = metric(
    "sluice_handshakes_failed_total",
    Unit::Count,
    "connections of clients that failed before their first request, by what failed: tls, proxy_protocol",
    &[KIND],
);
/// When a certificate for clients expires.
pub const TLS_CERTIFICATE_EXPIRY: Metric = metric(
    "sluice_tls_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    "when the certificate that is served from this file expires, in seconds since 1970",
    &[FILE],
);
/// Certificate files that changed.
pub const TLS_RELOADS: Metric = metric(
    "sluice_tls_reloads_total",
    Unit::Count,
    "times that changed certificate files were read, by what became of it: served, refused",
    &[KIND],
);
/// Requests that met a defect of this program.
pub const REQUEST_PANICS: Metric =
    metric("sluice_request_panics_total", Unit::Count, "requests answered 500 because of a defect of sluice", &[]);
/// Buckets of rate limits.
pub const THROTTLE_BUCKETS: Metric =
    metric("sluice_throttle_buckets", Unit::Count, "buckets of rate limits in memory", &[]);
/// Connections to backends ever made.
pub const UPSTREAM_CONNECTIONS: Metric =
    metric("sluice_upstream_connections_total", Unit::Count, "connections made to backends", &[]);
/// Calls sent again on another connection.
pub const UPSTREAM_RETRIES: Metric =
    metric("sluice_upstream_retries_total", Unit::Count, "calls sent again because a kept connection had died", &[]);
/// Time to compile a change.
pub const COMPILE_SECONDS: Metric =
    metric("sluice_compile_seconds", Unit::Seconds, "time to compile a change of configuration", &[]);
/// APIs on an older form.
pub const APIS_BROKEN: Metric =
    metric("sluice_apis_broken", Unit::Count, "apis that do not compile and are kept on what they were", &[]);
/// Whether the node serves an older revision than it holds.
pub const CONFIGURATION_NOT_COMPILED: Metric = metric(
    "sluice_configuration_not_compiled",
    Unit::Count,
    "1 while an older revision is served because of a defect of sluice, else 0",
    &[],
);
/// Whether the node follows a control node.
pub const FOLLOW_CONNECTED: Metric =
    metric("sluice_follow_connected", Unit::Count, "1 while connected to a control node, else 0", &[]);
/// Control nodes lost or not reached.
pub const FOLLOW_LOST: Metric =
    metric("sluice_follow_lost_total", Unit::Count, "times that a control node was lost or not reached", &[]);

/// Counters of all nodes.
pub const COUNTERS: &[Metric] = &[
    BOUNDS_HIT,
    CERTIFICATE_RENEWALS,
    RAFT_ELECTIONS,
    RAFT_PROPOSALS,
    RAFT_SYNCED_WRITES,
    RAFT_SYNCED_BYTES,
    SYNC_SENT_BYTES,
    SYNC_SENT,
    ADMIN_CALLS,
    REQUESTS,
    THROTTLED,
    INTEGRATION_FAULTS,
    CONNECTIONS_TAKEN,
    CONNECTIONS_REFUSED,
    CONNECTIONS_HANDED,
    TLS_HANDSHAKES,
    HANDSHAKES_FAILED,
    TLS_RELOADS,
    REQUEST_PANICS,
    UPSTREAM_CONNECTIONS,
    UPSTREAM_RETRIES,
    FOLLOW_LOST,
];
/// Gauges of all nodes.
pub const GAUGES: &[Metric] = &[
    BUILD,
    REVISION_NUMBER,
    CERTIFICATE_EXPIRES_SECONDS,
    RAFT_TERM,
    RAFT_LEADER,
    RAFT_LAST_INDEX,
    RAFT_COMMITTED_INDEX,
    RAFT_APPLIED_INDEX,
    RAFT_SNAPSHOT_INDEX,
    RAFT_PURGED_INDEX,
    RAFT_PROPOSALS_IN_FLIGHT,
    DISK_FREE_BYTES,
    SYNC_SESSIONS,
    CONNECTIONS,
    CONNECTIONS_RESTING,
    CORE_CONNECTIONS,
    TLS_CERTIFICATE_EXPIRY,
    THROTTLE_BUCKETS,
    APIS_BROKEN,
    CONFIGURATION_NOT_COMPILED,
    FOLLOW_CONNECTED,
];
/// Histograms of all nodes.
pub const HISTOGRAMS: &[Metric] =
    &[RAFT_SYNC_SECONDS, ADMIN_CALL_SECONDS, REQUEST_SECONDS, INTEGRATION_SECONDS, COMPILE_SECONDS];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_prometheus() {
        let all: Vec<_> = COUNTERS.iter().chain(GAUGES).chain(HISTOGRAMS).collect();
        assert_eq!(all.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), all.len());
        for metric in COUNTERS {
            assert!(metric.name.ends_with("_total"), "{}", metric.name);
        }
        for metric in all {
            assert!(metric.name.starts_with("sluice_"), "{}", metric.name);
            let unit = match metric.unit {
                Unit::Seconds => "_seconds",
                Unit::Bytes => "_bytes",
                _ => "",
            };
            assert!(metric.name.trim_end_matches("_total").ends_with(unit), "{}", metric.name);
        }
    }
}
