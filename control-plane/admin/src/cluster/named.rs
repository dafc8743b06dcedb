//! Nodes as operators name them: by id, by an address, a control node by its number in Raft.

use sluice_identity::NodeRole;
use sluice_proto::raft::{Node, RemovedNode};
use sluice_raft::MemberStatus;
use sluice_state::{Tables, View};

use crate::{refused::Refused, replica::Standing};

/// What a name stands for.
pub(crate) enum Named {
    Here(Node),
    /// It was taken out of the cluster.
    Removed(RemovedNode),
}

/// The node of this name.
///
/// # Errors
/// `NotFound`, or `Invalid` when several have the address.
pub(crate) fn named<T: Tables>(view: &View<T>, name: &str) -> Result<Named, Refused> {
    let is_named = |node: &Node| {
        let number = node.raft_id != 0 && node.raft_id.to_string() == name;
        let address = !name.is_empty() && (node.public_address == name || node.peer_address == name);
        node.id == name || number || address
    };
    let mut found: Vec<Node> = view.nodes().into_iter().filter(is_named).collect();
    // An id is one node's, whatever the addresses of others are.
    if let Some(at) = found.iter().position(|node| node.id == name) {
        return Ok(Named::Here(found.swap_remove(at)));
    }
    match (found.pop(), found.is_empty()) {
        (Some(node), true) => Ok(Named::Here(node)),
        (Some(node), false) => {
            let ids: Vec<String> = found.into_iter().chain([node]).map(|node| node.id).collect();
            let message = format!("several nodes are called {name}: {}", ids.join(", "));
            Err(Refused::invalid("node", message, "use an id"))
        }
        (None, _) => match view.removed_node(name) {
            Some(removed) => Ok(Named::Removed(removed)),
            None => {
                Err(Refused::not_found(format!("no node has the id, address or number {name}: see `sluice node list`")))
            }
        },
    }
}

/// A control node that is there, and what Raft knows of it.
pub(super) struct Control {
    pub(super) node: Node,
    pub(super) member: Option<MemberStatus>,
}

impl Control {
    /// The control node of this name.
    ///
    /// # Errors
    /// As [`named`]; `Invalid` for a data node, `NotFound` for one that was removed.
    pub(super) fn of<T: Tables>(view: &View<T>, standing: &Standing, name: &str) -> Result<Self, Refused> {
        let node = match named(view, name)? {
            Named::Here(node) => node,
            Named::Removed(removed) => {
                return Err(Refused::not_found(format!("node {} was removed from the cluster", removed.id)));
            }
        };
        if node.role != NodeRole::Control.as_str() {
            let message = format!("expected a control node, found the data node {}", node.id);
            return Err(Refused::invalid("node", message, "see `sluice cluster status`"));
        }
        let member = standing.members.iter().find(|member| member.raft_id == node.raft_id).cloned();
        Ok(Self { node, member })
    }

    pub(super) fn votes(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.voter)
    }
}
