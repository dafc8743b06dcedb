//! What keeps a follower from starting.

use std::{io, path::PathBuf};

use sluice_identity::IdentityFailure;

/// Why a follower does not start.
#[derive(Debug, thiserror::Error)]
pub enum FollowFailure {
    /// No control node to begin with, and no last-good copy that knows one.
    #[error("expected the address of at least one control node, found none")]
    NoControlNode,
    /// The folder of the last-good copy cannot be used.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key that seals secrets in the copy cannot be used.
    #[error("key of the last-good copy: {0}")]
    Key(#[from] IdentityFailure),
}

impl FollowFailure {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
