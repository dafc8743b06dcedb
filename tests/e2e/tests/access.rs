//! Who may do what: operators with tokens and certificates, over mutual TLS, asked of every control node.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};
use sluice_e2e::{certified::Certified, cli::Cli, fixture, wait::eventually};

/// A command line of each role.
fn of_role(cluster: &Certified, role: &str) -> Cli {
    let file = cluster.folder().join(format!("{role}.token"));
    let made =
        cluster.cli().json(&["operator", "create", role, "--role", role, "--token-file-out", file.to_str().unwrap()]);
    assert!(made["token"].is_null(), "a token that goes to a file is not shown: {made}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    cluster.cli_of(&format!("{role}.token"))
}

/// That a command is refused for its caller's role, in words that help.
fn denied(cli: &Cli, needs: &str, arguments: &[&str]) {
    let error = &cli.refused(1, arguments)["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("needs the role {needs}")), "{arguments:?}: {error}");
    assert!(message.contains("an admin gives it"), "{arguments:?}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_is_for_at_every_node() {
    let cluster = Certified::start(3, 0, &[]).await;
    let [viewer, deployer, admin] = ["viewer", "deployer", "admin"].map(|role| of_role(&cluster, role));
    let file = fixture::mock(cluster.folder(), "pets", &["/one"]);
    let key = deployer.json(&["key", "create", "alice"]);
    let api = fixture::import(&deployer, &file, &[]);
    drop(deployer.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    for index in 0..3 {
        let [viewer, deployer, admin] =
            ["viewer", "deployer", "admin"].map(|role| cluster.cli_at(index, &format!("{role}.token")));
        for reads in [&["api", "list"][..], &["key", "get", "alice"], &["cluster", "status"], &["operator", "list"]] {
            for cli in [&viewer, &deployer, &admin] {
                drop(cli.json(reads));
            }
        }
        denied(&viewer, "deployer", &["key", "create", "bob"]);
        denied(&viewer, "deployer", &["api", "delete", &api, "--yes"]);
        for cli in [&viewer, &deployer] {
            denied(cli, "admin", &["key", "get", "alice", "--show-value"]);
            denied(cli, "admin", &["cluster", "token", "create", "--role", "data"]);
            denied(cli, "admin", &["operator", "create", "eve", "--role", "admin"]);
            denied(cli, "admin", &["operator", "delete", "admin", "--yes"]);
        }
        assert_eq!(admin.json(&["key", "get", "alice", "--show-value"])["value"], key["value"]);
    }
    denied(&viewer, "deployer", &["api", "import", file.to_str().unwrap(), "--name", "again"]);
    drop(admin.json(&["cluster", "token", "create", "--role", "data"]));
    let stranger = cluster.without_proof().refused(1, &["api", "list"]);
    assert!(stranger["error"]["message"].as_str().unwrap().contains("--token-file"), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_a_deleted_operator_and_a_retired_bootstrap_are_refused_everywhere() {
    let cluster = Certified::start(3, 0, &[]).await;
    let bootstrap = cluster.cli();
    let ann = of_role(&cluster, "admin");
    let old = cluster.folder().join("old.token");
    fs::copy(cluster.folder().join("admin.token"), &old).unwrap();
    let file = cluster.folder().join("admin.token");
    drop(bootstrap.json(&["operator", "rotate", "admin", "--token-file-out", file.to_str().unwrap()]));
    for index in 0..3 {
        // Asked at once of a node that may not have heard of the new token yet.
        drop(cluster.cli_at(index, "admin.token").json(&["api", "list"]));
        drop(cluster.cli_at(index, "old.token").refused(1, &["api", "list"]));
    }

    let last = ann.json(&["operator", "delete", "bootstrap", "--yes"]);
    assert_eq!(last["deleted"]["ids"], json!(["bootstrap"]));
    let refused = bootstrap.refused(1, &["api", "list"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("token"), "{refused}");
    let only = ann.refused(1, &["operator", "delete", "admin", "--yes"]);
    assert!(only["error"]["message"].as_str().unwrap().contains("last admin"), "{only}");

    let made = ann.json(&["operator", "create", "bob", "--role", "viewer", "--ttl", "1h"]);
    fs::write(cluster.folder().join("bob.token"), made["token"].as_str().unwrap()).unwrap();
    let bob = cluster.cli_of("bob.token");
    drop(bob.json(&["api", "list"]));
    let listed = bob.json(&["operator", "list"]);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["admin", "bob"]);
    assert!(bob.json(&["operator", "get", "bob"])["expiresDate"].is_u64());
    drop(ann.json(&["operator", "delete", "bob", "--yes"]));
    for index in 0..3 {
        drop(cluster.cli_at(index, "bob.token").refused(1, &["api", "list"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_stands_for_its_operator_until_the_next_one_or_the_end_of_the_operator() {
    let cluster = Certified::start(1, 0, &[]).await;
    let cli = cluster.cli();
    drop(cli.json(&["operator", "create", "carl", "--role", "deployer"]));
    let certify = |name: &str| {
        let [certificate, key] = ["pem", "key"].map(|ending| cluster.folder().join(format!("{name}.{ending}")));
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let files = ["--cert-file-out", certificate, "--key-file-out", key];
        drop(cli.json(&[&["operator", "certificate", "carl", "--ttl", "30d"], &files[..]].concat()));
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        cluster.without_proof().with(&["--cert-file", certificate, "--key-file", key])
    };
    let first = certify("first");
    let made = first.json(&["key", "create", "alice"]);
    assert!(made["value"].is_string());
    denied(&first, "admin", &["cluster", "token", "create", "--role", "data"]);
    let second = certify("second");
    drop(second.json(&["api", "list"]));
    let refused = first.refused(1, &["api", "list"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("newer certificate"), "{refused}");
    drop(cli.json(&["operator", "delete", "carl", "--yes"]));
    let refused = second.refused(1, &["api", "list"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("carl"), "{refused}");
    // Another of the same name is another operator.
    drop(cli.json(&["operator", "create", "carl", "--role", "admin"]));
    assert_ne!(second.refused(1, &["api", "list"]), Value::Null);
}

/// The newest entries of the audit trail that `wanted` takes, once there are some.
async fn trail(cli: &Cli, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    eventually("the audit trail has it", || async {
        let listed = cli.json(&[&["audit", "list", "--all"], arguments].concat());
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        let items: Vec<Value> = items.into_iter().filter(&wanted).collect();
        if items.is_empty() { Err(listed) } else { Ok(items) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_says_who_did_what_from_where_and_what_was_refused() {
    let cluster = Certified::start(3, 0, &[]).await;
    let cli = cluster.cli();
    let [viewer, _] = ["viewer", "deployer"].map(|role| of_role(&cluster, role));
    let number = |cli: &Cli| cli.json(&["cluster", "status"])["revision"]["number"].as_u64().unwrap();
    let made: Vec<Value> = (0..3)
        .map(|index| cluster.cli_at(index, "deployer.token").json(&["key", "create", &format!("key-{index}")]))
        .collect();
    let before = number(&cli);
    for (index, key) in made.iter().enumerate() {
        let id = key["id"].as_str().unwrap();
        let entries =
            trail(&cli, &["--actor", "deployer"], |entry| entry["rows"][0].as_str().unwrap_or_default().contains(id))
                .await;
        let [entry] = entries.as_slice() else { panic!("one call, one entry: {entries:?}") };
        assert_eq!(entry["rows"], json!([format!("put api key {id} (key-{index})")]));
        assert_eq!((&entry["role"], &entry["outcome"]), (&json!("deployer"), &json!("done")));
        assert_eq!((&entry["method"], &entry["revisionNumber"]), (&json!("Config/Change"), &key["revision"]["number"]));
        assert!(entry["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
        assert!(entry["requestId"].is_string(), "{entry}");
        assert!(!entry.to_string().contains(key["value"].as_str().unwrap()), "{entry}");
    }
    // Whichever node took the call is named, also where it was carried to the leader.
    let takers = trail(&cli, &["--actor", "deployer", "--method", "Change"], |_| true).await;
    let takers: std::collections::BTreeSet<_> = takers.iter().map(|entry| entry["takenBy"].to_string()).collect();
    assert_eq!(takers.len(), 3, "{takers:?}");

    denied(&viewer, "deployer", &["key", "create", "eve"]);
    drop(cluster.without_proof().refused(1, &["api", "list"]));
    let entry = &trail(&cli, &["--outcome", "denied", "--actor", "viewer"], |_| true).await[0];
    assert_eq!((&entry["method"], &entry["role"]), (&json!("Config/Change"), &json!("viewer")));
    let entry = &trail(&cli, &["--outcome", "denied", "--actor", "anonymous"], |_| true).await[0];
    assert_eq!((&entry["method"], &entry["revisionNumber"]), (&json!("Config/List"), &Value::Null));

    drop(cli.json(&["key", "get", "key-1", "--show-value"]));
    let shown = &trail(&cli, &["--method", "Config/Get"], |_| true).await[0];
    assert!(shown["rows"][0].as_str().unwrap().starts_with("show the value of api key"), "{shown}");
    assert_eq!(shown["actor"], "bootstrap");
    assert_eq!(number(&cli), before, "the trail moves no revision");
    let table = cli.text(&["audit", "list", "--since", "1h", "--page-size", "500"]);
    assert!(table.lines().next().unwrap().contains("ACTOR") && table.contains("Operators/Create"), "{table}");
}
