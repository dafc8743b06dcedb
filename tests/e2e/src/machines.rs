//! Control nodes on machines of their own, which are cut off from each other and killed.
//!
//! Promise: a node keeps its folder and its address; the operator's machine reaches every node that its cable reaches,
//! whatever becomes of the ways between control nodes. Absent: data nodes, certificates.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_identity::{Channel, Dialer, NodeRole, OperatorProof, Plaintext, Purpose, ServerTrust};
use tempfile::TempDir;

use crate::{
    netns::{Link, Network},
    process::{Process, program},
    wait::eventually,
};

/// A plaintext cluster between machines; the last host is the operator's.
#[derive(Debug)]
pub struct Machines {
    // Stopped before their network goes.
    nodes: Vec<Option<Process>>,
    /// The cables and ways.
    pub network: Network,
    folder: TempDir,
}

impl Machines {
    /// Starts so many control nodes and waits until all vote, or says why this machine cannot.
    ///
    /// # Errors
    /// As `Network::new`.
    ///
    /// # Panics
    /// When they do not become a cluster.
    pub async fn start(count: usize) -> Result<Self, String> {
        let network = Network::new(count + 1)?;
        let nodes = (0..count).map(|_| None).collect();
        let mut machines = Self { nodes, network, folder: TempDir::new().expect("there is room for a folder") };
        for host in 0..count {
            let join = url(0);
            let how: &[&str] = if host == 0 { &["--bootstrap", "--plaintext"] } else { &["--join", &join] };
            machines.launch(host, how);
            eventually("the control nodes vote", || async {
                let status = machines.status(&(0..=host).collect::<Vec<_>>())?;
                let members = status["members"].as_array().cloned().unwrap_or_default();
                let votes = |state: &Value| state == "voter" || state == "leader";
                let voters = members.iter().filter(|member| votes(&member["state"])).count();
                if voters == host + 1 { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
        }
        Ok(machines)
    }

    fn launch(&mut self, host: usize, how: &[&str]) {
        let mut command = self.network.on(host, program("sluice-control"));
        command.arg("--data-dir").arg(self.path(&format!("node-{host}"))).arg("--insecure").args(how);
        command.args(["--listen-admin", &address(host, 7100), "--listen-peer", &address(host, 7101)]);
        let log = self.path(&format!("{host}.log"));
        self.nodes[host] = Some(Process::start("sluice-control", &mut command, Some(log)));
    }

    /// Ends a node as a power cut would.
    pub fn kill(&mut self, host: usize) {
        if let Some(mut process) = self.nodes[host].take() {
            process.kill();
        }
    }

    /// Starts a node that was killed.
    pub fn restart(&mut self, host: usize) {
        self.launch(host, &[]);
    }

    /// The leader, as one of these nodes knows it; none while there is none.
    #[must_use]
    pub fn leader_of(&self, hosts: &[usize]) -> Option<usize> {
        let leader = self.status(hosts).ok()?["leader"].as_u64().filter(|leader| *leader > 0)?;
        usize::try_from(leader - 1).ok()
    }

    /// Waits until these nodes have a leader among them.
    pub async fn leader(&self, hosts: &[usize]) -> usize {
        eventually("there is a leader", || async {
            self.leader_of(hosts).filter(|leader| hosts.contains(leader)).ok_or("none")
        })
        .await
    }

    fn status(&self, hosts: &[usize]) -> Result<Value, String> {
        let output = self.sluice(hosts, &["-o", "json", "--timeout", "5s", "cluster", "status"]);
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error} in {output:?}"))
    }

    /// The command line on the operator's machine against these nodes.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn sluice(&self, hosts: &[usize], arguments: &[&str]) -> std::process::Output {
        let urls = hosts.iter().map(|host| url(*host)).collect::<Vec<_>>().join(",");
        let mut command = self.network.on(self.operator(), program("sluice"));
        command.args(["--insecure", "--control", &urls]).args(arguments).output().expect("sluice starts")
    }

    /// Two control nodes reach each other no longer.
    pub fn apart(&self, one: usize, other: usize) {
        self.network.set_way(one, other, Link::Down);
        self.network.set_way(other, one, Link::Down);
    }

    /// All ways and cables are whole again.
    pub fn heal(&self) {
        for from in 0..self.nodes.len() {
            self.network.set_link(from, Link::Up);
            (0..self.nodes.len()).filter(|to| *to != from).for_each(|to| self.network.set_way(from, to, Link::Up));
        }
    }

    /// How many control nodes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The operator's host.
    #[must_use]
    pub fn operator(&self) -> usize {
        self.nodes.len()
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

fn address(host: usize, port: u16) -> String {
    format!("{}:{port}", Network::address(host))
}

/// Where a control node answers operators.
#[must_use]
pub fn url(host: usize) -> String {
    format!("http://{}", address(host, 7100))
}

/// A channel of an operator between machines, for a thread that has entered one.
///
/// # Panics
/// Never: plaintext needs no certificate.
#[must_use]
pub fn channel(host: usize) -> Channel {
    let dialer = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::Anywhere);
    let dialer = dialer.expect("an operator of a plaintext cluster needs nothing");
    dialer.channel(&url(host), NodeRole::Control, Purpose::Admin).expect("the URL of a node is one")
}
