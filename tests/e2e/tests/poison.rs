//! A poisoned configuration: what the leader compiles and a data node meets a defect over costs one API, not the node.

use serde_json::Value;
use sluice_e2e::{cli::Cli, cluster::Cluster, fixture, http::get, node::DataNode, wait::eventually};

/// Text over which the data nodes of this test panic.
const POISON: &str = "poison-pill";

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_panics_on_data_nodes_is_served_as_before_beside_all_others_until_it_is_mended() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    let nodes = ["one", "two"].map(|name| {
        let flags = ["--drain-delay", "0s", "--fail-compile", POISON];
        DataNode::with(&[], &cluster.folder(name), &cluster.url(0), &flags)
    });
    let api = |title: &str, paths: &[&str]| fixture::mock(&cluster.folder(""), title, paths);
    let pets = fixture::import(&cli, &api("pets", &["/first"]), &[]);
    let other = fixture::import(&cli, &api("other", &["/other"]), &[]);
    all_serve(&cli, nodes.len()).await;
    deploy(&cli, &pets);
    deploy(&cli, &other);

    let poisoned = api("pets", &["/first", &format!("/{POISON}")]);
    drop(fixture::import(&cli, &poisoned, &["--update", &pets]));
    let refused = cli.refused(5, &["api", "deploy", &pets, "--stage", "prod"]);
    let named = refused["error"]["diagnostics"].as_array().unwrap();
    assert_eq!(named.len(), 2, "{refused}");
    assert!(named.iter().all(|one| one["code"] == "node-broken"), "{refused}");
    assert!(named[0]["message"].as_str().unwrap().contains("defect of sluice"), "{refused}");

    drop(fixture::import(&cli, &api("other", &["/other", "/more"]), &["--update", &other]));
    deploy(&cli, &other);
    for node in &nodes {
        answers(node, &fixture::route(&pets, "prod", "/first"), 200).await;
        answers(node, &fixture::route(&pets, "prod", &format!("/{POISON}")), 403).await;
        answers(node, &fixture::route(&other, "prod", "/more"), 200).await;
        answers_ready(node).await;
        let page = get(node.operations, "/metrics", &[]).await.unwrap();
        let page = String::from_utf8_lossy(page.body()).into_owned();
        assert!(page.lines().any(|line| line == "sluice_apis_broken 1"), "{page}");
    }
    is_shown(&cli, &pets, &other);

    drop(fixture::import(&cli, &api("pets", &["/mended"]), &["--update", &pets]));
    deploy(&cli, &pets);
    for node in &nodes {
        answers(node, &fixture::route(&pets, "prod", "/mended"), 200).await;
    }
    assert_eq!(cli.json(&["api", "get", &pets])["brokenOn"], Value::Array(vec![]));
    let listed = cli.json(&["node", "list", "--role", "data"]);
    assert!(listed["items"].as_array().unwrap().iter().all(|node| node["brokenApis"] == Value::Array(vec![])));

    a_plan_costs_its_change(&cli, &nodes[0], &other).await;
}

/// What an operator sees, as JSON and as a table.
fn is_shown(cli: &Cli, pets: &str, other: &str) {
    let listed = cli.json(&["node", "list", "--role", "data"]);
    for node in listed["items"].as_array().unwrap() {
        assert_eq!((&node["state"], &node["brokenApis"][0]), (&"serving".into(), &pets.into()), "{node}");
    }
    let table = cli.text(&["node", "list", "--role", "data"]);
    assert_eq!(table.matches(pets).count(), 2, "{table}");
    let id = listed["items"][0]["id"].as_str().unwrap();
    let node = cli.json(&["node", "get", id]);
    assert_eq!(node["broken"][0]["apiId"], pets, "{node}");
    assert!(node["broken"][0]["diagnostics"][0].as_str().unwrap().contains("defect of sluice"), "{node}");
    let shown = cli.json(&["api", "get", "pets"]);
    assert_eq!((shown["id"].as_str(), shown["brokenOn"].as_array().map(Vec::len)), (Some(pets), Some(2)), "{shown}");
    assert!(shown["brokenOn"][0]["diagnostics"][0].as_str().unwrap().contains("stages[\"prod\"]"), "{shown}");
    let table = cli.text(&["api", "get", "pets"]);
    assert!(table.contains("brokenOn[1].nodeId"), "{table}");
    assert_eq!(cli.json(&["api", "get", other])["brokenOn"], Value::Array(vec![]), "only the one that is broken");
}

/// A row of no API keeps the whole revision from being served, and no longer.
async fn a_plan_costs_its_change(cli: &Cli, node: &DataNode, api: &str) {
    let plan = cli.json(&["plan", "create", POISON]);
    let state = async |wanted: &str| {
        eventually("the nodes say how they are", || async {
            let listed = cli.json(&["node", "list", "--role", "data"]);
            let items = listed["items"].as_array().cloned().unwrap_or_default();
            if items.iter().all(|node| node["state"] == wanted) { Ok(items) } else { Err(listed) }
        })
        .await
    };
    let broken = state("broken").await;
    assert!(broken[0]["notCompiled"][0].as_str().unwrap().contains("defect of sluice"), "{broken:?}");
    assert_eq!(cli.json(&["api", "get", api])["brokenOn"].as_array().map(Vec::len), Some(2), "it may be an older form");
    answers(node, &fixture::route(api, "prod", "/more"), 200).await;
    answers_ready(node).await;
    drop(cli.json(&["plan", "delete", plan["id"].as_str().unwrap(), "--yes"]));
    state("serving").await;
}

fn deploy(cli: &Cli, api: &str) {
    let deployed = cli.json(&["api", "deploy", api, "--stage", "prod"]);
    let states: Vec<_> = deployed["nodes"].as_array().unwrap().iter().map(|node| &node["state"]).collect();
    assert_eq!(states, ["served", "served"], "{deployed}");
}

async fn all_serve(cli: &Cli, wanted: usize) {
    eventually("the data nodes are connected", || async {
        let nodes = cli.json(&["node", "list", "--role", "data"]);
        let items = nodes["items"].as_array().cloned().unwrap_or_default();
        if items.iter().filter(|node| node["state"] == "serving").count() == wanted { Ok(()) } else { Err(nodes) }
    })
    .await;
}

async fn answers_ready(node: &DataNode) {
    assert_eq!(get(node.operations, "/readyz", &[]).await.unwrap().status(), 200);
}

async fn answers(node: &DataNode, path: &str, status: u16) {
    let answer = get(node.address, path, &[]).await.unwrap();
    assert_eq!(answer.status(), status, "{path}: {answer:?}");
}
