//! A cluster on loopback whose control nodes are killed, paused and started again one by one.
//!
//! Promise: ports and folders of a node stay the same for life; raft ids are those of the order of joining, from 1.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, ExitStatus},
};

use sluice_proto::admin::StateDigest;
use tempfile::TempDir;

use crate::{
    cli::Cli,
    grpc::state_digest,
    http::get,
    node::DataNode,
    power::{Disk, Lost, Shim},
    process::{Build, Pause, Process},
    volume::Volume,
    wait::eventually,
};

/// Below those of outgoing connections, which begin at 32768 on Linux.
const LISTENING_PORTS: std::ops::Range<u16> = 12_000..32_000;
/// Starts a program for which a limit on file sizes is an error of writing, as a full disk is, and not a signal.
const STARTER: [&str; 3] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

/// Control nodes, and the folder of all they keep.
#[derive(Debug)]
pub struct Cluster {
    control: Vec<Control>,
    /// How many of them have been started; the others are not there yet.
    joined: usize,
    /// How many of those vote no more.
    gone: usize,
    flags: Vec<String>,
    /// Where there are some, what was not synced can be lost.
    disks: Vec<Disk>,
    folder: TempDir,
}

#[derive(Debug)]
struct Control {
    admin: SocketAddr,
    peer: SocketAddr,
    http: SocketAddr,
    process: Option<Process>,
    build: Build,
    /// The disk of its data, where it has one of its own.
    volume: Option<Volume>,
}

impl Cluster {
    /// Starts `count` control nodes with more `flags`, and waits until all are voters.
    ///
    /// # Panics
    /// When they do not become a cluster.
    pub async fn start(count: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::founded(count, flags).await;
        for _ in 1..count {
            cluster.grow().await;
        }
        cluster
    }

    /// The same with a disk of `bytes` for each, or why this machine cannot.
    ///
    /// # Errors
    /// As `Volume::mount`.
    ///
    /// # Panics
    /// As `start`.
    pub async fn on_volumes(count: usize, bytes: u64, flags: &[&str]) -> Result<Self, String> {
        let mut cluster = Self::unborn(count, flags);
        for index in 0..count {
            cluster.control[index].volume = Some(Volume::mount(&cluster.data_dir(index), bytes)?);
        }
        cluster.add(&["--bootstrap", "--plaintext"]).await;
        for _ in 1..count {
            cluster.grow().await;
        }
        Ok(cluster)
    }

    /// Starts the first of at most `most` control nodes; the others are for `grow`.
    ///
    /// # Panics
    /// When it does not found a cluster.
    pub async fn founded(most: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::unborn(most, flags);
        cluster.add(&["--bootstrap", "--plaintext"]).await;
        cluster
    }

    /// Starts `count` control nodes that can lose what they have not synced, or says why this machine cannot.
    ///
    /// # Errors
    /// As `Shim::compiled`.
    ///
    /// # Panics
    /// As `start`.
    pub async fn on_disks(count: usize, flags: &[&str]) -> Result<Self, String> {
        let mut cluster = Self::unborn(count, flags);
        let shim = Shim::compiled(cluster.folder.path())?;
        cluster.disks = (0..count).map(|index| shim.disk(&format!("disk-{index}"))).collect();
        cluster.add(&["--bootstrap", "--plaintext"]).await;
        for _ in 1..count {
            cluster.grow().await;
        }
        Ok(cluster)
    }

    fn unborn(most: usize, flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { control: nodes(most), joined: 0, gone: 0, flags, disks: Vec::new(), folder }
    }

    /// Takes from a node that was killed what it had not synced.
    ///
    /// # Panics
    /// Without `on_disks`, or when its folder cannot be changed.
    pub fn lose_unsynced(&self, index: usize) -> Lost {
        self.disks[index].lose(&self.data_dir(index)).expect("the folder of a test can be changed")
    }

    /// From its next start on, a node's syncs of files whose path fits `pattern` do nothing.
    ///
    /// # Panics
    /// Without `on_disks`.
    pub fn ignore_syncs(&mut self, index: usize, pattern: &str) {
        self.disks[index].ignore_syncs_of(pattern);
    }

