//! A cluster of processes, as a new user meets it.

use sluice_e2e::{dev::Dev, wait::eventually};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn status_and_nodes_show_three_voters_and_two_data_nodes() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(3, 2, folder.path());
    let cli = dev.cli();
    let nodes = eventually("every node is listed as it should be", || async {
        let nodes = cli.json(&["node", "list"]);
        let items = nodes["items"].as_array().cloned().unwrap_or_default();
        let count = |state: &str| items.iter().filter(|node| node["state"] == state).count();
        if (count("leader"), count("voter"), count("serving")) == (1, 2, 2) { Ok(items) } else { Err(nodes) }
    })
    .await;
    for node in &nodes {
        let id = node["id"].as_str().unwrap();
        assert_eq!(cli.json(&["node", "get", id])["id"], id);
    }
    let status = cli.json(&["cluster", "status"]);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "{status}");
    dev.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_call_says_what_to_do_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let missing = cli.refused(1, &["api", "get", "no-such-api"]);
    assert!(missing["error"]["message"].as_str().is_some_and(|text| text.contains("no-such-api")), "{missing}");
    let usage = cli.run(&["api", "frobnicate"]);
    assert_eq!(usage.status.code(), Some(2));
    drop(cli.json(&["api", "create", "twin"]));
    drop(cli.json(&["api", "create", "twin"]));
    assert_eq!(cli.run(&["api", "get", "twin"]).status.code(), Some(2), "an ambiguous name is a usage error");
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, "openapi: 3.0.1\ninfo: {title: bad}\npaths: {'/a': {get: {x-amazon-apigateway-integration: {type: nonsense}}}}\n").unwrap();
    let refused = cli.refused(1, &["api", "import", file.to_str().unwrap()]);
    assert!(refused["error"]["diagnostics"].as_array().is_some_and(|all| !all.is_empty()), "{refused}");
    assert_eq!(cli.json(&["api", "list"])["items"].as_array().map(Vec::len), Some(2));
    dev.stop();
}
