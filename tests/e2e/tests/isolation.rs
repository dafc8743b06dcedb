//! Machines that trust each other by certificate alone: a joined mutual-TLS cluster in network namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use sluice_e2e::{
    netns::Network,
    process::{Process, program, skip},
    wait::eventually,
};
use tempfile::TempDir;

const TEST: &str = "a_joined_cluster_speaks_mutual_tls_between_machines";
/// Hosts: three control nodes, two data nodes, the operator with the backend.
const OPERATOR: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_cluster_speaks_mutual_tls_between_machines() {
    let network = match Network::new(6) {
        Ok(network) => network,
        Err(reason) => return skip(TEST, &reason),
    };
    let folder = TempDir::new().unwrap();
    let lab = Lab { network, folder: folder.path().to_path_buf() };
    let _first = lab.control(0, &["--bootstrap"]);
    let trust = lab.operator_files().await;
    eventually("the first node answers", || async { lab.sluice(&trust, &["cluster", "status"]) }).await;

    let token = lab.token(&trust, "control");
    let _second = lab.control(1, &["--join", &lab.control_url(0), "--join-token-file", &token]);
    lab.voters(&trust, 2).await;
    let token = lab.token(&trust, "control");
    let _third = lab.control(2, &["--join", &lab.control_url(0), "--join-token-file", &token]);
    lab.voters(&trust, 3).await;
    let _data: Vec<Process> = (3..5).map(|host| lab.data(host, &lab.token(&trust, "data"))).collect();
    let backend = lab.address(OPERATOR, 9000);
    let mut echo = lab.network.on(OPERATOR, program("sluice"));
    let _echo = Process::start("echo", echo.args(["echo", "--listen", &backend]), Some(lab.folder.join("echo.log")));

    let file = lab.folder.join("hello.yaml");
    fs::write(&file, "openapi: 3.0.1\ninfo: {title: hello, version: '1'}\npaths: {/hello: {get: {responses: {'200': {description: ok}}}}}\n").unwrap();
    let arguments = ["api", "import", file.to_str().unwrap(), "--backend", &format!("http://{backend}")];
    let imported = lab.sluice(&trust, &arguments).unwrap();
    let api = imported["id"].as_str().unwrap().to_owned();
    eventually("two data nodes are connected", || async {
        let nodes = lab.sluice(&trust, &["node", "list"])?;
        let items = nodes["items"].as_array().cloned().unwrap_or_default();
        let connected = items.iter().filter(|node| node["role"] == "data" && node["state"] == "serving").count();
        if connected == 2 { Ok(()) } else { Err(nodes.to_string()) }
    })
    .await;
    lab.sluice(&trust, &["api", "deploy", &api, "--stage", "prod"]).unwrap();
    for host in 3..5 {
        let url = format!("http://{}/prod/hello", lab.address(host, 8080));
        let host_header = format!("host: {api}.execute-api.example.test");
        let output = lab.network.run(OPERATOR, "curl", &["-sS", "-H", &host_header, &url]);
        assert!(text(&output.stdout).contains("/hello"), "{output:?}");
    }
    lab.refuses_strangers(&trust);
    assert!(lab.token_by("bootstrap", &trust), "who holds the operator's token of the bootstrap acts as `bootstrap`");
    for (host, role) in [(3, "data"), (1, "control")] {
        for method in ["admin.v1.Config/Change", "admin.v1.Cluster/CreateToken", "admin.v1.Config/Get"] {
            assert_eq!(
                lab.grpc_status(host, method),
                "7",
                "a {role} node's certificate is for no operator's call: {method}"
            );
        }
    }
    assert_eq!(lab.grpc_status(1, "sync.v1.Sync/Follow"), "7", "a control node follows no stream of configuration");
    let follows = lab.grpc_status(3, "sync.v1.Sync/Follow");
    assert!(!["7", "16"].contains(&follows.as_str()), "a data node does: {follows}");
    assert_eq!(lab.grpc_status(OPERATOR, "admin.v1.Config/Change"), "16", "without a certificate there is no caller");
}

/// What the operator holds: a token and the cluster's CA.
struct Trust {
    token: PathBuf,
    ca: PathBuf,
}

struct Lab {
    network: Network,
    folder: PathBuf,
}

impl Lab {
    fn address(&self, host: usize, port: u16) -> String {
        format!("{}:{port}", Network::address(host))
    }

    fn control_url(&self, host: usize) -> String {
        format!("https://{}", self.address(host, 7100))
    }

    fn node_dir(&self, host: usize) -> PathBuf {
        self.folder.join(format!("node-{host}"))
    }

    fn control(&self, host: usize, how: &[&str]) -> Process {
        let mut command = self.network.on(host, program("sluice-control"));
        command.arg("--data-dir").arg(self.node_dir(host));
        command.args(["--advertise", &self.address(host, 7101)]);
        command.args(["--listen-admin", &self.address(host, 7100), "--listen-peer", &self.address(host, 7101)]);
        Process::start("sluice-control", command.args(how), Some(self.folder.join(format!("{host}.log"))))
    }

