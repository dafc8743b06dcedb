//! Why a control node does not start or does not go on, for the operator.

use std::path::PathBuf;

use sluice_identity::{IdentityFailure, REMOVED_STATUS};
use sluice_raft::{ProposeFailure, RaftFailure};

impl StartFailure {
    /// The exit status of the process: one of its own for a node that was removed, which is not to be started again.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Identity(IdentityFailure::Removed { .. }) => REMOVED_STATUS,
            _ => 1,
        }
    }
}

/// A control node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// `--bootstrap` on a folder that has state.
    #[error("{} holds a node of cluster {cluster} already; start it without --bootstrap, or give an empty --data-dir", .folder.display())]
    AlreadyFounded {
        /// The folder.
        folder: PathBuf,
        /// Whose node it is.
        cluster: String,
    },
    /// An empty folder, and no word of what to do.
    #[error("{} holds no node; give --bootstrap to start a new cluster, or --join URL --join-token-file FILE", .folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that must be there is not.
    #[error("{} is missing; restore it from a copy of this node's folder, or remove the node and join it again", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// An address to announce that others could not use.
    #[error("expected --{setting} as HOST:PORT that others can reach, found {found}")]
    Advertise {
        /// The setting.
        setting: &'static str,
        /// As given.
        found: String,
    },
    /// `--plaintext` where certificates are.
    #[error("--plaintext starts a cluster without certificates; it goes with --bootstrap only")]
    PlaintextWithoutBootstrap,
    /// Identity, channels or listeners.
    #[error(transparent)]
    Identity(#[from] IdentityFailure),
    /// Raft and its storage.
    #[error(transparent)]
    Raft(#[from] RaftFailure),
    /// The first commands of the cluster.
    #[error("the cluster could not be founded: {0}")]
    Founding(#[from] ProposeFailure),
    /// A part of the node stopped by itself.
    #[error("{part} stopped: {reason}")]
    Stopped {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
}
