//! What the cluster wants of a node, and where the node stands.
//!
//! Absent: doing it; that is the server's.

use sluice_proto::sync;

/// What the cluster wants of this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// To serve.
    #[default]
    Serve,
    /// To send its clients elsewhere, until it is told to serve.
    Drain,
}

/// Whether clients are welcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// They are.
    #[default]
    Serving,
    /// They are asked to go elsewhere, and still served.
    Draining,
    /// They have gone.
    Drained,
}

impl Standing {
    pub(crate) fn to_message(self) -> sync::Standing {
        match self {
            Self::Serving => sync::Standing::Serving,
            Self::Draining => sync::Standing::Draining,
            Self::Drained => sync::Standing::Drained,
        }
    }
}
