//! What can go wrong with identities, channels and listeners, for the operator.

use std::path::PathBuf;

use crate::NodeRole;

/// A failure of identity, for the operator of a node.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFailure {
    /// A file could not be read, written or made.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// The verb: read, write, make.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} does not hold {expected}: {reason}; restore it, or remove the node and join it again")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of a node of the other role.
    #[error(
        "{} holds a {} node, as {} shows; give this {role} node a folder of its own (--data-dir)",
        .folder.display(), .role.other(), .mark.display()
    )]
    OtherRole {
        /// The folder.
        folder: PathBuf,
        /// What in it shows that.
        mark: PathBuf,
        /// The role of the node that was to be started.
        role: NodeRole,
    },
    /// The folder of a node that was removed from its cluster.
    #[error(
        "the node in {} was removed from its cluster; to come back, the machine joins as a new node: give it an empty \
         --data-dir, --join and a new token (--join-token-file)",
        .folder.display()
    )]
    Removed {
        /// The folder.
        folder: PathBuf,
    },
    /// An address that is none.
    #[error("expected an address as HOST:PORT, http://HOST:PORT or https://HOST:PORT, found {found:?}")]
    Address {
        /// What was given.
        found: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; free the port, or choose another")]
    Listen {
        /// HOST:PORT.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Plaintext would leave this machine.
    #[error(
        "{address} is not on loopback and this side has no TLS; use a loopback address, a cluster with certificates, or --insecure"
    )]
    PlaintextOffLoopback {
        /// HOST:PORT.
        address: String,
    },
    /// The scheme of an address and the trust of this side contradict each other.
    #[error("{address} cannot be used: {reason}")]
    Scheme {
        /// As given.
        address: String,
        /// Which contradiction.
        reason: &'static str,
    },
    /// A certificate, key or request could not be made, read or used.
    #[error("{what} cannot be used: {reason}")]
    Certificate {
        /// The certificate, key or request.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The node's certificate has expired.
    #[error("{advice}")]
    Expired {
        /// When, and what to do.
        advice: String,
    },
    /// A sealed value cannot be opened.
    #[error("a sealed value cannot be opened: {reason}")]
    Sealed {
        /// Wrong key, tampered, malformed.
        reason: String,
    },
    /// A join token's text is none.
    #[error("expected a join token (sluice-join-1.…) as `sluice cluster token create` prints it: {reason}")]
    JoinToken {
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster did not admit this node.
    #[error("joining the cluster failed: {reason}")]
    Join {
        /// The cluster's words, or why it could not be reached.
        reason: String,
    },
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

impl IdentityFailure {
    /// A failure of certificate work, in the words of the library that found it.
    pub(crate) fn certificate(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Certificate { what, reason: reason.to_string() }
    }
}
