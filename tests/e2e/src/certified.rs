//! A cluster with certificates on loopback: control nodes and data nodes that have joined with tokens.
//!
//! Promise: ports and folders of a node stay the same for life; raft ids are those of the order of joining, from 1.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use crate::{
    cli::Cli,
    node::free_address,
    process::{Process, program},
    wait::eventually,
};

/// The nodes, and the folder of all they keep.
#[derive(Debug)]
pub struct Certified {
    control: Vec<Member>,
    data: Vec<Member>,
    flags: Vec<String>,
    folder: TempDir,
}

/// One node.
#[derive(Debug)]
struct Member {
    /// `control-1`, `data-2`, ...: its folder, and its log with `.log`.
    name: String,
    /// Control: operators, peers, http. Data: clients, operations.
    addresses: [SocketAddr; 3],
    process: Option<Process>,
}

impl Certified {
    /// Starts so many control and data nodes, the former with more `flags`, and waits until all are what they are to be.
    ///
    /// # Panics
    /// When they do not become a cluster.
    pub async fn start(control: usize, data: usize, flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Self { control: Vec::new(), data: Vec::new(), flags, folder };
        for _ in 0..control {
            cluster.add_control().await;
        }
        for _ in 0..data {
            cluster.add_data().await;
        }
        cluster
    }

