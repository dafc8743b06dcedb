//! One node of a `dev` cluster: in this process, or as a child.
//!
//! Both are started from one [`Spec`], as settings or as arguments.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use sluice_control::ControlNode;
use sluice_data::DataNode;
use sluice_identity::Identity;

use super::{
    ports::{ControlPorts, DataPorts},
    process::Process,
};
use crate::failure::Failure;

/// No balancer looks at the nodes of a laptop: nothing has to see them unready before they stop.
const DRAIN_DELAY: Duration = Duration::ZERO;
/// For requests in flight when it stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    InProcess,
    Process,
}

/// A node to start.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// `control-1`, `data-2`.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) role: Role,
}

/// What a node is, and whom it knows.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// `join`: earlier nodes; none founds the cluster.
    Control {
        ports: ControlPorts,
        join: Vec<String>,
    },
    Data {
        ports: DataPorts,
        control: Vec<String>,
    },
}

impl Spec {
    /// Whether the folder holds no node yet.
    ///
    /// # Errors
    /// When it holds something else.
    pub(super) fn is_new(&self) -> Result<bool, Failure> {
        let found = Identity::load(&self.folder.join("identity"));
        Ok(found.map_err(|failure| Failure::failed(failure.to_string()))?.is_none())
    }

    fn program(&self) -> &'static str {
        match self.role {
            Role::Control { .. } => "sluice-control",
            Role::Data { .. } => "sluice-data",
        }
    }

    /// The flags of the node's own program.
    fn arguments(&self, log: &str) -> Result<Vec<OsString>, Failure> {
        let mut flags: Vec<OsString> =
            vec!["--data-dir".into(), self.folder.clone().into(), "--log".into(), log.into()];
        let mut flag = |name: &str, value: String| flags.extend([OsString::from(name), OsString::from(value)]);
        flag("--drain-timeout", format!("{}ms", DRAIN_TIMEOUT.as_millis()));
        match &self.role {
            Role::Control { ports, join } => {
                flag("--listen-admin", local(ports.admin).to_string());
                flag("--listen-peer", local(ports.peer).to_string());
                flag("--listen-http", local(ports.http).to_string());
                if !self.is_new()? {
                    return Ok(flags);
                }
                if join.is_empty() {
                    flags.extend(["--bootstrap".into(), "--plaintext".into()]);
                } else {
                    flag("--join", join.join(","));
                }
            }
            Role::Data { ports, control } => {
                flag("--listen-http", local(ports.http).to_string());
                flag("--listen-operations", local(ports.operations).to_string());
                flag("--follow", control.join(","));
                flag("--drain-delay", format!("{}ms", DRAIN_DELAY.as_millis()));
            }
        }
        Ok(flags)
    }

    fn control_settings(&self, ports: ControlPorts, join: &[String]) -> Result<sluice_control::Settings, Failure> {
        let is_new = self.is_new()?;
        let founds = is_new && join.is_empty();
        Ok(sluice_control::Settings {
            data_dir: self.folder.clone(),
            bootstrap: founds,
            plaintext: founds,
            join: if is_new { join.to_vec() } else { Vec::new() },
            listen_admin: local(ports.admin).to_string(),
            listen_peer: local(ports.peer).to_string(),
            listen_http: local(ports.http).to_string(),
            drain_timeout: DRAIN_TIMEOUT,
            ..sluice_control::Settings::default()
        })
    }

    fn data_settings(&self, ports: DataPorts, control: &[String]) -> sluice_data::Settings {
        sluice_data::Settings {
            data_dir: self.folder.clone(),
            follow: control.to_vec(),
            listen_http: local(ports.http),
            listen_operations: local(ports.operations),
            drain_delay: DRAIN_DELAY,
            drain_timeout: DRAIN_TIMEOUT,
            ..sluice_data::Settings::default()
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A node that was started.
pub(super) struct Node {
    name: String,
    running: Running,
    is_control: bool,
}

enum Running {
    Control(Box<ControlNode>),
    Data(Box<DataNode>),
    Process(Process),
}

impl Node {
    /// Starts a node; whether it serves is for its readiness to say.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(super) async fn start(spec: Spec, how: How, log: &str) -> Result<Self, Failure> {
        let failed = |failure: &dyn std::fmt::Display| Failure::failed(format!("{}: {failure}", spec.name));
        let running = match (how, &spec.role) {
            (How::Process, _) => Running::Process(
                Process::start(spec.program(), &spec.arguments(log)?).map_err(|failure| failed(&failure.message))?,
            ),
            (How::InProcess, Role::Control { ports, join }) => {
                let node = ControlNode::start(spec.control_settings(*ports, join)?).await;
                Running::Control(Box::new(node.map_err(|failure| failed(&failure))?))
            }
            (How::InProcess, Role::Data { ports, control }) => {
                let node = DataNode::start(spec.data_settings(*ports, control)).await;
                Running::Data(Box::new(node.map_err(|failure| failed(&failure))?))
            }
        };
        let is_control = matches!(spec.role, Role::Control { .. });
        Ok(Self { name: spec.name, running, is_control })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_control(&self) -> bool {
        self.is_control
    }

    /// The process of a node that has one of its own.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.running {
            Running::Process(process) => process.pid(),
            Running::Control(_) | Running::Data(_) => None,
        }
    }

    /// Waits until the node has ended by itself, and says how. Cancel-safe.
    pub(super) async fn ended(&mut self) -> String {
        let how = match &mut self.running {
            Running::Control(node) => node.failed().await.to_string(),
            Running::Data(node) => {
                let removed = node.removed();
                // Cancel-safe: both only wait.
                tokio::select! {
                    () = node.failed() => "a traffic core ended by itself".to_owned(),
                    failure = removed => failure.to_string(),
                }
            }
            Running::Process(process) => process.ended().await,
        };
        format!("{} has ended: {how}", self.name)
    }

    /// Stops it cleanly.
    pub(super) async fn stop(self) {
        match self.running {
            Running::Control(node) => node.shutdown().await,
            Running::Data(node) => node.shutdown().await,
            Running::Process(process) => process.stop().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(spec: &Spec) -> Vec<String> {
        spec.arguments("warn").unwrap().into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn arguments_are_what_the_programs_take_and_mean_what_the_settings_mean() {
        use clap::Parser as _;
        let folder = tempfile::tempdir().unwrap();
        let ports = ControlPorts { admin: 1, peer: 2, http: 3 };
        for join in [vec![], vec!["http://127.0.0.1:1".to_owned(), "http://127.0.0.1:4".to_owned()]] {
            let role = Role::Control { ports, join: join.clone() };
            let spec = Spec { name: "control-1".into(), folder: folder.path().join("c"), role };
            let parsed = sluice_control::Settings::try_parse_from(["x".to_owned()].into_iter().chain(words(&spec)));
            let parsed = parsed.unwrap();
            let settings = spec.control_settings(ports, &join).unwrap();
            assert_eq!(
                (parsed.bootstrap, parsed.plaintext, &parsed.join),
                (settings.bootstrap, settings.plaintext, &join)
            );
            assert_eq!((&parsed.listen_admin, &parsed.listen_peer), (&settings.listen_admin, &settings.listen_peer));
            assert_eq!((parsed.listen_http, parsed.data_dir), (settings.listen_http, settings.data_dir));
            assert_eq!(parsed.drain_timeout, settings.drain_timeout);
        }
        let ports = DataPorts { http: 5, operations: 6 };
        let control = vec!["http://127.0.0.1:1".to_owned()];
        let role = Role::Data { ports, control: control.clone() };
        let spec = Spec { name: "data-1".into(), folder: folder.path().join("d"), role };
        let parsed = sluice_data::Settings::try_parse_from(["x".to_owned()].into_iter().chain(words(&spec))).unwrap();
        let settings = spec.data_settings(ports, &control);
        assert_eq!((parsed.listen_http, parsed.listen_operations), (settings.listen_http, settings.listen_operations));
        assert_eq!((parsed.follow, parsed.data_dir), (control, settings.data_dir));
        assert_eq!((parsed.drain_delay, parsed.drain_timeout), (settings.drain_delay, settings.drain_timeout));
    }

    #[test]
    fn a_folder_that_holds_a_node_neither_founds_nor_joins() {
        let folder = tempfile::tempdir().unwrap();
        let role = Role::Control { ports: ControlPorts { admin: 1, peer: 2, http: 3 }, join: Vec::new() };
        let spec = Spec { name: "control-1".into(), folder: folder.path().to_path_buf(), role };
        assert!(words(&spec).contains(&"--bootstrap".to_owned()));
        let identity = Identity::plaintext("c", sluice_identity::NodeRole::Control, "n");
        std::fs::create_dir_all(folder.path().join("identity")).unwrap();
        identity.save(&folder.path().join("identity")).unwrap();
        assert!(!words(&spec).contains(&"--bootstrap".to_owned()));
    }
}
