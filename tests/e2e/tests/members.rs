//! Control nodes and data nodes come and go under load: no request fails, no acknowledged write is lost.

use serde_json::Value;
use sluice_e2e::{
    balancer::Balancer,
    cluster::Cluster,
    fixture::{import, mock, route},
    node::DataNode,
    wait::eventually,
    writer::{Writer, holds_keys},
};

/// Status of a node that was removed.
const REMOVED: Option<i32> = Some(77);

/// URLs of all nodes but one.
fn others(cluster: &Cluster, count: usize, but: usize) -> Vec<String> {
    (0..count).filter(|index| *index != but).map(|index| cluster.url(index)).collect()
}

async fn ends(cluster: &mut Cluster, index: usize) -> Option<i32> {
    let mut ended = || cluster.ended(index).ok_or("it runs");
    eventually("the node has ended", || std::future::ready(ended())).await.code()
}

fn state(cluster: &Cluster, index: usize) -> Value {
    let status = cluster.cli().json(&["cluster", "status"]);
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let member = members.into_iter().find(|member| member["raftId"] == index + 1);
    member.map(|member| member["state"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_removed_under_load_and_stops_for_good() {
    let mut cluster = Cluster::start(3, &[]).await;
    let leader = cluster.leader().await;
    let rest = others(&cluster, 3, leader);
    let writer = Writer::strict(rest.clone());
    writer.goes_on(0).await;
    let removed = cluster.cli().json(&["cluster", "remove", &cluster.peer(leader), "--yes"]);
    assert_eq!((&removed["state"], &removed["voters"]), (&"removed".into(), &2.into()), "{removed}");
    assert_eq!(removed["warnings"][0]["code"], "even-voters", "{removed}");
    assert_eq!(ends(&mut cluster, leader).await, REMOVED);
    assert!(cluster.log(leader).contains("was removed from its cluster"), "{}", cluster.log(leader));
    let before = writer.acknowledged();
    writer.goes_on(before).await;
    let keys = writer.stop().await;
    for url in &rest {
        holds_keys(url, &keys).await;
    }
    cluster.restart(leader);
    assert_eq!(ends(&mut cluster, leader).await, REMOVED, "it does not join by itself");
    cluster.kill(leader);
    let again = cluster.cli().json(&["cluster", "remove", "--yes", removed["nodeId"].as_str().unwrap()]);
    assert_eq!(again["changed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_the_quorum_is_refused_and_says_why() {
    let mut cluster = Cluster::start(3, &[]).await;
    let leader = cluster.leader().await;
    let (down, up) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(down);
    eventually("the node is down", || async {
        let state = state(&cluster, down);
        if state == "down" { Ok(()) } else { Err(state) }
    })
    .await;
    for verb in [["cluster", "demote"], ["cluster", "remove"]] {
        let node = (up + 1).to_string();
        let mut line = vec![verb[0], verb[1], &node];
        line.extend((verb[1] == "remove").then_some("--yes"));
        let refused = cluster.cli().refused(1, &line);
        assert_eq!(refused["error"]["code"], "members", "{refused}");
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("raft node {} is down", down + 1)), "{message}");
    }
    assert_eq!(cluster.leader().await, leader, "leadership stays where it was");
    let removed = cluster.cli().json(&["cluster", "remove", &(down + 1).to_string(), "--yes"]);
    assert_eq!(removed["voters"], 2, "the one that is down may go: {removed}");
    cluster.restart(down);
    assert_eq!(ends(&mut cluster, down).await, REMOVED, "it hears of it from another");
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn control_nodes_are_demoted_promoted_removed_and_replaced_under_load() {
    let mut cluster = Cluster::founded(6, &[]).await;
    for _ in 1..3 {
        cluster.grow().await;
    }
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let data = cluster.data_node("data", &[0, 1, 2]);
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let clients = Balancer::start(vec![(data.address, data.operations)], &route(&api, "prod", "/a"));
    let mut all = (0..3).map(|index| cluster.url(index)).collect::<Vec<_>>();
    let writer = Writer::strict(all.clone());
    writer.goes_on(0).await;

    // Leadership goes round, and comes back by name.
    let first = cluster.leader().await;
    let moved = cluster.cli().json(&["cluster", "transfer-leader"]);
    assert_ne!(moved["leader"], first + 1, "{moved}");
    let back = cluster.cli().json(&["cluster", "transfer-leader", &(first + 1).to_string()]);
    assert_eq!(back["leader"], first + 1, "{back}");

    // The leader loses its vote and has it back, and so does a follower.
    for index in [cluster.leader().await, cluster.follower().await] {
        let node = (index + 1).to_string();
        let demoted = cluster.cli().json(&["cluster", "demote", &node]);
        assert_eq!((&demoted["state"], &demoted["voters"]), (&"learner".into(), &2.into()), "{demoted}");
        let before = writer.acknowledged();
        // Longer than the leader takes to look at its learners.
        writer.goes_on(before + 100).await;
        assert_eq!(state(&cluster, index), "learner", "it is not promoted unasked");
        let promoted = cluster.cli().json(&["cluster", "promote", &node]);
        assert_eq!((&promoted["state"], &promoted["voters"]), (&"voter".into(), &3.into()), "{promoted}");
    }

    // A node loses its disk: it is removed while it is down, and another takes its place.
    let lost = cluster.follower().await;
    all.retain(|url| *url != cluster.url(lost));
    writer.ask(all.clone());
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.data_dir(lost)).unwrap();
    cluster.restart(lost);
    assert_eq!(ends(&mut cluster, lost).await, Some(1), "an emptied folder holds no node");
    assert!(cluster.log(lost).contains("holds no node"), "{}", cluster.log(lost));
    cluster.kill(lost);
    drop(cluster.cli().json(&["cluster", "remove", &(lost + 1).to_string(), "--yes"]));
    cluster.lose_vote();
    cluster.grow().await;
    all.push(cluster.url(3));
    writer.ask(all.clone());
    let before = writer.acknowledged();
    writer.goes_on(before).await;

    // Every one of the first three makes way for a new one, the leader among them.
    for (new, index) in (4..).zip((0..3).filter(|index| *index != lost)) {
        all.retain(|url| *url != cluster.url(index));
        writer.ask(all.clone());
        drop(cluster.cli().json(&["cluster", "remove", &(index + 1).to_string(), "--yes"]));
        cluster.lose_vote();
        assert_eq!(ends(&mut cluster, index).await, REMOVED);
        cluster.kill(index);
        cluster.grow().await;
        all.push(cluster.url(new));
        writer.ask(all.clone());
        clients.goes_on().await;
    }
    let keys = writer.stop().await;
    assert!(clients.stop().await > 0);
    for url in &all {
        holds_keys(url, &keys).await;
    }
    let listed = cluster.cli().json(&["key", "list", "--all"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(keys.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_data_node_leaves_without_a_failed_request_and_is_not_taken_in_again() {
    let cluster = Cluster::start(1, &[]).await;
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let urls = cluster.url(0);
    let start = |name: &str| DataNode::with(&[], &cluster.folder(name), &urls, &["--drain-delay", "1s"]);
    let (stays, mut goes) = (start("stays"), start("goes"));
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let nodes = [&stays, &goes].map(|node| (node.address, node.operations)).to_vec();
    let clients = Balancer::start(nodes, &route(&api, "prod", "/a"));
    clients.ready(2).await;
    let removed = cluster.cli().json(&["node", "remove", &goes.address.to_string(), "--yes"]);
    assert_eq!((&removed["role"], &removed["state"]), (&"data".into(), &"removed".into()), "{removed}");
    let mut ended = || goes.process.ended().ok_or("it runs");
    let status = eventually("the data node has stopped", || std::future::ready(ended())).await;
    assert_eq!(status.code(), REMOVED);
    clients.goes_on().await;
    assert!(clients.stop().await > 0);
    let listed = cluster.cli().json(&["node", "list", "--role", "data"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");

    // Its folder says so, and so does the cluster to one whose folder was put back.
    let mut again = start("goes");
    let mut ended = || again.process.ended().ok_or("it runs");
    let status = eventually("the data node does not start", || std::future::ready(ended())).await;
    assert_eq!(status.code(), REMOVED);
    std::fs::remove_file(cluster.folder("goes").join("removed")).unwrap();
    let mut again = start("goes");
    let mut ended = || again.process.ended().ok_or("it runs");
    let status = eventually("the data node is refused", || std::future::ready(ended())).await;
    assert_eq!(status.code(), REMOVED);
}
