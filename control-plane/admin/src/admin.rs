//! What all services share.

use std::{sync::Arc, time::Duration};

use sluice_identity::roles::STALE_METADATA;
use sluice_proto::model::Revision;
use tonic::Response;

use crate::{fleet::Sessions, imports::Imports, plan::Tools, replica::Replica, rotation::Progress};

/// The services of one node: one value implements them all, so that each noun's file holds only its own.
#[derive(Clone)]
pub(crate) struct Admin<R> {
    pub(crate) replica: R,
    pub(crate) tools: Arc<Tools>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) imports: Imports,
    pub(crate) about: Arc<About>,
    pub(crate) rotation: Arc<Progress>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) node_id: String,
    /// How long a certificate is good that this node signs.
    pub(crate) certificate_lifetime: Duration,
}

impl<R: Replica> Admin<R> {
    /// The revision of `number` in the cluster's present generation.
    pub(crate) fn revision(&self, number: u64) -> Revision {
        Revision { generation: self.replica.view().revision().generation.to_string(), number }
    }

    /// The answer to a read at revision `number`; one that was asked for `stale` says whose knowledge it is.
    pub(crate) fn answer<T>(&self, stale: bool, number: u64, reply: T) -> Response<T> {
        let mut response = Response::new(reply);
        let mark = format!("{} {number}", self.about.node_id).parse();
        // Ids of nodes are made by the cluster, of letters and digits.
        if let (true, Ok(mark)) = (stale, mark) {
            response.metadata_mut().insert(STALE_METADATA, mark);
        }
        response
    }
}
