//! A cluster is upgraded to a release that knows a command more, under load; what is new waits until all nodes know it.

use std::net::SocketAddr;

use sluice_e2e::{
    balancer::Balancer,
    cluster::Cluster,
    fixture::{import, mock, route},
    grpc::{peer_channel, refusal_code},
    node::DataNode,
    process::{Build, skip},
    wait::eventually,
    writer::{Writer, holds_keys},
};
use sluice_proto::raft::{Command, Probe, ProposeReply, ProposeRequest, Stamp, command::Kind, outcome};
use sluice_rpc::raft::peer_client::PeerClient;
use tonic::Status;

fn data_node(cluster: &Cluster, index: usize, build: Build) -> DataNode {
    let urls = (0..3).map(|index| cluster.url(index)).collect::<Vec<_>>().join(",");
    DataNode::of(build, &[], &cluster.folder(&format!("data-{index}")), &urls, &["--drain-delay", "500ms"])
}

fn ports(nodes: &[DataNode]) -> Vec<(SocketAddr, SocketAddr)> {
    nodes.iter().map(|node| (node.address, node.operations)).collect()
}

/// Proposes the command of the next level at whichever node leads.
async fn probe(cluster: &Cluster, text: &str) -> Result<ProposeReply, Status> {
    let status = cluster.cli().json(&["cluster", "status"]);
    let leader = cluster.leader().await;
    let channel = peer_channel(status["clusterId"].as_str().unwrap(), &cluster.peer(leader));
    let stamp = Stamp { actor: "test".into(), ..Stamp::default() };
    let command = Command { kind: Some(Kind::Probe(Probe { stamp: Some(stamp), text: text.into() })) };
    let request = ProposeRequest { command: Some(command), timeout_ms: 5_000 };
    Ok(PeerClient::new(channel).propose(request).await?.into_inner())
}

/// What the refusal of the command says.
async fn refused(cluster: &Cluster) -> String {
    eventually("the command is refused", || async {
        match probe(cluster, "too-early").await {
            Err(status) if refusal_code(&status) == "level" => Ok(status.message().to_owned()),
            other => Err(other),
        }
    })
    .await
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_fails_no_request_and_what_is_new_waits_for_the_last_node() {
    const NAME: &str = "a_rolling_upgrade_fails_no_request_and_what_is_new_waits_for_the_last_node";
    if let Err(reason) = Build::Next.found() {
        return skip(NAME, &reason);
    }
    let mut cluster = Cluster::start(3, &[]).await;
    let api = import(&cluster.cli(), &mock(&cluster.folder(""), "pets", &["/a"]), &[]);
    let mut nodes: Vec<_> = (0..2).map(|index| data_node(&cluster, index, Build::This)).collect();
    drop(cluster.cli().text(&["api", "deploy", &api, "--stage", "prod"]));
    let clients = Balancer::start(ports(&nodes), &route(&api, "prod", "/a"));
    clients.ready(2).await;
    let all: Vec<_> = (0..3).map(|index| cluster.url(index)).collect();
    let writer = Writer::strict(all.clone());
    writer.goes_on(0).await;

    for index in 0..3 {
        drop(cluster.cli().json(&["node", "drain", &(index + 1).to_string()]));
        writer.ask(all.iter().filter(|url| **url != cluster.url(index)).cloned().collect());
        let before = writer.acknowledged();
        writer.goes_on(before + 1).await;
        assert_eq!(cluster.stop(index), Some(0), "a control node stops cleanly");
        let said = refused(&cluster).await;
        assert!(said.contains("control node"), "{said}");
        cluster.restart_as(index, Build::Next);
        cluster.ready(index).await;
        writer.ask(all.clone());
    }
    // All control nodes know it, and the data nodes do not.
    eventually("the refusal names data nodes only", || async {
        let said = refused(&cluster).await;
        let is_so = said.contains("data node") && !said.contains("control node");
        if is_so { Ok(()) } else { Err(said) }
    })
    .await;
    for index in 0..nodes.len() {
        drop(cluster.cli().json(&["node", "drain", &nodes[index].address.to_string()]));
        assert_eq!(nodes[index].process.stop(), Some(0));
        nodes[index] = data_node(&cluster, index, Build::Next);
        clients.set_nodes(ports(&nodes));
        clients.ready(2).await;
        clients.goes_on().await;
    }
    let taken = eventually("the command is taken", || async { probe(&cluster, "in-time").await }).await;
    assert!(matches!(taken.outcome.and_then(|outcome| outcome.kind), Some(outcome::Kind::Done(_))));
    let listed = cluster.cli().json(&["node", "list"]);
    let levels: Vec<_> = listed["items"].as_array().unwrap().iter().map(|node| node["level"].clone()).collect();
    assert!(levels.iter().all(|level| *level == 2), "{listed}");

    let keys = writer.stop().await;
    assert!(clients.stop().await > 0);
    for url in &all {
        holds_keys(url, &keys).await;
    }

    // There is no way back.
    let back = cluster.follower().await;
    assert_eq!(cluster.stop(back), Some(0));
    cluster.restart_as(back, Build::This);
    let mut ended = || cluster.ended(back).ok_or("it runs");
    let status = eventually("the older release does not start", || std::future::ready(ended())).await;
    assert_eq!(status.code(), Some(1));
    let log = cluster.log(back);
    let said = log.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(said.contains("feature level 1 at most, found one of level 2"), "{said}");
}