    /// The disk of a node that has one of its own.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn volume(&self, index: usize) -> &Volume {
        self.control[index].volume.as_ref().expect("the cluster was started on disks")
    }

    /// Starts the next control node, and waits until it is a voter.
    ///
    /// # Panics
    /// When there are as many as were asked for, or it does not join.
    pub async fn grow(&mut self) {
        let running = (0..self.joined).find(|index| self.control[*index].process.is_some());
        let join = self.url(running.expect("a node runs that can be joined"));
        self.add(&["--join", &join]).await;
    }

    async fn add(&mut self, how: &[&str]) {
        let index = self.joined;
        self.joined += 1;
        self.launch(index, how);
        self.ready(index).await;
        self.voters(self.joined - self.gone).await;
    }

    fn launch(&mut self, index: usize, how: &[&str]) {
        let data_dir = self.data_dir(index);
        let log = self.folder.path().join(format!("control-{}.log", index + 1));
        let node = &mut self.control[index];
        let mut command = match &node.volume {
            Some(volume) => {
                let mut command = Command::new("nsenter");
                command.args(["--mount", "--target", &volume.holder().to_string(), "--", STARTER[0]]);
                command
            }
            None => Command::new(STARTER[0]),
        };
        command.args(&STARTER[1..]).arg(node.build.program("sluice-control"));
        command.arg("--data-dir").arg(data_dir).args(how).args(&self.flags);
        for (flag, address) in
            [("--listen-admin", node.admin), ("--listen-peer", node.peer), ("--listen-http", node.http)]
        {
            command.args([flag, &address.to_string()]);
        }
        if let Some(disk) = self.disks.get(index) {
            disk.hold(&mut command);
        }
        node.process = Some(Process::start("sluice-control", &mut command, Some(log)));
    }

    /// Starts a node that was killed; whether it serves is for `ready` to wait for.
    pub fn restart(&mut self, index: usize) {
        self.launch(index, &[]);
    }

    /// The same with more flags, this time only.
    pub fn restart_with(&mut self, index: usize, flags: &[&str]) {
        self.launch(index, flags);
    }

    /// The same with the programs of another build.
    pub fn restart_as(&mut self, index: usize, build: Build) {
        self.control[index].build = build;
        self.restart(index);
    }

    /// Ends a node as a power cut would.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.control[index].process.take() {
            process.kill();
        }
    }

    /// Asks a node to stop, as its supervisor does; returns its exit code.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(&mut self, index: usize) -> Option<i32> {
        self.control[index].process.take().and_then(|mut process| process.stop())
    }

    /// Makes a node hang, or go on: its connections stay.
    pub fn pause(&self, index: usize, pause: Pause) {
        if let Some(process) = &self.control[index].process {
            process.pause(pause);
        }
    }

    /// From now on a node can write no byte more to any file, as on a full disk.
    ///
    /// # Panics
    /// Without `prlimit` (util-linux, on every Debian).
    pub fn fill_disk(&self, index: usize) {
        let Some(process) = &self.control[index].process else { return };
        let mut command = Command::new("prlimit");
        command.args(["--pid", &process.pid().to_string(), "--fsize=1:1"]);
        assert!(command.status().expect("prlimit is part of util-linux").success(), "the limit of a child can be set");
    }

    /// How a node's process has ended, if it has.
    pub fn ended(&mut self, index: usize) -> Option<ExitStatus> {
        self.control[index].process.as_mut().and_then(Process::ended)
    }

    /// Waits until a node answers linearizable reads.
    pub async fn ready(&self, index: usize) {
        let address = self.control[index].http;
        eventually("the control node is ready", || async {
            let answer = get(address, "/readyz", &[]).await.map_err(|error| error.to_string())?;
            if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    /// A node votes no more: it was demoted or removed.
    pub fn lose_vote(&mut self) {
        self.gone += 1;
    }

    /// A node has its vote again.
    pub fn regain_vote(&mut self) {
        self.gone -= 1;
    }

    /// Waits until so many control nodes vote.
    ///
    /// # Panics
    /// When they do not.
    pub async fn voters(&self, wanted: usize) {
        let cli = self.cli();
        eventually("the node is a voter", || async {
            let status = cli.json(&["cluster", "status"]);
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let votes = |state: &str| state == "voter" || state == "leader";
            let voters = members.iter().filter(|member| member["state"].as_str().is_some_and(votes)).count();
            if voters == wanted { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// The leader's index, asked of the nodes that run.
    pub async fn leader(&self) -> usize {
        let leader = eventually("there is a leader", || async {
            let output = self.cli().run(&["-o", "json", "--timeout", "5s", "cluster", "status"]);
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["leader"].as_u64().filter(|leader| *leader > 0).ok_or(output)
        })
        .await;
        usize::try_from(leader - 1).expect("a cluster of a test is small")
    }

    /// A node that runs and does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        let follower = (0..self.control.len()).find(|index| *index != leader && self.control[*index].process.is_some());
        follower.expect("more than one node runs")
    }

    /// Where other control nodes reach a node.
    #[must_use]
    pub fn peer(&self, index: usize) -> String {
        self.control[index].peer.to_string()
    }

    /// What a node has printed.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        let path = self.folder.path().join(format!("control-{}.log", index + 1));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// `http://ADDRESS` of a node's port for operators and data nodes.
    #[must_use]
    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.control[index].admin)
    }

    /// Waits until all control nodes have the same state: every row, at the same index of the log.
    pub async fn agree(&self) -> StateDigest {
        eventually("all control nodes have the same state", || async {
            let mut states = Vec::new();
            for index in 0..self.joined {
                states.push(state_digest(&self.url(index)).await.map_err(|status| format!("node {index}: {status}"))?);
            }
            let same = states.iter().all(|state| *state == states[0]);
            if same { Ok(states.remove(0)) } else { Err(format!("{states:?}")) }
        })
        .await
    }

    /// Where each control node that was started answers operators.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        (0..self.joined).map(|index| self.url(index)).collect()
    }

    /// A node's port for health and metrics.
    #[must_use]
    pub fn http(&self, index: usize) -> SocketAddr {
        self.control[index].http
    }

    /// The command line against all nodes that were not killed.
    #[must_use]
    pub fn cli(&self) -> Cli {
        let running = (0..self.control.len()).filter(|index| self.control[*index].process.is_some());
        Cli::new(&running.map(|index| self.url(index)).collect::<Vec<_>>())
    }

    /// The command line against one node.
    #[must_use]
    pub fn cli_of(&self, index: usize) -> Cli {
        Cli::new(&[self.url(index)])
    }

    /// Where a node keeps its data.
    #[must_use]
    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("control-{}", index + 1))
    }

    /// A folder of the test's own, which lives as long as the cluster.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a data node that follows these control nodes; one of the same name has the same folder.
    #[must_use]
    pub fn data_node(&self, name: &str, control: &[usize]) -> DataNode {
        let urls = control.iter().map(|index| self.url(*index)).collect::<Vec<_>>().join(",");
        DataNode::start(&[], &self.folder(name), &urls)
    }
}

fn nodes(count: usize) -> Vec<Control> {
    let ports: Vec<_> = (0..count * 3).map(|_| free_port()).collect();
    let address = |at: usize| ports[at].local_addr().expect("a bound socket has an address");
    (0..count)
        .map(|index| Control {
            admin: address(index * 3),
            peer: address(index * 3 + 1),
            http: address(index * 3 + 2),
            process: None,
            build: Build::This,
            volume: None,
        })
        .collect()
}

/// Holds a port that the system gives to no connection by itself: a node that was killed finds it free when it is back.
fn free_port() -> TcpListener {
    let tried = (0..1_000).find_map(|_| TcpListener::bind(("127.0.0.1", rand::random_range(LISTENING_PORTS))).ok());
    tried.expect("loopback has a free port")
}