    /// Starts another control node, and waits until it votes.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn add_control(&mut self) {
        let index = self.control.len();
        self.control.push(Member::new("control", index));
        if index == 0 {
            self.launch_control(0, &["--bootstrap"]);
        } else {
            let (url, token) = (self.url(0), self.token("control"));
            self.launch_control(
                index,
                &["--join", &url, "--join-token-file", token.to_str().expect("a path of a test")],
            );
        }
        self.states("voter", index + 1).await;
    }

    /// Starts another data node, and waits until it serves.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn add_data(&mut self) {
        let index = self.data.len();
        self.data.push(Member::new("data", index));
        let urls = (0..self.control.len()).map(|index| self.url(index)).collect::<Vec<_>>().join(",");
        let token = self.token("data");
        self.launch_data(index, &["--join", &urls, "--join-token-file", token.to_str().expect("a path of a test")]);
        self.states("serving", index + 1).await;
    }

    /// Starts a control node that was stopped.
    pub fn restart_control(&mut self, index: usize) {
        self.launch_control(index, &[]);
    }

    /// Starts a data node that was stopped.
    pub fn restart_data(&mut self, index: usize) {
        let urls = (0..self.control.len()).map(|index| self.url(index)).collect::<Vec<_>>().join(",");
        self.launch_data(index, &["--follow", &urls]);
    }

    fn launch_control(&mut self, index: usize, how: &[&str]) {
        let member = &self.control[index];
        let mut command = Command::new(program("sluice-control"));
        command.arg("--data-dir").arg(self.control_dir(index)).args(how).args(&self.flags);
        for (flag, address) in ["--listen-admin", "--listen-peer", "--listen-http"].iter().zip(member.addresses) {
            command.args([*flag, &address.to_string()]);
        }
        let process = Process::start("sluice-control", &mut command, Some(self.log(&member.name)));
        self.control[index].process = Some(process);
    }

    fn launch_data(&mut self, index: usize, how: &[&str]) {
        let member = &self.data[index];
        let mut command = Command::new(program("sluice-data"));
        command.arg("--data-dir").arg(self.data_dir(index)).args(["--cores", "1", "--drain-delay", "0s"]).args(how);
        for (flag, address) in ["--listen-http", "--listen-operations"].iter().zip(member.addresses) {
            command.args([*flag, &address.to_string()]);
        }
        let process = Process::start("sluice-data", &mut command, Some(self.log(&member.name)));
        self.data[index].process = Some(process);
    }

    /// A file with a token for one node.
    fn token(&self, role: &str) -> PathBuf {
        let made = self.cli().json(&["cluster", "token", "create", "--role", role]);
        let file = self.folder.path().join(format!("{role}-{}.join", made["id"].as_str().expect("a token has an id")));
        fs::write(&file, made["token"].as_str().expect("a token is text")).expect("the folder of a test is writable");
        file
    }

    /// Waits until `count` nodes are `state`; a leader is a voter too.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn states(&self, state: &str, count: usize) {
        let cli = self.cli();
        eventually("the nodes are what they are to be", || async {
            let output = cli.run(&["-o", "json", "node", "list"]);
            let nodes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            let is = |found: &str| found == state || (state == "voter" && found == "leader");
            let found = items.iter().filter(|node| node["state"].as_str().is_some_and(is)).count();
            if found == count { Ok(()) } else { Err(output) }
        })
        .await;
    }

    /// The command line of the operator whose token the founding left, against all control nodes that run.
    #[must_use]
    pub fn cli(&self) -> Cli {
        let running = (0..self.control.len()).filter(|index| self.control[*index].process.is_some());
        self.cli_to(&running.map(|index| self.url(index)).collect::<Vec<_>>())
    }

    fn cli_to(&self, urls: &[String]) -> Cli {
        trusting(urls, &self.control_dir(0)).with(&["--token-file", &text(&self.control_dir(0).join("operator.token"))])
    }

    /// The command line with a token of its own, `file` of the folder of everything, against all control nodes.
    #[must_use]
    pub fn cli_of(&self, file: &str) -> Cli {
        self.without_proof().with(&["--token-file", &text(&self.folder.path().join(file))])
    }

    /// The same against one control node.
    #[must_use]
    pub fn cli_at(&self, index: usize, file: &str) -> Cli {
        self.cli_of(file).with(&["--control", &self.url(index)])
    }

    /// The command line that trusts the cluster and shows nothing of its own.
    #[must_use]
    pub fn without_proof(&self) -> Cli {
        let urls: Vec<_> = (0..self.control.len()).map(|index| self.url(index)).collect();
        trusting(&urls, &self.control_dir(0))
    }

    fn url(&self, index: usize) -> String {
        format!("https://{}", self.control[index].addresses[0])
    }

    /// The id of a node, as `node list` names it by its address.
    ///
    /// # Panics
    /// When it is not listed.
    #[must_use]
    pub fn data_id(&self, index: usize) -> String {
        let address = self.data[index].addresses[0].to_string();
        self.cli().json(&["node", "get", &address])["id"].as_str().expect("a node has an id").to_owned()
    }

    /// Where clients reach a data node.
    #[must_use]
    pub fn gateway(&self, index: usize) -> SocketAddr {
        self.data[index].addresses[0]
    }

    /// The operations port of a data node.
    #[must_use]
    pub fn operations(&self, index: usize) -> SocketAddr {
        self.data[index].addresses[1]
    }

    /// The folder of a control node.
    #[must_use]
    pub fn control_dir(&self, index: usize) -> PathBuf {
        self.folder.path().join(&self.control[index].name)
    }

    /// The folder of a data node.
    #[must_use]
    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.folder.path().join(&self.data[index].name)
    }

    /// What a node (`control-1`, `data-1`) has logged.
    #[must_use]
    pub fn logged(&self, name: &str) -> String {
        fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks a control node to stop; returns its exit code.
    pub fn stop_control(&mut self, index: usize) -> Option<i32> {
        self.control[index].process.take().and_then(|mut process| process.stop())
    }

    /// Ends a control node as a power cut would.
    pub fn kill_control(&mut self, index: usize) {
        if let Some(mut process) = self.control[index].process.take() {
            process.kill();
        }
    }

    /// Asks a data node to stop; returns its exit code.
    pub fn stop_data(&mut self, index: usize) -> Option<i32> {
        self.data[index].process.take().and_then(|mut process| process.stop())
    }

    /// How a control node's process has ended by itself, if it has.
    pub fn control_ended(&mut self, index: usize) -> Option<ExitStatus> {
        self.control[index].process.as_mut().and_then(Process::ended)
    }

    /// How a data node's process has ended by itself, if it has.
    pub fn data_ended(&mut self, index: usize) -> Option<ExitStatus> {
        self.data[index].process.as_mut().and_then(Process::ended)
    }

    /// The leader's index.
    pub async fn leader(&self) -> usize {
        let leader = eventually("there is a leader", || async {
            let output = self.cli().run(&["-o", "json", "--timeout", "5s", "cluster", "status"]);
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["leader"].as_u64().filter(|leader| *leader > 0).ok_or(output)
        })
        .await;
        usize::try_from(leader - 1).expect("a cluster of a test is small")
    }
}

/// The command line that knows the cluster of a control node's folder by its CA.
fn trusting(urls: &[String], folder: &Path) -> Cli {
    Cli::new(urls).with(&["--ca-file", &text(&folder.join("identity/ca.pem"))])
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of a test").to_owned()
}

impl Member {
    fn new(role: &str, index: usize) -> Self {
        let addresses = [free_address(), free_address(), free_address()];
        Self { name: format!("{role}-{}", index + 1), addresses, process: None }
    }
}
