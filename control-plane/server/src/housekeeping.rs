//! What a control node does unasked: it keeps its own row in the list of nodes true, and, while it leads, trims what has
//! aged and gives Raft the addresses of the rows.
//!
//! Promise: a quiet cluster writes nothing. A node that was started under another address is found again, also by a leader
//! that knows only the old one: it tells any other control node, and these follow. Absent: what ages, and when
//! (`sluice-state`); all control nodes moved at once, of which none finds another.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sluice_proto::raft::{Command, Node, ProposeRequest, PutNode, Stamp, Trim, command};
use sluice_raft::Raft;
use sluice_rpc::raft::peer_client::PeerClient;
use tonic::Status;
use tracing::{debug, warn};

use crate::membership::now_ms;

/// How often a node looks whether there is something to do.
const EVERY: Duration = Duration::from_secs(5);
/// Until a node is in the list it looks more often.
const EVERY_AT_FIRST: Duration = Duration::from_millis(200);
/// The leader has taken a node's row, and has yet to reach the node.
const EVERY_MEANWHILE: Duration = Duration::from_secs(1);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until it is dropped, which it may be at any time. `this` is what the node says of itself.
pub(crate) async fn run(raft: Raft, this: Node) {
    loop {
        let announced = announce(&raft, &this).await;
        if raft.leadership().borrow().this {
            move_members(&raft).await;
            trim(&raft, &this).await;
        }
        let pause = match announced {
            Announced::Known => EVERY,
            Announced::Taken => EVERY_MEANWHILE,
            Announced::Not => EVERY_AT_FIRST,
        };
        tokio::time::sleep(pause).await;
    }
}

/// What the cluster knows of this node.
enum Announced {
    /// Its row, as it should be.
    Known,
    /// A leader has just taken it.
    Taken,
    /// Perhaps nothing.
    Not,
}

/// Writes the node's row when it is missing or says something else.
async fn announce(raft: &Raft, this: &Node) -> Announced {
    let kept = raft.view().nodes().into_iter().find(|node| node.id == this.id);
    let row = match kept {
        Some(kept) => as_kept(this, kept),
        None => this.clone(),
    };
    if raft.view().nodes().contains(&row) {
        return Announced::Known;
    }
    let command = command::Kind::PutNode(PutNode { stamp: Some(stamp(raft, this)), node: Some(row) });
    if propose(raft, command).await { Announced::Taken } else { Announced::Not }
}

/// What a node says of itself, with what the cluster has said of it.
fn as_kept(this: &Node, kept: Node) -> Node {
    let Node { joined_ms, joined_by, held, certificate_serial, certificate_expires_ms, .. } = kept;
    let row = Node { joined_ms, joined_by, held, ..this.clone() };
    // Renewed since it started, unless it had to sign its own.
    if certificate_expires_ms < this.certificate_expires_ms {
        return row;
    }
    Node { certificate_serial, certificate_expires_ms, ..row }
}

/// Gives Raft the addresses that control nodes say they have.
async fn move_members(raft: &Raft) {
    let members = raft.members().into_iter().map(|member| (member.raft_id, member.address)).collect();
    let nodes = raft.view().nodes();
    for node in moved(&members, &nodes) {
        if let Err(failure) = raft.set_address(node.raft_id, &node.peer_address).await {
            warn!(%failure, moved = node.id, address = node.peer_address, "raft member not followed to its address yet");
        }
    }
}

/// The control nodes that say another address than their member, by number, has. A data node's row has no number of Raft's, whatever
/// it says.
fn moved<'a>(members: &BTreeMap<u64, String>, nodes: &'a [Node]) -> Vec<&'a Node> {
    let is_control = |node: &&Node| node.role == "control" && node.raft_id != 0 && !node.peer_address.is_empty();
    let is_moved = |node: &&Node| members.get(&node.raft_id).is_some_and(|address| *address != node.peer_address);
    nodes.iter().filter(is_control).filter(is_moved).collect()
}

async fn trim(raft: &Raft, this: &Node) {
    let stamp = stamp(raft, this);
    if raft.view().trim_is_due(stamp.time_ms) {
        propose(raft, command::Kind::Trim(Trim { stamp: Some(stamp) })).await;
    }
}

pub(crate) fn stamp(raft: &Raft, this: &Node) -> Stamp {
    let time_ms = now_ms().max(raft.view().stamp());
    Stamp { actor: format!("node:{}", this.id), time_ms, ..Stamp::default() }
}

/// Proposes here or at the leader; true when it was applied or refused. A failure is tried again at the next look: there
/// is no one to tell it.
pub(crate) async fn propose(raft: &Raft, kind: command::Kind) -> bool {
    let command = Command { kind: Some(kind) };
    let leadership = *raft.leadership().borrow();
    if leadership.this {
        let proposed = raft.propose(command, Instant::now() + PROPOSE_TIMEOUT).await;
        return proposed.inspect_err(|error| debug!(%error, "housekeeping was not committed")).is_ok();
    }
    // A node that no leader reaches does not know who leads, or knows who led: one of the others does.
    let mut others: Vec<u64> = raft.members().iter().map(|member| member.raft_id).collect();
    others.retain(|other| *other != raft.raft_id());
    others.sort_by_key(|other| Some(*other) != leadership.leader);
    for other in others {
        match propose_at(raft, other, &command).await {
            Ok(taken) if taken => return true,
            Ok(_) => {}
            Err(error) => {
                debug!(error = %sluice_identity::status_text(&error), other, "housekeeping did not reach a control node");
            }
        }
    }
    false
}

/// Proposes at another node; false when it does not lead.
async fn propose_at(raft: &Raft, other: u64, command: &Command) -> Result<bool, Status> {
    let Some(channel) = raft.peer_channel(other).await else { return Ok(false) };
    let timeout_ms = u64::try_from(PROPOSE_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let mut request = tonic::Request::new(ProposeRequest { command: Some(command.clone()), timeout_ms });
    request.set_timeout(PROPOSE_TIMEOUT);
    let reply = PeerClient::new(channel).propose(request).await?.into_inner();
    Ok(!reply.not_leader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_nodes_move_members() {
        let node = |id: &str, role: &str, raft_id: u64, peer_address: &str| Node {
            id: id.to_owned(),
            role: role.to_owned(),
            raft_id,
            peer_address: peer_address.to_owned(),
            ..Node::default()
        };
        let members = [(0, "a:1"), (1, "a:1"), (2, "b:1"), (3, "c:1")];
        let members = members.map(|(raft_id, address)| (raft_id, address.to_owned())).into();
        let nodes = [
            node("moved", "control", 1, "a:2"),
            node("stays", "control", 2, "b:1"),
            node("silent", "control", 3, ""),
            node("data", "data", 3, "d:1"),
            node("numberless", "control", 0, "e:1"),
        ];
        let moved: Vec<&str> = moved(&members, &nodes).into_iter().map(|node| node.id.as_str()).collect();
        assert_eq!(moved, ["moved"]);
    }
}
