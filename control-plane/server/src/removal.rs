//! Removed nodes: refused by this node's gates and dialers, and this node itself when it is one of them.
//!
//! Promise: a removal that this node has applied holds within [`LOOK_EVERY`]; a control node that was removed notes it in its
//! folder and ends, also when it hears of it only from the others, who refuse it. Absent: the removal (`sluice-admin`).

use std::{path::Path, time::Duration};

use sluice_identity::{NodeRole, Revoked, keep_removal};
use sluice_raft::Raft;
use tracing::{error, warn};

/// How often the state is asked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Keeps `revoked` true; returns when this node was removed.
pub(crate) async fn watch(raft: &Raft, revoked: &Revoked, node_id: &str, data_dir: &Path) {
    let mut told = raft.told_removed();
    loop {
        let ids = raft.view().revoked_nodes().into_iter().map(|node| node.id).collect();
        revoked.set(ids);
        if revoked.contains(node_id) || *told.borrow_and_update() {
            break;
        }
        // Cancel-safe: both are asked again.
        tokio::select! {
            _ = told.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    error!(node_id, "this node was removed from the cluster: it stops, and does not start again");
    if let Err(failure) = keep_removal(data_dir, NodeRole::Control) {
        warn!(%failure, "the removal is not noted: the next start will be refused by the others");
    }
}
