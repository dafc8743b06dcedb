//! What the leader knows of the data nodes, and what waits for it.

use std::time::Duration;

use sluice_model::limits;
use sluice_proto::{admin::WaitReply, model::Diagnostic, sync::Broken};

use crate::{
    Fleet,
    testing::{Cluster, DataNode, Node, quick},
    timing::Timing,
};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);
/// For an answer that must not come.
const SHORT: Duration = Duration::from_millis(100);

fn states(reply: &WaitReply) -> Vec<(&str, &str)> {
    reply.nodes.iter().map(|node| (node.node_id.as_str(), node.state.as_str())).collect()
}

/// Waits until a fleet lists this many data nodes of a state.
async fn listed(fleet: &Fleet<Node>, state: &str, count: usize) {
    let all = async {
        while fleet.nodes().iter().filter(|line| line.state == state).count() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, all).await.expect("the fleet hears of it");
}

#[tokio::test]
async fn a_wait_ends_when_the_last_node_of_the_last_control_node_serves() {
    let mut cluster = Cluster::start(3, quick());
    let mut first = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let mut second = DataNode::serving(&cluster, &cluster.servers[2], "d2").await;
    listed(&cluster.fleets[0], "serving", 2).await;
    let number = cluster.change("p1");
    let revision = cluster.revision(number);
    first.moved().await;
    first.applied().await;
    second.moved().await;
    let early = cluster.fleets[0].wait(revision.clone(), Vec::new(), SHORT).await;
    assert!(!early.served);
    assert_eq!(states(&early), [("d1", "served"), ("d2", "waiting")]);
    let fleet = cluster.fleets[0].clone();
    let waiting = tokio::spawn(async move { fleet.wait(revision, Vec::new(), LONG).await });
    second.applied().await;
    let reply = waiting.await.unwrap();
    assert!(reply.served && reply.voters_not_heard.is_empty());
    assert_eq!(states(&reply), [("d1", "served"), ("d2", "served")]);
}

#[tokio::test]
async fn a_wait_needs_at_least_one_node_and_takes_the_first_that_comes() {
    let cluster = Cluster::start(1, quick());
    let none = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), SHORT).await;
    assert!(!none.served && none.nodes.is_empty());
    let fleet = cluster.fleets[0].clone();
    let revision = cluster.revision(0);
    let waiting = tokio::spawn(async move { fleet.wait(revision, Vec::new(), LONG).await });
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert!(waiting.await.unwrap().served);
}

#[tokio::test]
async fn a_node_that_leaves_is_dropped_from_the_wait() {
    let mut cluster = Cluster::start(2, quick());
    let mut stays = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let leaves = DataNode::serving(&cluster, &cluster.servers[1], "d2").await;
    listed(&cluster.fleets[0], "serving", 2).await;
    let number = cluster.change("p1");
    stays.moved().await;
    stays.applied().await;
    let (fleet, revision) = (cluster.fleets[0].clone(), cluster.revision(number));
    let waiting = tokio::spawn(async move { fleet.wait(revision, Vec::new(), LONG).await });
    drop(leaves);
    let reply = waiting.await.unwrap();
    assert!(reply.served);
    assert_eq!(states(&reply), [("d1", "served"), ("d2", "gone")]);
}

#[tokio::test]
async fn a_node_that_moves_to_another_control_node_is_waited_for() {
    let timing = Timing { gone_after: LONG, ..quick() };
    let mut cluster = Cluster::start(2, timing);
    let moves = DataNode::serving(&cluster, &cluster.servers[1], "d1").await;
    listed(&cluster.fleets[0], "serving", 1).await;
    drop(moves);
    listed(&cluster.fleets[0], "gone", 1).await;
    let number = cluster.change("p1");
    let early = cluster.fleets[0].wait(cluster.revision(number), Vec::new(), SHORT).await;
    assert_eq!((early.served, states(&early)), (false, vec![("d1", "waiting")]));
    let _moved = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert!(cluster.fleets[0].wait(cluster.revision(number), Vec::new(), LONG).await.served);
}

