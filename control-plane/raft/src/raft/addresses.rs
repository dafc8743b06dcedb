//! Addresses of members: where the others reach a node may change, with its machine or its settings.
//!
//! Promise: a member has one address, which the log holds; connections follow it as soon as a node has heard of it.
//! A wrong one reaches another node but never misleads it: every call names the cluster and the node that is meant.
//! Absent: how the leader hears of a new address (the server's housekeeping).

use std::{collections::BTreeMap, sync::Arc};

use openraft::{BasicNode, ChangeMembers, async_runtime::WatchReceiver};
use tracing::info;

use super::{
    Core, Raft,
    members::{metrics_of, refused, within},
};
use crate::{RaftFailure, network::Network};

impl Raft {
    /// Writes into the log under which address the member `raft_id` is reached; without effect for one that is no member,
    /// or is known to be there.
    ///
    /// # Errors
    /// `NotLeader`, or `Members` when the change was refused.
    pub async fn set_address(&self, raft_id: u64, address: &str) -> Result<(), RaftFailure> {
        let _one_at_a_time = self.inner.changing.lock().await;
        match metrics_of(&self.inner.core).membership_config.get_node(&raft_id) {
            Some(node) if node.addr != address => {}
            Some(_) | None => return Ok(()),
        }
        let change = ChangeMembers::SetNodes(BTreeMap::from([(raft_id, BasicNode::new(address))]));
        within(self.inner.core.change_membership(change, true)).await?.map(drop).map_err(refused)?;
        info!(member = raft_id, address, "raft member has another address");
        Ok(())
    }
}

/// Keeps the addresses that `network` calls those of the members, until Raft stops.
pub(super) async fn follow(core: Core, network: Arc<Network>) {
    let mut metrics = core.server_metrics();
    let mut told = None;
    loop {
        let members = metrics.borrow_watched().membership_config.clone();
        if told.as_ref() != Some(&members) {
            network.set_addresses(members.nodes().map(|(id, node)| (*id, node.addr.clone())).collect());
            told = Some(members);
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
