//! Nodes that are drained, restarted one after the other, and serve on: no request fails, no write is lost.

use std::net::SocketAddr;

use serde_json::Value;
use sluice_e2e::{
    balancer::Balancer,
    cluster::Cluster,
    fixture::{import, mock, route},
    http::get,
    node::DataNode,
    wait::eventually,
    writer::{Writer, holds_keys},
};

/// Longer than the balancer of these tests takes to see that a node is not ready.
const DRAIN: [&str; 2] = ["--drain-delay", "500ms"];

fn data_node(cluster: &Cluster, name: &str, controls: usize) -> DataNode {
    let urls = (0..controls).map(|index| cluster.url(index)).collect::<Vec<_>>().join(",");
    DataNode::with(&[], &cluster.folder(name), &urls, &DRAIN)
}

fn ports(nodes: &[DataNode]) -> Vec<(SocketAddr, SocketAddr)> {
    nodes.iter().map(|node| (node.address, node.operations)).collect()
}

async fn ready(at: SocketAddr) -> bool {
    get(at, "/readyz", &[]).await.is_ok_and(|answer| answer.status() == 200)
}

fn state(cluster: &Cluster, named: &str) -> Value {
    cluster.cli().json(&["node", "get", named])["state"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_data_node_is_not_ready_serves_all_the_same_and_is_ready_again_when_told() {
    let cluster = Cluster::start(1, &[]).await;
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let nodes = [data_node(&cluster, "one", 1), data_node(&cluster, "two", 1)];
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let path = route(&api, "prod", "/a");
    let clients = Balancer::start(ports(&nodes), &path);
    clients.ready(2).await;
    let name = nodes[0].address.to_string();
    let drained = cluster.cli().json(&["node", "drain", &name]);
    assert_eq!(drained["state"], "drained", "{drained}");
    assert_eq!(state(&cluster, &name), "drained");
    assert!(!ready(nodes[0].operations).await);
    let late = get(nodes[0].address, &path, &[]).await.unwrap();
    assert_eq!((late.status().as_u16(), late.headers()["connection"].to_str().unwrap()), (200, "close"));
    clients.ready(1).await;
    let undone = cluster.cli().json(&["node", "drain", "--undo", &name]);
    assert_eq!(undone["state"], "serving", "{undone}");
    clients.ready(2).await;
    clients.goes_on().await;
    assert!(clients.stop().await > 0);
    let refused = cluster.cli().refused(1, &["node", "drain", "1"]);
    assert_eq!(refused["error"]["code"], "members", "the only control node is not drained: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_control_node_leads_no_more_and_has_no_data_nodes() {
    let cluster = Cluster::start(3, &[]).await;
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let data = data_node(&cluster, "data", 3);
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let leader = cluster.leader().await;
    let name = (leader + 1).to_string();
    let drained = cluster.cli().json(&["node", "drain", &name]);
    assert_eq!(drained["state"], "drained", "{drained}");
    assert_ne!(cluster.leader().await, leader);
    assert!(!ready(cluster.http(leader)).await);
    eventually("the data node follows another", || async {
        let node = cluster.cli().json(&["node", "get", &data.address.to_string()]);
        let control = node["controlNode"].as_str().unwrap_or_default();
        let is_other = node["state"] == "serving" && drained["id"] != control;
        if is_other { Ok(()) } else { Err(node) }
    })
    .await;
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "second"]));
    drop(cluster.cli().json(&["node", "drain", "--undo", &name]));
    assert!(ready(cluster.http(leader)).await);
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_restarted_one_after_the_other_under_load() {
    let mut cluster = Cluster::start(3, &[]).await;
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let mut nodes: Vec<_> = (0..3).map(|index| data_node(&cluster, &format!("data-{index}"), 3)).collect();
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let clients = Balancer::start(ports(&nodes), &route(&api, "prod", "/a"));
    clients.ready(3).await;
    let all: Vec<_> = (0..3).map(|index| cluster.url(index)).collect();
    let writer = Writer::strict(all.clone());
    for index in 0..nodes.len() {
        drop(cluster.cli().json(&["node", "drain", &nodes[index].address.to_string()]));
        assert_eq!(nodes[index].process.stop(), Some(0));
        nodes[index] = data_node(&cluster, &format!("data-{index}"), 3);
        clients.set_nodes(ports(&nodes));
        clients.ready(3).await;
        clients.goes_on().await;
    }
    for index in 0..3 {
        drop(cluster.cli().json(&["node", "drain", &(index + 1).to_string()]));
        // As a balancer before the control nodes does, which sees that the node is not ready.
        writer.ask(all.iter().filter(|url| **url != cluster.url(index)).cloned().collect());
        let before = writer.acknowledged();
        writer.goes_on(before + 1).await;
        assert_eq!(cluster.stop(index), Some(0), "a control node stops cleanly");
        cluster.restart(index);
        cluster.ready(index).await;
        writer.ask(all.clone());
        let before = writer.acknowledged();
        writer.goes_on(before + 3).await;
        clients.goes_on().await;
    }
    let keys = writer.stop().await;
    let sent = clients.stop().await;
    assert!(sent > 0 && !keys.is_empty());
    for url in &all {
        holds_keys(url, &keys).await;
    }
    let listed = cluster.cli().json(&["key", "list", "--all"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(keys.len()), "no write was made twice");
    eprintln!("{sent} requests and {} writes, none failed", keys.len());
}