#[tokio::test]
async fn a_broken_api_is_an_answer_with_its_reasons() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let number = cluster.change("p1");
    node.moved().await;
    let diagnostic = Diagnostic { at: "x".to_owned(), message: "no uri".to_owned(), ..Diagnostic::default() };
    node.applied_with(vec![Broken { api_id: "a1b2c3d4e5".to_owned(), diagnostics: vec![diagnostic] }]).await;
    let reply = cluster.fleets[0].wait(cluster.revision(number), Vec::new(), LONG).await;
    assert_eq!((reply.served, states(&reply)), (false, vec![("d1", "broken")]));
    assert_eq!(reply.nodes[0].diagnostics, ["api a1b2c3d4e5: x: no uri"]);
    let line = cluster.fleets[0].nodes().remove(0);
    assert_eq!((line.state.as_str(), line.broken_apis), ("serving", vec!["a1b2c3d4e5".to_owned()]));
    assert_eq!(
        (line.broken[0].api_id.as_str(), &*line.broken[0].diagnostics),
        ("a1b2c3d4e5", &["x: no uri".to_owned()][..])
    );
}

#[tokio::test]
async fn a_data_node_that_serves_an_older_revision_as_a_whole_is_broken_whichever_api_is_asked_about() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let number = cluster.change("p1");
    node.moved().await;
    let why = Diagnostic { message: "a defect".to_owned(), ..Diagnostic::default() };
    node.applied_but(why).await;
    let reply = cluster.fleets[0].wait(cluster.revision(number), vec!["other00001".to_owned()], LONG).await;
    assert_eq!((reply.served, states(&reply)), (false, vec![("d1", "broken")]));
    assert_eq!(reply.nodes[0].diagnostics, ["a defect"]);
    let line = cluster.fleets[0].nodes().remove(0);
    assert_eq!((line.state.as_str(), line.not_compiled), ("broken", vec!["a defect".to_owned()]));
}

#[tokio::test]
async fn an_api_that_is_not_asked_about_may_be_broken() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let number = cluster.change("p1");
    node.moved().await;
    let broken = |id: usize| Broken { api_id: format!("broken{id:04}"), ..Broken::default() };
    node.applied_with(vec![broken(1)]).await;
    let fleet = cluster.fleets[0].clone();
    let asked = async |ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let reply = fleet.wait(cluster.revision(number), ids, LONG).await;
        (reply.served, reply.nodes[0].state.clone())
    };
    assert_eq!(asked(&["other00001"]).await, (true, "served".to_owned()));
    assert_eq!(asked(&["other00001", "broken0001"]).await, (false, "broken".to_owned()));
    assert_eq!(asked(&[]).await, (false, "broken".to_owned()));
    node.applied_with((0..limits::BROKEN_APIS_MAX).map(broken).collect()).await;
    while fleet.nodes()[0].broken_apis.len() < limits::BROKEN_APIS_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked(&["other00001"]).await, (false, "broken".to_owned()), "it may be one that is not told");
}

#[tokio::test]
async fn a_wait_is_open_while_a_voter_may_hide_data_nodes_and_then_only_names_it() {
    let mut cluster = Cluster::start(3, Timing { hidden_max: LONG, ..quick() });
    // One that was retired and never comes back.
    cluster.join("d9");
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.cut_off(3);
    cluster.lead(1, 2);
    let early = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), SHORT).await;
    assert_eq!((early.served, early.voters_not_heard.as_slice()), (false, &[3][..]));
    assert_eq!(states(&early), [("d1", "served")], "there is no other obstacle, and yet it is not an answer");

    let mut cluster = Cluster::start(3, quick());
    cluster.join("d9");
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.cut_off(3);
    cluster.lead(1, 2);
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), LONG).await;
    assert_eq!((reply.served, reply.voters_not_heard.as_slice()), (true, &[3][..]));
    assert_eq!(states(&reply), [("d1", "served")]);
}

#[tokio::test]
async fn a_broken_api_is_said_at_once_whoever_is_not_heard() {
    let mut cluster = Cluster::start(2, Timing { hidden_max: LONG, ..quick() });
    cluster.join("d9");
    let node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.cut_off(2);
    cluster.lead(1, 2);
    node.applied_with(vec![Broken { api_id: "a1b2c3d4e5".to_owned(), ..Broken::default() }]).await;
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), LONG * 2).await;
    assert_eq!((reply.served, states(&reply)), (false, vec![("d1", "broken")]));
}

#[tokio::test]
async fn a_voter_that_is_not_heard_does_not_matter_when_every_joined_node_is_elsewhere() {
    let mut cluster = Cluster::start(3, Timing { hidden_max: LONG, ..quick() });
    cluster.join("d1");
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.cut_off(3);
    cluster.lead(1, 2);
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), LONG).await;
    assert!(reply.served && reply.voters_not_heard.is_empty());
    cluster.join("d2");
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), SHORT).await;
    assert_eq!((reply.served, reply.voters_not_heard.as_slice()), (false, &[3][..]));
}

