//! Where a call came from: a request extension, made by the node that took the call and carried with it.

use sluice_identity::ConnectionPeer;

/// Where a call came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Address of the caller.
    pub(crate) address: String,
    /// Id of the node that took the call.
    pub(crate) taken_by: String,
    /// `/package.Service/Method`.
    pub(crate) method: String,
}

impl Origin {
    /// Of a call that this node, `node_id`, takes.
    pub(crate) fn of<B>(request: &http::Request<B>, node_id: &str) -> Self {
        let peer = request.extensions().get::<ConnectionPeer>();
        Self {
            address: peer.map(|peer| peer.address.to_string()).unwrap_or_default(),
            taken_by: node_id.to_owned(),
            method: request.uri().path().to_owned(),
        }
    }
}
