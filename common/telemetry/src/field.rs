//! Names of the fields of log lines and spans.
//!
//! `tracing` takes field names as tokens, so they are repeated in the code; a name that is not in this list is a mistake
//! of its line.

/// The node that wrote the line.
pub const NODE_ID: &str = "node_id";
/// The cluster it belongs to.
pub const CLUSTER_ID: &str = "cluster_id";
/// Raft's number of a control node.
pub const RAFT_ID: &str = "raft_id";
/// Raft's term.
pub const TERM: &str = "term";
/// One client's request.
pub const REQUEST_ID: &str = "request_id";
/// The API of a request or change.
pub const API_ID: &str = "api_id";
/// The stage of a request.
pub const STAGE: &str = "stage";
/// The route of a request: verb and resource path.
pub const ROUTE: &str = "route";
/// The number of a revision.
pub const REVISION: &str = "revision";
/// Who caused a change.
pub const ACTOR: &str = "actor";
/// The other end of a connection.
pub const PEER: &str = "peer";
/// HOST:PORT, of a listener or of what is called.
pub const ADDRESS: &str = "address";
/// A gRPC method.
pub const METHOD: &str = "method";
/// Why something went wrong, in the words of what failed.
pub const ERROR: &str = "error";

/// All of them.
pub const ALL: &[&str] = &[
    NODE_ID, CLUSTER_ID, RAFT_ID, TERM, REQUEST_ID, API_ID, STAGE, ROUTE, REVISION, ACTOR, PEER, ADDRESS, METHOD, ERROR,
];