#[tokio::test]
async fn a_new_leader_learns_of_every_session() {
    let mut cluster = Cluster::start(3, quick());
    let mut first = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let mut second = DataNode::serving(&cluster, &cluster.servers[1], "d2").await;
    listed(&cluster.fleets[0], "serving", 2).await;
    cluster.lead(2, 2);
    let reply = cluster.fleets[1].wait(cluster.revision(0), Vec::new(), LONG).await;
    assert!(reply.served && reply.nodes.len() == 2);
    let number = cluster.change("p1");
    for node in [&mut first, &mut second] {
        node.moved().await;
        node.applied().await;
    }
    assert!(cluster.fleets[1].wait(cluster.revision(number), Vec::new(), LONG).await.served);
}

#[tokio::test]
async fn a_node_that_does_not_lead_or_stops_to_answers_at_once() {
    let cluster = Cluster::start(2, quick());
    assert!(!cluster.fleets[1].wait(cluster.revision(0), Vec::new(), LONG).await.served);
    let (fleet, revision) = (cluster.fleets[0].clone(), cluster.revision(7));
    let waiting = tokio::spawn(async move { fleet.wait(revision, Vec::new(), Duration::from_secs(600)).await });
    cluster.lead(2, 2);
    assert!(!waiting.await.unwrap().served);
}

#[tokio::test]
async fn a_leader_that_no_quorum_confirms_never_says_that_all_is_served() {
    let cluster = Cluster::start(3, quick());
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert!(cluster.fleets[0].wait(cluster.revision(0), Vec::new(), LONG).await.served);
    cluster.nodes[0].lose_quorum();
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), SHORT).await;
    assert_eq!((reply.served, states(&reply)), (false, vec![("d1", "served")]));
    let (fleet, revision) = (cluster.fleets[0].clone(), cluster.revision(0));
    let waiting = tokio::spawn(async move { fleet.wait(revision, Vec::new(), LONG).await });
    cluster.nodes[0].catch_up();
    assert!(waiting.await.unwrap().served, "once it is confirmed it says so");
}

#[tokio::test]
async fn a_voter_that_fell_silent_hides_its_data_nodes_until_they_have_left_it() {
    let timing = Timing { reporter_silence_max: Duration::from_millis(300), hidden_max: LONG, ..quick() };
    let mut cluster = Cluster::start(2, timing);
    cluster.join("d1");
    cluster.join("d2");
    let _first = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let second = DataNode::serving(&cluster, &cluster.servers[1], "d2").await;
    listed(&cluster.fleets[0], "serving", 2).await;
    cluster.cut_off(2);
    listed(&cluster.fleets[0], "gone", 1).await;
    let reply = cluster.fleets[0].wait(cluster.revision(0), Vec::new(), SHORT).await;
    assert_eq!((reply.served, reply.voters_not_heard.as_slice()), (false, &[2][..]));
    drop(second);
    let _moved = DataNode::serving(&cluster, &cluster.servers[0], "d2").await;
    assert!(cluster.fleets[0].wait(cluster.revision(0), Vec::new(), LONG).await.served);
}

#[tokio::test]
async fn the_sessions_of_a_control_node_that_falls_silent_are_gone() {
    let timing = Timing { reporter_silence_max: Duration::from_millis(300), ..quick() };
    let cluster = Cluster::start(2, timing);
    let _node = DataNode::serving(&cluster, &cluster.servers[1], "d1").await;
    listed(&cluster.fleets[0], "serving", 1).await;
    cluster.cut_off(2);
    listed(&cluster.fleets[0], "gone", 1).await;
}

#[tokio::test]
async fn every_data_node_that_joined_is_listed() {
    let mut cluster = Cluster::start(1, quick());
    cluster.join("d1");
    cluster.join("d2");
    cluster.change("p1");
    let _node = DataNode::serving(&cluster, &cluster.servers[0], "d2").await;
    listed(&cluster.fleets[0], "serving", 1).await;
    let lines = cluster.fleets[0].nodes();
    let shown: Vec<_> = lines.iter().map(|line| (line.id.as_str(), line.state.as_str(), line.applied_number)).collect();
    assert_eq!(shown, [("d1", "gone", 0), ("d2", "serving", 1)]);
    assert_eq!(lines[1].address, "d2:8080");
}