    fn data(&self, host: usize, token: &str) -> Process {
        let mut command = self.network.on(host, program("sluice-data"));
        command.arg("--data-dir").arg(self.node_dir(host)).args([
            "--join",
            &self.control_url(1),
            "--join-token-file",
            token,
        ]);
        command.args(["--listen-http", &self.address(host, 8080), "--advertise", &self.address(host, 8080)]);
        Process::start("sluice-data", &mut command, Some(self.folder.join(format!("{host}.log"))))
    }

    async fn operator_files(&self) -> Trust {
        let node = self.node_dir(0);
        let trust = Trust { token: node.join("operator.token"), ca: node.join("identity/ca.pem") };
        eventually("the bootstrap leaves the operator's token and the CA", || async {
            if trust.token.is_file() && trust.ca.is_file() { Ok(()) } else { Err(listing(&node)) }
        })
        .await;
        trust
    }

    /// Runs `sluice -o json` on the operator's machine against all control nodes.
    fn sluice(&self, trust: &Trust, arguments: &[&str]) -> Result<Value, String> {
        let output = self.raw(trust, arguments);
        if !output.status.success() {
            return Err(format!("{}{}", text(&output.stdout), text(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error} in {}", text(&output.stdout)))
    }

    fn raw(&self, trust: &Trust, arguments: &[&str]) -> Output {
        let urls = (0..3).map(|host| self.control_url(host)).collect::<Vec<_>>().join(",");
        let mut command = self.network.on(OPERATOR, program("sluice"));
        command
            .args(["-o", "json", "--control", &urls])
            .arg("--token-file")
            .arg(&trust.token)
            .arg("--ca-file")
            .arg(&trust.ca);
        command.args(arguments).output().expect("sluice starts")
    }

    /// Makes a join token and returns the file that holds it.
    fn token(&self, trust: &Trust, role: &str) -> String {
        let made = self.sluice(trust, &["cluster", "token", "create", "--role", role]).unwrap();
        let file = self.folder.join(format!("{}.join", made["id"].as_str().unwrap()));
        fs::write(&file, made["token"].as_str().unwrap()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    async fn voters(&self, trust: &Trust, wanted: usize) {
        eventually("the learner is promoted", || async {
            let status = self.sluice(trust, &["cluster", "status"])?;
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let voters =
                members.iter().filter(|member| member["state"] == "voter" || member["state"] == "leader").count();
            if voters == wanted { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// Whether a token that the operator makes now is said to be made by `actor`.
    fn token_by(&self, actor: &str, trust: &Trust) -> bool {
        drop(self.token(trust, "data"));
        let tokens = self.sluice(trust, &["cluster", "token", "list"]).unwrap();
        let items = tokens["items"].as_array().unwrap();
        items.iter().any(|token| token["createdBy"] == actor)
    }

    /// What the first control node answers to an empty message of a host with that host's own certificate, if it has one.
    ///
    /// An exchange that broke off says nothing of who may call what: it is made again.
    fn grpc_status(&self, host: usize, method: &str) -> String {
        (0..5).find_map(|_| self.grpc_exchange(host, method)).unwrap_or_else(|| "none".to_owned())
    }

    fn grpc_exchange(&self, host: usize, method: &str) -> Option<String> {
        let body = self.folder.join("empty.grpc");
        fs::write(&body, [0; 5]).unwrap();
        let node = self.node_dir(host);
        let identity = [node.join("identity"), node].into_iter().find(|folder| folder.join("node.pem").is_file());
        let mut command = self.network.on(host, "curl");
        command.args(["-sS", "--max-time", "10", "--http2", "-o", "/dev/null", "-D", "-"]);
        command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
        command.arg("--cacert").arg(self.node_dir(0).join("identity/ca.pem"));
        if let Some(identity) = identity {
            command.arg("--cert").arg(identity.join("node.pem")).arg("--key").arg(identity.join("node.pem"));
        }
        command.arg("--data-binary").arg(format!("@{}", body.display()));
        let output = command.arg(format!("{}/sluice.{method}", self.control_url(0))).output().unwrap();
        let headers = text(&output.stdout);
        headers.lines().find_map(|line| line.strip_prefix("grpc-status: ").map(|status| status.trim().to_owned()))
    }

    /// No token, a wrong token, no TLS: each is refused.
    fn refuses_strangers(&self, trust: &Trust) {
        let wrong = self.folder.join("wrong.token");
        fs::write(&wrong, "not-the-token").unwrap();
        let stranger = Trust { token: wrong, ca: trust.ca.clone() };
        let refused = self.raw(&stranger, &["api", "list"]);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
        let url = format!("http://{}", self.address(0, 7100));
        let plain = self
            .network
            .on(OPERATOR, program("sluice"))
            .args(["--timeout", "2s", "--control", &url, "api", "list"])
            .output();
        assert!(!plain.unwrap().status.success(), "plaintext between machines is refused");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn listing(folder: &Path) -> String {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    format!("{} holds {:?}", folder.display(), names.collect::<Vec<_>>())
}
