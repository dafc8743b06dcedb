//! `Fleet.Drain`: a node's clients go elsewhere before it is stopped.
//!
//! Promise: the order reaches the node through the control node that it follows, or is refused; the last control node that
//! data nodes can follow is not drained. Absent: waiting until they have gone, which the caller does by listing nodes.

use sluice_identity::NodeRole;
use sluice_proto::{
    admin::{DrainReply, DrainRequest},
    raft::{self, Node},
};
use tracing::info;

use super::Wanted;
use crate::{
    admin::Admin,
    call::{Call, leave_by},
    cluster::{Named, named},
    commit::barrier,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Tells a node what is wanted of it.
pub(super) async fn drain<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: DrainRequest,
) -> Result<DrainReply, Refused> {
    barrier(&admin.replica, call.deadline).await?;
    let node = match named(&admin.replica.view(), &message.node)? {
        Named::Here(node) => node,
        Named::Removed(removed) => {
            return Err(Refused::not_found(format!("node {} was removed from the cluster", removed.id)));
        }
    };
    let wanted = if message.undo { Wanted::Serving } else { Wanted::Draining };
    let is_control = node.role == NodeRole::Control.as_str();
    let told = if is_control {
        if wanted == Wanted::Draining {
            check_another_serves(admin, &node)?;
        }
        tell(admin, call, node.raft_id, None, wanted).await?
    } else {
        let place = admin.sessions.place_of(&node.id).ok_or_else(|| not_connected(&node))?;
        tell(admin, call, place, Some(node.id.clone()), wanted).await?
    };
    if !told {
        return Err(not_connected(&node));
    }
    info!(node_id = %node.id, actor = %call.actor, ?wanted, "node told");
    Ok(DrainReply { node_id: node.id, role: node.role })
}

fn not_connected(node: &Node) -> Refused {
    let message = format!(
        "data node {} follows no control node that the leader hears: is it running? one that is not reached is drained by stopping it",
        node.id
    );
    Refused::new(Reason::Unavailable, message)
}

/// Data nodes need one control node to follow.
fn check_another_serves<R: Replica>(admin: &Admin<R>, node: &Node) -> Result<(), Refused> {
    let draining = admin.sessions.draining();
    let is_draining = |raft_id: u64| draining.iter().any(|(other, _)| *other == raft_id);
    let members = admin.replica.standing().members;
    let mut others = members.iter().filter(|member| member.raft_id != node.raft_id);
    if others.any(|member| !member.down && !is_draining(member.raft_id)) {
        return Ok(());
    }
    let message = "expected another control node that answers and does not drain, found none: data nodes would have none to follow";
    Err(Refused::new(Reason::Members, message))
}

/// Tells the control node `place`, or a data node that streams from it; false when that data node does not.
async fn tell<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    place: u64,
    node_id: Option<String>,
    wanted: Wanted,
) -> Result<bool, Refused> {
    if place == admin.replica.standing().raft_id {
        return Ok(match node_id {
            Some(node_id) => admin.sessions.order(&node_id, wanted),
            None => {
                admin.sessions.order_this(wanted);
                true
            }
        });
    }
    let cluster_id = admin.replica.view().cluster().unwrap_or_default().cluster_id;
    let request = raft::DrainRequest { cluster_id, node_id, undo: wanted == Wanted::Serving };
    let reply = admin.replica.drain_at(place, request, leave_by(call.deadline)).await;
    let reply = reply.map_err(|status| {
        Refused::new(Reason::Unavailable, format!("control node {place} was not told: {}", status.message()))
    })?;
    Ok(reply.told)
}

#[cfg(test)]
mod tests {
    use sluice_proto::raft::{Command, PutNode, Stamp, command::Kind};
    use tonic::Request;

    use super::*;
    use crate::{propose::now_ms, testing::founded};

    #[tokio::test]
    async fn the_only_control_node_and_a_data_node_that_is_not_there_are_not_drained() {
        let admin = founded();
        for (id, role, raft_id) in [("c1", "control", 1), ("d1", "data", 0)] {
            let node = Node { id: id.into(), role: role.into(), raft_id, ..Node::default() };
            let stamp = Stamp { actor: "test".into(), time_ms: now_ms(0), ..Stamp::default() };
            let command = Kind::PutNode(PutNode { stamp: Some(stamp), node: Some(node) });
            admin.replica.apply(&Command { kind: Some(command) });
        }
        let asked = async |node: &str, undo| {
            let message = DrainRequest { node: node.into(), undo };
            drain(&admin, &Call::of(&Request::new(())), message).await
        };
        assert_eq!(asked("c1", false).await.unwrap_err().reason, Reason::Members);
        assert_eq!(asked("c1", true).await.unwrap().role, "control");
        assert_eq!(asked("d1", false).await.unwrap_err().reason, Reason::Unavailable);
        assert_eq!(asked("d2", false).await.unwrap_err().reason, Reason::NotFound);
    }
}
