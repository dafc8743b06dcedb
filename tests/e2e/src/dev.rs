//! A cluster made by `sluice dev --processes`.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    cli::Cli,
    http::address,
    process::{Process, program},
};

/// What `sluice dev -o json` prints when every node serves.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// Always true.
    pub ready: bool,
    /// gRPC for operators, one a control node.
    pub admin: Vec<String>,
    /// HTTP of control nodes.
    pub management: Vec<String>,
    /// HTTP for clients, one a data node.
    pub gateway: Vec<String>,
    /// Process ids by name: control-1, data-1, ...
    #[serde(default)]
    pub pids: BTreeMap<String, u32>,
}

/// A running cluster; it stops when this is dropped.
#[derive(Debug)]
pub struct Dev {
    /// Its endpoints and processes.
    pub ready: Ready,
    process: Process,
}

impl Dev {
    /// Starts a cluster of processes on free ports with its data in `folder`, and waits until it serves.
    ///
    /// # Panics
    /// When it ends before it is ready, with the end of its log.
    #[must_use]
    pub fn start(control_nodes: u32, data_nodes: u32, folder: &Path) -> Self {
        let command = &mut command(control_nodes, data_nodes);
        Self::launch(command.arg("--processes").arg("--data-dir").arg(folder), &log_path(folder))
    }

    /// The same in one process, with more arguments of `sluice dev`.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn in_process(control_nodes: u32, data_nodes: u32, folder: &Path, more: &[&str]) -> Self {
        let command = &mut command(control_nodes, data_nodes);
        Self::launch(command.args(more).arg("--data-dir").arg(folder), &log_path(folder))
    }

    /// The same with `--ephemeral`, where temporary folders are made in `temporary`.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn ephemeral(control_nodes: u32, data_nodes: u32, temporary: &Path, log_path: &Path) -> Self {
        let command = &mut command(control_nodes, data_nodes);
        Self::launch(command.arg("--ephemeral").env("TMPDIR", temporary), log_path)
    }

    fn launch(command: &mut Command, log_path: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log_path)
            .expect("the folder of a test is writable");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = child.expect("sluice starts");
        let output = child.stdout.take().expect("standard output was piped");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).unwrap_or(0);
        let process = Process::adopt("sluice dev", child);
        let log = || std::fs::read_to_string(log_path).unwrap_or_default();
        assert!(read > 0, "sluice dev ended before it was ready:\n{}", log());
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}\n{}", log()));
        Self { ready, process }
    }

    /// The command line against all its control nodes.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(&self.ready.admin)
    }

    /// Where clients reach data node `index`, from 0.
    #[must_use]
    pub fn gateway(&self, index: usize) -> SocketAddr {
        address(&self.ready.gateway[index])
    }

    /// Process id of a node by name: `control-1`, `data-2`.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        *self.ready.pids.get(name).unwrap_or_else(|| panic!("no process {name} in {:?}", self.ready.pids))
    }

    /// Stops the cluster as Ctrl-C does.
    ///
    /// # Panics
    /// When it does not stop, or not cleanly.
    pub fn stop(mut self) {
        assert_eq!(self.process.stop(), Some(0), "sluice dev stops cleanly");
    }
}

fn command(control_nodes: u32, data_nodes: u32) -> Command {
    let mut command = Command::new(program("sluice"));
    command.args(["-o", "json", "dev", "--ports", "auto"]);
    command.args(["--control-nodes", &control_nodes.to_string(), "--data-nodes", &data_nodes.to_string()]);
    command
}

fn log_path(folder: &Path) -> PathBuf {
    drop(std::fs::create_dir_all(folder));
    folder.join("dev.log")
}
