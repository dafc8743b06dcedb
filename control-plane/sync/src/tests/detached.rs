//! A control node whose reports no leader takes: what holds a revision goes elsewhere, what holds none is served.

use std::time::Duration;

use sluice_proto::sync::from_control::Kind;

use crate::{
    Fleet,
    testing::{Cluster, DataNode, Moved, Node, quick},
    timing::Timing,
};

const LONG: Duration = Duration::from_secs(20);

fn soon() -> Timing {
    Timing { reporter_silence_max: Duration::from_millis(300), beat_every: Duration::from_millis(10), ..quick() }
}

async fn detached(fleet: &Fleet<Node>) {
    let until = async {
        while !fleet.is_detached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, until).await.expect("no leader takes its reports");
}

#[tokio::test]
async fn a_data_node_leaves_a_control_node_that_cannot_report_it() {
    let cluster = Cluster::start(2, soon());
    let mut node = DataNode::serving(&cluster, &cluster.servers[1], "d1").await;
    let mut stays = DataNode::serving(&cluster, &cluster.servers[0], "d2").await;
    cluster.cut_off(2);
    assert!(matches!(node.next().await, Ok(Kind::Detached(_))));
    assert!(matches!(node.next().await, Err(None)), "the stream ends");
    for _ in 0..3 {
        assert!(stays.beaten().await, "the leader's own are not sent away");
    }
    assert!(!cluster.fleets[0].is_detached());
}

#[tokio::test]
async fn a_detached_control_node_turns_away_what_holds_a_revision_and_serves_what_holds_none() {
    let mut cluster = Cluster::start(2, soon());
    let number = cluster.change("p1");
    cluster.cut_off(2);
    detached(&cluster.fleets[1]).await;
    let held = Some(cluster.revision(number));
    let mut holds = DataNode::connect(&cluster, &cluster.servers[1], "d1", held.clone()).await;
    assert!(matches!(holds.next().await, Ok(Kind::Detached(_))));
    assert!(matches!(holds.next().await, Err(None)), "the stream ends");
    let mut empty = DataNode::connect(&cluster, &cluster.servers[1], "d2", None).await;
    empty.welcomed().await;
    assert!(matches!(empty.moved().await, Moved::BySnapshot { .. }));
    empty.applied().await;
    assert!(matches!(empty.next().await, Ok(Kind::Detached(_))), "now it holds something too");
    let mut elsewhere = DataNode::connect(&cluster, &cluster.servers[0], "d1", held).await;
    elsewhere.welcomed().await;
}

#[tokio::test]
async fn a_control_node_that_is_heard_again_serves_again() {
    let cluster = Cluster::start(2, soon());
    cluster.cut_off(2);
    detached(&cluster.fleets[1]).await;
    cluster.connect(2);
    let again = async {
        while cluster.fleets[1].is_detached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, again).await.expect("its reports are taken");
    let mut node = DataNode::connect(&cluster, &cluster.servers[1], "d1", Some(cluster.revision(0))).await;
    node.welcomed().await;
}

#[tokio::test]
async fn the_data_nodes_of_a_leader_that_no_quorum_confirms_leave_it_and_those_that_report_to_it() {
    let cluster = Cluster::start(2, soon());
    let mut own = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let mut other = DataNode::serving(&cluster, &cluster.servers[1], "d2").await;
    cluster.nodes[0].lose_quorum();
    assert!(matches!(own.next().await, Ok(Kind::Detached(_))));
    assert!(matches!(other.next().await, Ok(Kind::Detached(_))));
}
