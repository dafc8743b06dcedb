//! What an operator is told: stale reads without a leader, and addresses that answer.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use sluice_e2e::{cluster::Cluster, fixture, http::send, node::DataNode, process::Pause, wait::eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_list_and_get_reads_one_node_without_a_leader_and_says_so() {
    let mut cluster = Cluster::start(3, &[]).await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "pets", &["/one"]), &[]);
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]);
    let deployment = deployed["deploymentId"].as_str().unwrap();
    let node = cli.json(&["node", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    for noun in ["key", "plan"] {
        drop(cli.json(&[noun, "create", "alice"]));
    }
    drop(cli.json(&["cluster", "token", "create", "--role", "data"]));
    let number = cli.json(&["cluster", "status"])["revision"]["number"].clone();
    let late = cluster.leader().await;
    eventually("every node knows it", || async {
        let known = (0..3).all(|index| {
            let status = cluster.cli_of(index).json(&["cluster", "status", "--stale"]);
            status["revision"]["number"] == number
        });
        if known { Ok(()) } else { Err("one is behind") }
    })
    .await;
    cluster.kill(late);
    cluster.kill((late + 1) % 3);

    let reads: &[&[&str]] = &[
        &["api", "list"],
        &["api", "get", "pets"],
        &["deployment", "list", "pets"],
        &["deployment", "get", "pets", deployment],
        &["route", "list", "pets"],
        &["stage", "list", "pets"],
        &["stage", "get", "pets", "prod"],
        &["key", "list"],
        &["key", "get", "alice"],
        &["plan", "list"],
        &["plan", "get", "alice"],
        &["node", "list"],
        &["node", "get", &node],
        &["cluster", "status"],
        &["cluster", "token", "list"],
        &["operator", "list"],
        &["operator", "get", "bootstrap"],
        &["audit", "list"],
        &["get", "RestApi"],
    ];
    let refused = cli.clone().with(&["--timeout", "2s"]).refused(3, reads[0]);
    assert_eq!(refused["error"]["code"], "unavailable", "{refused}");
    for read in reads {
        let answer = cli.json(&[read, &["--stale"][..]].concat());
        assert_eq!(answer["stale"]["revision"], number, "{read:?}: {answer}");
        assert!(answer["stale"]["nodeId"].is_string(), "{read:?}: {answer}");
        assert_ne!(answer["items"], json!([]), "{read:?}: {answer}");
    }
    let text = cli.text(&["get", "RestApi", "pets", "--stale"]);
    assert!(text.starts_with("# stale: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_off_loopback_is_told_with_the_host_by_which_it_answers() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    let flags = ["--advertise", "10.0.0.11:8080", "--drain-delay", "0s"];
    let node = DataNode::with(&[], &cluster.folder("d1"), &cluster.url(0), &flags);
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "pets", &["/one"]), &[]);
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod"]);
    assert_eq!(deployed["addresses"], json!([]), "by path it would answer 403: {deployed}");
    assert_eq!(deployed["nodes"][0]["address"], "10.0.0.11:8080");
    let host = deployed["host"].as_str().unwrap();
    let request = Request::get("/prod/one").header("host", host).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(send(node.address, request).await.unwrap().status(), 200);
    let text = cli.text(&["api", "deploy", &api, "--stage", "prod"]);
    assert!(text.contains(&format!("curl -H 'Host: {host}' http://10.0.0.11:8080/prod")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_cannot_be_written_says_so_and_what_it_made() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["get", "RestApi", "-o", "yaml"][..], &["cluster", "status"], &["completion", "bash"]] {
        let output = cli.run_into(full(), arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains("the output could not be written: No space left"), "{arguments:?}: {error}");
    }
    let made = cli.run_into(full(), &["key", "create", "alice"]);
    let id = cli.json(&["key", "get", "alice"])["id"].as_str().unwrap().to_owned();
    let error = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("sluice key get {id} --show-value")), "{error}");
    let token = cli.run_into(full(), &["cluster", "token", "create", "--role", "data"]);
    let error = String::from_utf8_lossy(&token.stderr);
    assert!(token.status.code() == Some(1) && error.contains("cluster token revoke"), "{error}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = cli.run_into(writer, &["cluster", "status"]);
    assert_eq!((closed.status.code(), closed.stderr), (Some(0), Vec::new()), "who stopped reading has seen enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_an_answer_names_the_request_id_with_which_it_is_done_once() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli().with(&["--timeout", "1s"]);
    cluster.pause(0, Pause::Begin);
    let unknown = cli.refused(3, &["key", "create", "alice"]);
    cluster.pause(0, Pause::End);
    let message = unknown["error"]["message"].as_str().unwrap();
    let id = message.split("--request-id ").nth(1).unwrap_or_else(|| panic!("{message}"));
    let create = ["key", "create", "alice", "--request-id", id];
    let first = cluster.cli().json(&create);
    let again = cluster.cli().json(&create);
    assert_eq!(first["id"], again["id"]);
    assert_eq!(cluster.cli().json(&["key", "list"])["items"].as_array().map(Vec::len), Some(1));
    drop(cluster.cli().json(&["key", "create", "alice"]));
    assert_eq!(cluster.cli().json(&["key", "list"])["items"].as_array().map(Vec::len), Some(2), "without it, another");
}
