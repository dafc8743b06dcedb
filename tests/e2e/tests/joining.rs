//! Joining a cluster with certificates on one machine: a token is for one node, which may ask again.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sluice_e2e::{
    cli::Cli,
    http::get,
    node::free_address,
    process::{Process, program},
    relay::Relay,
    wait::eventually,
};
use tempfile::TempDir;

/// More than a TLS handshake and the beginning of HTTP/2 have from a caller, less than with a certificate request.
const HANDSHAKE_BYTES: usize = 700;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_was_lost_is_asked_again_after_a_restart_and_is_the_same_node() {
    let folder = TempDir::new().unwrap();
    let founder = Founder::start(folder.path());
    let cli = founder.cli().await;
    let relay = Relay::deaf_after(HANDSHAKE_BYTES, founder.admin).await;

    let mut nodes = Vec::new();
    for role in ["control", "data"] {
        let before = ids(&cli);
        let token = founder.token(&cli, role);
        let addresses = [free_address(), free_address(), free_address()];
        let mut first = founder.joining(role, &token, relay.address, addresses);
        let admitted = eventually("the cluster has admitted the node", || async {
            let now = ids(&cli);
            if now.len() == before.len() + 1 { Ok(now) } else { Err(now) }
        })
        .await;
        assert!(first.runs(), "the {role} node waits for the answer that was lost");
        first.kill();

        nodes.push(founder.joining(role, &token, founder.admin, addresses));
        eventually("the node is what it joined to be", || async {
            let nodes = cli.json(&["node", "list"]);
            let wanted = if role == "data" { "serving" } else { "voter" };
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            if items.iter().any(|node| node["role"] == role && node["state"] == wanted) { Ok(()) } else { Err(nodes) }
        })
        .await;
        assert_eq!(ids(&cli), admitted, "it is the node that was admitted");
        let stranger = founder.joining_elsewhere(role, &token).wait();
        assert_eq!(stranger, Some(1), "a token that a {role} node has used is for no other");
    }
}

fn ids(cli: &Cli) -> Vec<String> {
    let nodes = cli.json(&["node", "list"]);
    let mut ids: Vec<String> =
        nodes["items"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_admits_no_one() {
    let folder = TempDir::new().unwrap();
    let founder = Founder::start(folder.path());
    let cli = founder.cli().await;
    let token = founder.token(&cli, "data");
    let listed = cli.json(&["cluster", "token", "list"]);
    let id = listed["items"][0]["id"].as_str().unwrap();
    drop(cli.json(&["cluster", "token", "revoke", id, "--yes"]));
    assert_eq!(cli.json(&["cluster", "token", "list"])["items"], Value::Array(Vec::new()));
    assert_eq!(founder.joining_elsewhere("data", &token).wait(), Some(1));
}

/// The first control node of a cluster with certificates, and the folder of all nodes.
struct Founder {
    admin: SocketAddr,
    http: SocketAddr,
    folder: PathBuf,
    _process: Process,
}

impl Founder {
    fn start(folder: &Path) -> Self {
        let addresses = [free_address(), free_address(), free_address()];
        let mut command = control(folder, "founder", addresses);
        let process = start("founder", command.arg("--bootstrap"), folder);
        Self { admin: addresses[0], http: addresses[2], folder: folder.to_owned(), _process: process }
    }

    /// The command line with what the founding left for its operator.
    async fn cli(&self) -> Cli {
        let node = self.folder.join("founder");
        let (token, ca) = (node.join("operator.token"), node.join("identity/ca.pem"));
        let cli = Cli::new(&[format!("https://{}", self.admin)]);
        let cli = cli.with(&["--token-file", token.to_str().unwrap(), "--ca-file", ca.to_str().unwrap()]);
        eventually("the founder answers its operator", || async {
            let output = cli.run(&["node", "list"]);
            if output.status.success() { Ok(()) } else { Err(output) }
        })
        .await;
        assert!(get(self.http, "/healthz", &[]).await.is_err(), "the http port of a cluster with certificates has TLS");
        cli
    }

    fn token(&self, cli: &Cli, role: &str) -> PathBuf {
        let made = cli.json(&["cluster", "token", "create", "--role", role]);
        let file = self.folder.join(format!("{role}.join"));
        fs::write(&file, made["token"].as_str().unwrap()).unwrap();
        file
    }

    fn joining(&self, role: &str, token: &Path, through: SocketAddr, addresses: [SocketAddr; 3]) -> Process {
        let mut command = match role {
            "data" => data(&self.folder, role, addresses),
            _ => control(&self.folder, role, addresses),
        };
        command.args(["--join", &format!("https://{through}")]).arg("--join-token-file").arg(token);
        start(role, &mut command, &self.folder)
    }

    /// A node of another folder that has come by the token.
    fn joining_elsewhere(&self, role: &str, token: &Path) -> Process {
        let addresses = [free_address(), free_address(), free_address()];
        let folder = self.folder.join("stranger");
        fs::create_dir_all(&folder).unwrap();
        let mut command = match role {
            "data" => data(&folder, role, addresses),
            _ => control(&folder, role, addresses),
        };
        command.args(["--join", &format!("https://{}", self.admin)]).arg("--join-token-file").arg(token);
        start(role, &mut command, &folder)
    }
}

fn control(folder: &Path, name: &str, [admin, peer, http]: [SocketAddr; 3]) -> Command {
    let mut command = Command::new(program("sluice-control"));
    command.arg("--data-dir").arg(folder.join(name));
    command.args(["--listen-admin", &admin.to_string(), "--listen-peer", &peer.to_string()]);
    command.args(["--listen-http", &http.to_string()]);
    command
}

fn data(folder: &Path, name: &str, [http, operations, _]: [SocketAddr; 3]) -> Command {
    let mut command = Command::new(program("sluice-data"));
    command.arg("--data-dir").arg(folder.join(name)).args(["--cores", "1", "--drain-delay", "0s"]);
    command.args(["--listen-http", &http.to_string(), "--listen-operations", &operations.to_string()]);
    command
}

fn start(name: &str, command: &mut Command, folder: &Path) -> Process {
    Process::start(name, command, Some(folder.join(format!("{name}.log"))))
}
