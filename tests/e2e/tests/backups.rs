//! A backup is restored under running data nodes, into a cluster of its own or into another; a damaged one changes nothing.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::Value;
use sluice_e2e::{
    cli::Cli,
    cluster::Cluster,
    fixture,
    grpc::{change, new_key, request_id},
    http::get,
    node::DataNode,
    wait::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_taken_by_running_data_nodes_as_a_new_generation_without_a_failed_request() {
    let mut cluster = Cluster::start(3, &[]).await;
    let cli = cluster.cli();
    let stays = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "stays", &["/one"]), &[]);
    let (mut first, second) = (cluster.data_node("first", &[0, 1, 2]), cluster.data_node("second", &[1, 2, 0]));
    drop(cli.json(&["api", "deploy", &stays, "--stage", "prod", "--wait=false"]));
    let one = fixture::route(&stays, "prod", "/one");
    for node in [&first, &second] {
        answers(node, &one, 200).await;
    }
    let kept = cli.json(&["key", "create", "kept"]);
    let file = cluster.folder("sluice.backup");
    let taken = cli.json(&["cluster", "backup", text(&file)]);
    assert_eq!(cli.json(&["cluster", "backup", "--verify", text(&file)])["rows"], taken["rows"], "{taken}");
    assert!(!file.with_file_name("sluice.backup.partial").exists());

    let later = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "later", &["/two"]), &[]);
    drop(cli.json(&["api", "deploy", &later, "--stage", "prod"]));
    drop(cli.text(&["key", "delete", id(&kept), "--yes"]));
    let two = fixture::route(&later, "prod", "/two");
    answers(&first, &two, 200).await;
    let before = cli.json(&["cluster", "status"]);

    let clients = [Client::start(&first, &one), Client::start(&second, &one)];
    assert_eq!(cli.run(&["cluster", "restore", text(&file)]).status.code(), Some(2), "it asks, and nobody can answer");
    let restored = cli.json(&["cluster", "restore", text(&file), "--yes"]);
    let revision = &restored["revision"];
    assert_ne!(revision["generation"], before["revision"]["generation"]);
    assert!(revision["number"].as_u64() > before["revision"]["number"].as_u64(), "{restored}");
    for node in [&first, &second] {
        eventually("the data node has the new generation", || async {
            let answer = get(node.address, &two, &[]).await.map_err(|_| "no answer")?;
            if answer.status() == 200 { Err("the api that came after the backup is served") } else { Ok(()) }
        })
        .await;
    }
    let status = cli.json(&["cluster", "status"]);
    assert_eq!((&status["revision"], &status["clusterId"]), (revision, &before["clusterId"]));
    assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "members stay: {status}");
    let value = cli.json(&["key", "get", id(&kept), "--show-value"])["value"].clone();
    assert_eq!(value, kept["value"], "what was deleted is back");

    // Waiting for data nodes works in the new generation, and so does everything after it.
    let again = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "again", &["/three"]), &[]);
    let deployed = cli.json(&["api", "deploy", &again, "--stage", "prod"]);
    assert_eq!(deployed["revision"]["generation"], revision["generation"], "{deployed}");
    assert_eq!(deployed["nodes"].as_array().map(Vec::len), Some(2), "{deployed}");
    for client in clients {
        let (served, failed) = client.stop().await;
        assert!(failed == 0 && served > 20, "{failed} of {served} requests failed");
    }

    // The copy on disk is of the new generation too.
    assert_eq!(first.process.stop(), Some(0));
    (0..3).for_each(|index| cluster.kill(index));
    let alone = DataNode::start(&[], &cluster.folder("first"), "http://127.0.0.1:1");
    answers(&alone, &fixture::route(&again, "prod", "/three"), 200).await;
    assert_eq!(get(alone.address, &one, &[]).await.unwrap().status(), 200);
    assert_ne!(get(alone.address, &two, &[]).await.unwrap().status(), 200);

    // Nothing of it is lost when all control nodes come back.
    (0..3).for_each(|index| cluster.restart(index));
    cluster.ready(0).await;
    assert_eq!(cluster.cli().json(&["cluster", "status"])["revision"], deployed["revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_takes_over_from_a_lost_one_with_its_backup_and_its_cluster_key() {
    let lost = Cluster::start(1, &[]).await;
    let cli = lost.cli();
    let api = keyed_api(&cli, &lost.folder(""));
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let plan = cli.json(&["plan", "create", "gold", "--rate", "1000/s", "--burst", "1000"]);
    drop(cli.text(&["plan", "attach", id(&plan), &api, "prod"]));
    let key = cli.json(&["key", "create", "alice"]);
    drop(cli.text(&["plan", "add-key", id(&plan), id(&key)]));
    let new = Cluster::start(1, &[]).await;
    let (file, old_key) = (new.folder("lost.backup"), new.folder("lost.key"));
    drop(cli.json(&["cluster", "backup", text(&file)]));
    std::fs::copy(lost.data_dir(0).join("cluster.key"), &old_key).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let value = key["value"].as_str().unwrap();
    assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "secrets in it are sealed");
    drop(lost);

    let cli = new.cli();
    let data = new.data_node("data", &[0]);
    let before = cli.json(&["cluster", "status"]);
    let refused = cli.refused(1, &["cluster", "restore", text(&file), "--yes"]);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("sealed with the cluster key of cluster"), "{refused}");
    let hint = refused["error"]["diagnostics"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("--cluster-key-file"), "{refused}");
    let own_key = new.data_dir(0).join("cluster.key");
    let wrong = cli.refused(1, &["cluster", "restore", text(&file), "--cluster-key-file", text(&own_key), "--yes"]);
    assert!(wrong["error"]["message"].as_str().unwrap().contains("is another"), "{wrong}");
    assert_eq!(cli.json(&["cluster", "status"])["revision"], before["revision"], "nothing was changed");

    let restored = cli.json(&["cluster", "restore", text(&file), "--cluster-key-file", text(&old_key), "--yes"]);
    assert_eq!(restored["restored"]["resealed"], 1, "{restored}");
    assert_eq!(cli.json(&["key", "get", id(&key), "--show-value"])["value"], key["value"]);
    let path = fixture::route(&api, "prod", "/members");
    eventually("the client's key opens the route on a data node of the new cluster", || async {
        let answer = get(data.address, &path, &[("x-api-key", value)]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    assert_eq!(get(data.address, &path, &[]).await.unwrap().status(), 403, "and no other does");
    drop(cli.json(&["key", "create", "later"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_with_the_place_of_the_damage_and_changes_nothing() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    drop(cli.json(&["key", "create", "alice"]));
    let (file, damaged) = (cluster.folder("good.backup"), cluster.folder("damaged.backup"));
    drop(cli.json(&["cluster", "backup", text(&file)]));
    let before = cli.json(&["cluster", "status"]);
    let good = std::fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, expect) in [
        (&flipped[..], "damaged at byte"),
        (&good[..good.len() - 1], "damaged at byte"),
        (b"kind: ApiKey", "another file"),
    ] {
        std::fs::write(&damaged, bytes).unwrap();
        for command in [&["cluster", "backup", "--verify"][..], &["cluster", "restore", "--yes"]] {
            let refused = cli.refused(1, &[command, &[text(&damaged)]].concat());
            let said = refused["error"]["message"].as_str().unwrap();
            assert!(said.contains(expect) && said.contains("damaged.backup"), "{refused}");
        }
    }
    assert_eq!(cli.json(&["cluster", "status"])["revision"], before["revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_revision_is_restored_from_the_log_and_one_that_is_not_kept_is_refused() {
    // Two checkpoints a second of writing, and no more past than a few of them.
    let mut cluster =
        Cluster::start(1, &["--raft-snapshot-log-bytes", "1MiB", "--raft-history-log-bytes", "8MiB"]).await;
    let cli = cluster.cli();
    let number = |cli: &Cli| cli.json(&["cluster", "status"])["revision"]["number"].as_u64().unwrap();
    let first = cli.json(&["key", "create", "first"]);
    let early = number(&cli);
    let data = cluster.data_node("data", &[0]);
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "later", &["/one"]), &[]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let one = fixture::route(&api, "prod", "/one");
    answers(&data, &one, 200).await;
    let served = number(&cli);
    drop(cli.text(&["api", "delete", &api, "--yes"]));
    drop(cli.text(&["key", "delete", id(&first), "--yes"]));
    eventually("the api is gone", || async {
        let answer = get(data.address, &one, &[]).await.map_err(|_| "no answer")?;
        if answer.status() == 200 { Err("it is served") } else { Ok(()) }
    })
    .await;
    let window = cli.json(&["cluster", "restore", "--list"]);
    assert!(window["from"]["revision"]["number"].as_u64().unwrap() <= early, "{window}");
    assert_eq!(window["to"]["revision"]["number"], number(&cli), "{window}");

    let restored = cli.json(&["cluster", "restore", "--to", &served.to_string(), "--yes"]);
    assert!(restored["revision"]["number"].as_u64() > window["to"]["revision"]["number"].as_u64(), "{restored}");
    answers(&data, &one, 200).await;
    assert_eq!(cli.json(&["key", "get", id(&first), "--show-value"])["value"], first["value"]);
    drop(cli.json(&["cluster", "restore", "--to", &early.to_string(), "--yes"]));
    eventually("the api is not there yet", || async {
        let answer = get(data.address, &one, &[]).await.map_err(|_| "no answer")?;
        if answer.status() == 200 { Err("it is served") } else { Ok(()) }
    })
    .await;
    drop(cli.json(&["key", "get", id(&first)]));

    // Across a restart, and across the restores themselves: before them everything was deleted.
    assert_eq!(cluster.stop(0), Some(0));
    cluster.restart(0);
    cluster.ready(0).await;
    let gone = window["to"]["revision"]["number"].as_u64().unwrap();
    drop(cli.json(&["cluster", "restore", "--to", &gone.to_string(), "--yes"]));
    drop(cli.refused(1, &["key", "get", id(&first)]));

    for round in 0..20 {
        let keys = (0..500).map(|key| new_key(&format!("key-{round}-{key}"), &"x".repeat(1_000)));
        drop(change(&cluster.url(0), &request_id(), keys.collect()).await.unwrap());
    }
    let window = eventually("the past has moved on", || async {
        let window = cli.json(&["cluster", "restore", "--list"]);
        let from = window["from"]["revision"]["number"].as_u64().unwrap();
        if from > early { Ok(window) } else { Err(window) }
    })
    .await;
    let before = cli.json(&["cluster", "status"])["revision"].clone();
    for wrong in [early, before["number"].as_u64().unwrap() + 1] {
        let refused = cli.refused(1, &["cluster", "restore", "--to", &wrong.to_string(), "--yes"]);
        let said = refused["error"]["message"].as_str().unwrap();
        assert!(said.contains(&window["from"]["revision"]["number"].to_string()), "{refused}");
    }
    assert_eq!(cli.json(&["cluster", "status"])["revision"], before, "nothing was changed");
    let from = window["from"]["revision"]["number"].to_string();
    drop(cli.json(&["cluster", "restore", "--to", &from, "--yes"]));
}

/// Asks for a path again and again until it is stopped.
struct Client {
    task: tokio::task::JoinHandle<()>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Client {
    fn start(node: &DataNode, path: &str) -> Self {
        let (address, path) = (node.address, path.to_owned());
        let (stop, served, failed) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stopped, ok, not_ok) = (stop.clone(), served.clone(), failed.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let answer = get(address, &path, &[]).await;
                let counter = if answer.is_ok_and(|answer| answer.status() == 200) { &ok } else { &not_ok };
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        Self { task, stop, served, failed }
    }

    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        (self.served.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// Imports `GET /members`, which wants a key and answers by itself.
fn keyed_api(cli: &Cli, folder: &Path) -> String {
    let file = folder.join("members.yaml");
    let description = "openapi: 3.0.1\ninfo: {title: members, version: '1'}\npaths:\n  /members:\n    get:\n      security: [{api_key: []}]\n      \
                       responses: {'200': {description: ok}}\n      x-amazon-apigateway-integration: {type: mock, requestTemplates: \
                       {application/json: '{\"statusCode\": 200}'}, responses: {default: {statusCode: '200'}}}\ncomponents:\n  securitySchemes:\n    \
                       api_key: {type: apiKey, name: x-api-key, in: header}\n";
    std::fs::write(&file, description).unwrap();
    fixture::import(cli, &file, &[])
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn answers(node: &DataNode, path: &str, status: u16) {
    eventually("the data node answers", || async {
        let answer = get(node.address, path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == status { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
