//! A deployment is said to be served only when it is: a data node that lags is named, one that is gone is not waited for.

use serde_json::Value;
use sluice_e2e::{
    cli::Cli, cluster::Cluster, fixture, follow::Observer, http::get, node::DataNode, process::Pause, wait::eventually,
};
use sluice_proto::sync::from_control;

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_waits_for_every_connected_data_node_and_names_the_one_that_lags() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "first", &["/one"]), &[]);
    let alone = cli.refused(5, &["api", "deploy", &api, "--stage", "prod", "--wait-timeout", "500ms"]);
    assert!(message(&alone).contains("no data node is connected"), "{alone}");

    let (mut quick, slow) = (cluster.data_node("quick", &[0]), cluster.data_node("slow", &[0]));
    connected(&cli, 2).await;
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod"]);
    assert_eq!(states(&deployed), ["served", "served"], "{deployed}");

    slow.process.pause(Pause::Begin);
    drop(fixture::import(&cli, &fixture::mock(&cluster.folder(""), "second", &["/two"]), &["--update", &api]));
    let late = cli.refused(5, &["api", "deploy", &api, "--stage", "prod", "--wait-timeout", "3s"]);
    assert!(message(&late).contains("served by 1 of 2 data nodes only"), "{late}");
    let named = late["error"]["diagnostics"].as_array().unwrap();
    assert_eq!(named.len(), 1, "only the one that lags is named: {late}");
    assert_eq!(named[0]["code"], "node-waiting", "{late}");
    assert!(named[0]["at"].as_str().unwrap().contains(&slow.address.to_string()), "{late}");
    let two = fixture::route(&api, "prod", "/two");
    assert_eq!(
        get(quick.address, &two, &[]).await.unwrap().status(),
        200,
        "what was committed is served where it can be"
    );

    slow.process.pause(Pause::End);
    serves(&slow, &two).await;
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod"]);
    assert_eq!(states(&deployed), ["served", "served"], "{deployed}");

    quick.process.kill();
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod"]);
    assert!(states(&deployed).contains(&"served"), "{deployed}");
    let nodes = cli.json(&["node", "list"]);
    let gone = nodes["items"].as_array().unwrap().iter().find(|node| node["address"] == quick.address.to_string());
    assert_eq!(gone.unwrap()["state"], "gone", "{nodes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_data_node_and_a_lost_control_node_hold_up_no_deployment() {
    let mut cluster = Cluster::start(3, &[]).await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "first", &["/one"]), &[]);
    let all = [0, 1, 2];
    let (stays, mut retired) = (cluster.data_node("stays", &all), cluster.data_node("retired", &all));
    connected(&cli, 2).await;
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod"]));
    let one = fixture::route(&api, "prod", "/one");
    serves(&stays, &one).await;

    retired.process.kill();
    let lost = cluster.follower().await;
    cluster.kill(lost);
    let deployed = cluster.cli().json(&["api", "deploy", &api, "--stage", "prod"]);
    assert!(states(&deployed).contains(&"served"), "{deployed}");
    let status = cluster.cli().json(&["cluster", "status"]);

    let leader = cluster.leader().await;
    let observer = Observer::new(status["clusterId"].as_str().unwrap());
    let held = observer.snapshot(&cluster.url(leader)).await.unwrap().revision.unwrap();
    cluster.kill(leader);
    let last = all.into_iter().find(|index| *index != lost && *index != leader).unwrap();
    eventually("a control node without a leader sends data nodes elsewhere", || async {
        match observer.first(&cluster.url(last), held.clone()).await {
            Ok(from_control::Kind::Detached(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(get(stays.operations, "/readyz", &[]).await.unwrap().status(), 200, "it serves what it has");
    serves(&stays, &one).await;

    cluster.restart(lost);
    cluster.ready(lost).await;
    let deployed = cluster.cli().json(&["api", "deploy", &api, "--stage", "prod"]);
    assert!(states(&deployed).contains(&"served"), "{deployed}");
}

fn message(refused: &Value) -> &str {
    refused["error"]["message"].as_str().unwrap()
}

fn states(deployed: &Value) -> Vec<&str> {
    deployed["nodes"].as_array().unwrap().iter().map(|node| node["state"].as_str().unwrap()).collect()
}

async fn connected(cli: &Cli, wanted: usize) {
    eventually("the data nodes are connected", || async {
        let nodes = cli.json(&["node", "list"]);
        let items = nodes["items"].as_array().cloned().unwrap_or_default();
        let serving = items.iter().filter(|node| node["role"] == "data" && node["state"] == "serving").count();
        if serving == wanted { Ok(()) } else { Err(nodes) }
    })
    .await;
}

async fn serves(node: &DataNode, path: &str) {
    eventually("the data node serves", || async {
        let answer = get(node.address, path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
