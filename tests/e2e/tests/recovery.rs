//! What dies comes back with everything it had.

use nix::sys::signal::Signal;
use serde_json::Value;
use sluice_e2e::{
    backend::Backend, cli::Cli, cluster::Cluster, dev::Dev, http::get, node::DataNode, process::signal,
    wait::eventually,
};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_everything_survives_a_full_stop() {
    let folder = TempDir::new().unwrap();
    let backend = Backend::start().await;
    let dev = Dev::start(3, 2, folder.path());
    let cli = dev.cli();
    let api = deploy_one_route(&cli, folder.path(), &backend.url());
    let path = format!("/_aws/execute-api/{api}/prod/hello");
    let leader = leader(&cli);
    signal(dev.pid(&format!("control-{leader}")), Signal::SIGKILL);
    for index in 0..2 {
        assert_eq!(get(dev.gateway(index), &path, &[]).await.unwrap().status(), 200, "data nodes serve on");
    }
    let key = cli.clone().with(&["--timeout", "30s"]).json(&["key", "create", "after-the-leader"]);
    drop(cli.text(&["api", "deploy", &api, "--stage", "second"]));
    dev.stop();

    let dev = Dev::start(3, 2, folder.path());
    let cli = dev.cli();
    assert_eq!(cli.json(&["key", "get", key["id"].as_str().unwrap(), "--show-value"])["value"], key["value"]);
    let stages = cli.json(&["stage", "list", &api]);
    assert_eq!(stages["items"].as_array().map(Vec::len), Some(2), "{stages}");
    for index in 0..2 {
        assert_eq!(get(dev.gateway(index), &path, &[]).await.unwrap().status(), 200);
    }
    dev.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_restarts_from_its_last_good_copy_with_no_control_node_running() {
    let folder = TempDir::new().unwrap();
    let backend = Backend::start().await;
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let api = deploy_one_route(&cli, folder.path(), &backend.url());
    let path = format!("/_aws/execute-api/{api}/prod/hello");
    signal(dev.pid("control-1"), Signal::SIGKILL);
    signal(dev.pid("data-1"), Signal::SIGKILL);
    let data_folder = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name == "data-1"))
        .expect("dev keeps each node's data in a folder of its name");
    let mut alone = DataNode::start(&[], &data_folder, "http://127.0.0.1:1");
    eventually("the node serves alone", || async {
        let answer = get(alone.address, &path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    assert_eq!(alone.process.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_lost_its_raft_log_refuses_to_start_and_the_leader_leads_on() {
    let mut cluster = Cluster::start(3, &[]).await;
    let leader = cluster.leader().await;
    let key = cluster.cli().json(&["key", "create", "before"]);
    let forgetful = (leader + 1) % 3;
    cluster.kill(forgetful);
    std::fs::remove_dir_all(cluster.data_dir(forgetful).join("raft")).unwrap();
    for _ in 0..2 {
        cluster.restart(forgetful);
        let mut ended = || cluster.ended(forgetful).ok_or("it runs");
        let status = eventually("the node without its log has refused", || std::future::ready(ended())).await;
        assert_eq!(status.code(), Some(1), "{status}");
    }
    let log = std::fs::read_to_string(cluster.folder(&format!("control-{}.log", forgetful + 1))).unwrap();
    let said = log.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(said.contains("the raft log of this node is gone") && said.contains("token create"), "{said}");
    cluster.kill(forgetful);

    drop(cluster.cli().json(&["key", "create", "after"]));
    assert_eq!(cluster.leader().await, leader);
    eventually("the node that is gone is shown as down", || async {
        let nodes = cluster.cli().json(&["node", "list"]);
        let down = |node: &&Value| node["state"] == "down" && node["raftId"] == forgetful + 1;
        let count = nodes["items"].as_array().map_or(0, |items| items.iter().filter(down).count());
        if count == 1 { Ok(()) } else { Err(nodes) }
    })
    .await;
    drop(cluster.cli().json(&["key", "get", key["id"].as_str().unwrap()]));
}

/// Imports and deploys `GET /hello`, and returns the API's id.
fn deploy_one_route(cli: &Cli, folder: &std::path::Path, backend: &str) -> String {
    let file = folder.join("hello.yaml");
    std::fs::write(&file, "openapi: 3.0.1\ninfo: {title: hello, version: '1'}\npaths: {/hello: {get: {responses: {'200': {description: ok}}}}}\n").unwrap();
    let imported = cli.json(&["api", "import", file.to_str().unwrap(), "--backend", backend]);
    let api = imported["id"].as_str().unwrap().to_owned();
    drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));
    api
}

/// Raft id of the leader.
fn leader(cli: &Cli) -> u64 {
    let nodes = cli.json(&["node", "list"]);
    let items = nodes["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .find(|node| node["state"] == "leader")
        .and_then(|node| node["raftId"].as_u64().or_else(|| node["raftId"].as_str()?.parse().ok()))
        .unwrap_or_else(|| panic!("no leader in {}", Value::from(items.clone())))
}
