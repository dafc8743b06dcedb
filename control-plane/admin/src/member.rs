//! Control nodes as Raft and the replicated state know them.

use sluice_proto::{
    admin::{Member, NodeLine},
    raft::Node,
};
use sluice_raft::MemberStatus;
use sluice_state::{Tables, View};

use crate::{
    admin::Admin,
    replica::{Replica, Standing},
};

impl<R: Replica> Admin<R> {
    /// The members of Raft's group, with what they said of themselves when they joined.
    pub(crate) fn members<T: Tables>(&self, view: &View<T>) -> Vec<Member> {
        let standing = self.replica.standing();
        let nodes = view.nodes();
        let draining = self.sessions.draining();
        standing.members.iter().map(|member| joined(member, &standing, &nodes, &draining)).collect()
    }

    /// A line for every control node.
    pub(crate) fn control_lines<T: Tables>(&self, view: &View<T>) -> Vec<NodeLine> {
        let standing = self.replica.standing();
        let nodes = view.nodes();
        let lines = self.members(view).into_iter().map(|member| {
            let node = nodes.iter().find(|node| node.raft_id == member.raft_id);
            let is_this = member.raft_id == standing.raft_id;
            NodeLine {
                id: member.node_id,
                role: "control".to_owned(),
                address: member.public_address,
                state: member.state,
                version: member.version,
                level: node.map_or(0, |node| node.level),
                raft_id: member.raft_id,
                certificate_expires_ms: member.certificate_expires_ms,
                applied_number: if is_this { view.number() } else { 0 },
                applied_index: if is_this { standing.applied_index } else { member.matched_index },
                ..NodeLine::default()
            }
        });
        lines.collect()
    }
}

fn joined(member: &MemberStatus, standing: &Standing, nodes: &[Node], draining: &[(u64, usize)]) -> Member {
    let node = nodes.iter().find(|node| node.raft_id == member.raft_id);
    let left = |member: &MemberStatus| draining.iter().find(|(id, _)| *id == member.raft_id).map(|(_, left)| *left);
    let state = match member {
        _ if standing.leader == Some(member.raft_id) => "leader",
        member if member.down => "down",
        member if left(member).is_some() => {
            if left(member) == Some(0) {
                "drained"
            } else {
                "draining"
            }
        }
        member if member.voter => "voter",
        _ => "learner",
    };
    let text = |field: fn(&Node) -> &String| node.map(|node| field(node).clone()).unwrap_or_default();
    Member {
        node_id: node.map_or_else(|| member.raft_id.to_string(), |node| node.id.clone()),
        raft_id: member.raft_id,
        peer_address: member.address.clone(),
        public_address: text(|node| &node.public_address),
        state: state.to_owned(),
        matched_index: member.matched.unwrap_or(0),
        version: text(|node| &node.version),
        free_bytes: member.free_bytes.unwrap_or(0),
        clock_offset_ms: member.clock_offset_ms.unwrap_or(0),
        certificate_expires_ms: node.map_or(0, |node| node.certificate_expires_ms),
    }
}
