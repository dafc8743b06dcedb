//! Nodes that are taken out, and control nodes that are kept from voting.

use sluice_proto::raft::{HoldNode, Node, PutNode, RemoveNode, RemovedNode, command::Kind, rejected::Code};

use super::cluster::{Cluster, code, done, node};

fn put(node: Node) -> Kind {
    Kind::PutNode(PutNode { stamp: None, node: Some(node) })
}

fn remove(id: &str, role: &str, raft_id: u64) -> Kind {
    let node =
        RemovedNode { id: id.into(), role: role.into(), raft_id, removed_by: "local".into(), ..Default::default() };
    Kind::RemoveNode(RemoveNode { stamp: None, node: Some(node) })
}

fn hold(id: &str, held: bool) -> Kind {
    Kind::HoldNode(HoldNode { stamp: None, node_id: id.into(), held })
}

#[test]
fn a_removed_node_does_not_come_back_and_its_number_names_no_other() {
    let mut cluster = Cluster::founded();
    done(cluster.apply(put(node("n2", "control", 2))));
    done(cluster.apply(remove("n2", "control", 2)));
    assert!(cluster.view().nodes().is_empty());
    let kept = cluster.view().removed_node("n2").unwrap();
    assert_eq!((kept.raft_id, kept.removed_ms, kept.removed_by.as_str()), (2, cluster.now_ms, "local"));
    assert_eq!(code(cluster.apply(put(node("n2", "control", 2)))), Code::Invalid, "it announces itself once more");
    assert_eq!(code(cluster.apply(put(node("n3", "control", 2)))), Code::NotUnique);
    assert_eq!(code(cluster.apply(remove("n2", "control", 2))), Code::AlreadyExists);
    done(cluster.apply(put(node("n3", "control", 3))));
    done(cluster.apply(remove("never-listed", "control", 4)));
    assert_eq!(cluster.view().removed_nodes().len(), 2);
}

#[test]
fn a_node_that_is_held_stays_so_whatever_it_says_of_itself() {
    let mut cluster = Cluster::founded();
    done(cluster.apply(put(node("n1", "control", 1))));
    done(cluster.apply(put(node("d1", "data", 0))));
    done(cluster.apply(hold("n1", true)));
    let announced = Node { version: "2".into(), ..node("n1", "control", 1) };
    done(cluster.apply(put(announced)));
    let held = |cluster: &Cluster| cluster.view().nodes().into_iter().find(|node| node.id == "n1").unwrap().held;
    assert!(held(&cluster));
    done(cluster.apply(hold("n1", false)));
    assert!(!held(&cluster));
    done(cluster.apply(put(Node { held: true, ..node("n1", "control", 1) })));
    assert!(!held(&cluster), "a node does not hold itself either");
    assert_eq!(code(cluster.apply(hold("d1", true))), Code::Invalid);
    assert_eq!(code(cluster.apply(hold("nobody", true))), Code::NotFound);
}

#[test]
fn of_removed_nodes_the_oldest_data_node_is_forgotten_first() {
    let mut cluster = Cluster::founded();
    cluster.bounds.removed_nodes_max = 3;
    for (id, role, raft_id) in [("c1", "control", 1), ("z", "data", 0), ("y", "data", 0), ("a", "data", 0)] {
        cluster.now_ms += 1;
        done(cluster.apply(remove(id, role, raft_id)));
    }
    let kept = |cluster: &Cluster| -> Vec<String> {
        cluster.view().removed_nodes().into_iter().map(|removed| removed.id).collect()
    };
    assert_eq!(kept(&cluster), ["a", "c1", "y"]);
    for raft_id in 2..4 {
        done(cluster.apply(remove(&format!("c{raft_id}"), "control", raft_id)));
    }
    assert_eq!(code(cluster.apply(remove("c4", "control", 4))), Code::Capacity);
    assert_eq!(kept(&cluster), ["c1", "c2", "c3"], "their numbers must name no other");
}
