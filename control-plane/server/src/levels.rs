//! What every node supports, and the cluster's feature level, which the leader raises when all support the next.
//!
//! Promise: the level is raised when every member of Raft's group and every data node that is connected knows it, once all
//! control nodes have said which data nodes they have; rows of data nodes follow what they say of themselves. Absent: refusing
//! what is above the level (`sluice-admin`, `sluice-raft`); lowering it, which nothing does.

use std::{collections::BTreeMap, time::Duration};

use sluice_model::LEVEL;
use sluice_proto::{
    admin::NodeLine,
    raft::{Node, PutNode, RaiseLevel, command},
};
use sluice_raft::Raft;
use sluice_sync::Fleet;
use tracing::info;

use crate::housekeeping::{propose, stamp};

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows of data nodes written at one look: a fleet that is upgraded writes no more at once.
const ROWS_MAX: usize = 16;

/// Runs until it is dropped, which it may be at any time. `this` is what the node says of itself.
pub(crate) async fn run(raft: Raft, fleet: Fleet, this: Node) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !raft.leadership().borrow().this {
            continue;
        }
        let (nodes, lines) = (raft.view().nodes(), fleet.nodes());
        for row in changed_rows(&nodes, &lines) {
            let put = PutNode { stamp: Some(stamp(&raft, &this)), node: Some(row) };
            propose(&raft, command::Kind::PutNode(put)).await;
        }
        let members: Vec<u64> = raft.members().into_iter().map(|member| member.raft_id).collect();
        let level = raft.view().cluster().map_or(0, |cluster| cluster.level);
        let next = supported(&members, &nodes, &lines).map_or(0, |supported| supported.min(LEVEL));
        if level > 0 && next > level && fleet.hears_all_voters() {
            info!(level = next, before = level, "all nodes support the next feature level");
            let raise = RaiseLevel { stamp: Some(stamp(&raft, &this)), level: next };
            propose(&raft, command::Kind::RaiseLevel(raise)).await;
        }
    }
}

/// The level that all members and connected data nodes know; none while a member has not said which it knows.
fn supported(members: &[u64], nodes: &[Node], lines: &[NodeLine]) -> Option<u32> {
    let known: BTreeMap<u64, u32> = nodes.iter().map(|node| (node.raft_id, node.level)).collect();
    let members: Option<Vec<u32>> = members.iter().map(|raft_id| known.get(raft_id).copied()).collect();
    let connected = lines.iter().filter(|line| line.state != "gone").map(|line| line.level);
    members?.into_iter().chain(connected).min()
}

/// Rows of data nodes that say another version, level or address than the node does now.
fn changed_rows(nodes: &[Node], lines: &[NodeLine]) -> Vec<Node> {
    let connected: BTreeMap<&str, &NodeLine> =
        lines.iter().filter(|line| line.state != "gone").map(|line| (line.id.as_str(), line)).collect();
    let row = |node: &Node| {
        let line = connected.get(node.id.as_str())?;
        let row = Node {
            version: line.version.clone(),
            level: line.level,
            public_address: line.address.clone(),
            ..node.clone()
        };
        (row != *node).then_some(row)
    };
    nodes.iter().filter(|node| node.role == "data").filter_map(row).take(ROWS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, role: &str, raft_id: u64, level: u32) -> Node {
        Node { id: id.into(), role: role.into(), raft_id, level, ..Node::default() }
    }

    fn line(id: &str, state: &str, level: u32) -> NodeLine {
        NodeLine { id: id.into(), role: "data".into(), state: state.into(), level, ..NodeLine::default() }
    }

    #[test]
    fn the_level_is_that_of_the_node_that_knows_least_and_nobody_is_guessed() {
        let nodes = [node("c1", "control", 1, 2), node("c2", "control", 2, 2)];
        assert_eq!(supported(&[1, 2], &nodes, &[line("d1", "serving", 2)]), Some(2));
        assert_eq!(supported(&[1, 2], &nodes, &[line("d1", "draining", 1)]), Some(1));
        assert_eq!(supported(&[1, 2], &nodes, &[line("d1", "gone", 1)]), Some(2), "it fails closed when it comes back");
        assert_eq!(supported(&[1, 2, 3], &nodes, &[]), None, "the third has not said");
    }

    #[test]
    fn rows_of_data_nodes_follow_those_that_are_connected() {
        let nodes = [node("d1", "data", 0, 1), node("d2", "data", 0, 1), node("c1", "control", 1, 1)];
        let lines = [line("d1", "serving", 2), line("d2", "gone", 2), line("c1", "serving", 2)];
        let changed = changed_rows(&nodes, &lines);
        assert_eq!(changed.iter().map(|row| (row.id.as_str(), row.level)).collect::<Vec<_>>(), [("d1", 2)]);
        assert!(changed_rows(&changed, &lines).is_empty(), "a quiet fleet writes nothing");
    }
}
