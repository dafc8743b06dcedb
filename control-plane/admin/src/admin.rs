//! What all services share.

use std::sync::Arc;

use sluice_proto::model::Revision;
use tokio_util::task::TaskTracker;

use crate::{fleet::Sessions, plan::Tools, replica::Replica};

/// The services of one node: one value implements them all, so that each noun's file holds only its own.
#[derive(Clone)]
pub(crate) struct Admin<R> {
    pub(crate) replica: R,
    pub(crate) tools: Arc<Tools>,
    pub(crate) sessions: Arc<dyn Sessions>,
    /// Imports under way.
    pub(crate) tasks: TaskTracker,
    pub(crate) about: Arc<About>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) node_id: String,
    /// The cluster key, handed to control nodes that join; absent where no one can join.
    pub(crate) cluster_key: Option<sluice_identity::ClusterKey>,
}

impl<R: Replica> Admin<R> {
    /// The revision of `number` in the cluster's present generation.
    pub(crate) fn revision(&self, number: u64) -> Revision {
        Revision { generation: self.replica.view().revision().generation.to_string(), number }
    }
}
