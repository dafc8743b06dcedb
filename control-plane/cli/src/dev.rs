//! `dev`: a real cluster on this machine, for a laptop, a test or a CI job.
//!
//! Promise: real nodes with real Raft, disk and sockets, in this process or as children; `ready` is printed once, when
//! every node serves; what was there is there again at the next start from the same folder; SIGINT and SIGTERM stop all
//! of it cleanly. Absent: certificates and tokens: everything is on loopback.

mod import;
mod layout;
mod node;
mod ports;
mod process;
mod ready;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};

use self::{
    import::Import,
    layout::Layout,
    node::{How, Node, Spec},
    ports::Series,
};
use crate::{
    failure::Failure,
    output::{Format, Output},
    session::Session,
    signals::Signals,
};

/// How long one call to the cluster may take.
const CALL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice dev
  sluice dev --control-nodes 3 --data-nodes 2 --processes
  sluice dev --ephemeral --ports auto -o json --import pets.yaml --backend http://127.0.0.1:9000")]
pub(crate) struct Dev {
    /// Control nodes: 1, 3, 5 or 7
    #[arg(long, default_value_t = 1, value_parser = control_nodes, value_name = "N")]
    control_nodes: usize,
    /// Data nodes; more than ten need --ports auto
    #[arg(long, default_value_t = 1, value_parser = data_nodes, value_name = "N")]
    data_nodes: usize,
    /// Folder of the cluster; a later start from it finds everything there
    #[arg(long, default_value = ".sluice", value_name = "DIR")]
    data_dir: PathBuf,
    /// Keep the data in a temporary folder and remove it at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Run each node as a child process, so that it can be killed
    #[arg(long)]
    processes: bool,
    /// Which ports to take [default: 7100, 7110, ...; 8080, 8081, ...]
    #[arg(long, value_enum, value_name = "auto")]
    ports: Option<Ports>,
    #[command(flatten)]
    import: Import,
    /// What the nodes log on stderr, as directives of tracing
    #[arg(long, env = "SLUICE_LOG", default_value = "warn,openraft=error", value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ports {
    /// Free ones
    Auto,
}

fn control_nodes(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| [1, 3, 5, 7].contains(count));
    count.ok_or_else(|| format!("expected 1, 3, 5 or 7, found `{text}`"))
}

fn data_nodes(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100).contains(count));
    count.ok_or_else(|| format!("expected 1 to 100, found `{text}`"))
}

impl Dev {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        self.import.check()?;
        let mut signals = Signals::new()?;
        let temporary = self.ephemeral.then(tempfile::tempdir).transpose();
        let temporary = temporary.map_err(|failure| Failure::failed(format!("no temporary folder: {failure}")))?;
        let folder = temporary.as_ref().map_or(self.data_dir.as_path(), |folder| folder.path()).to_path_buf();
        let series = if self.ports.is_some() { Series::Free } else { Series::Documented };
        let layout = Layout::open(&folder, self.control_nodes, self.data_nodes, series)?;
        let how = if self.processes { How::Process } else { How::InProcess };
        if how == How::InProcess {
            sluice_telemetry::init_tracing(sluice_telemetry::LogFormat::Text, &self.log)
                .map_err(|failure| Failure::usage(failure.to_string()))?;
        }
        let mut cluster = Cluster { nodes: Vec::new(), how, log: self.log.clone() };
        let outcome = tokio::select! {
            // Nothing is lost with either: nodes that were started are in `cluster` and are stopped below.
            outcome = cluster.serve(&layout, &self.import, output) => outcome,
            () = signals.stop() => Ok(()),
        };
        tokio::select! {
            () = cluster.stop() => {}
            // Told twice: children are killed as they are dropped.
            () = signals.stop() => {}
        }
        outcome
    }
}

/// The nodes that run.
struct Cluster {
    nodes: Vec<Node>,
    how: How,
    log: String,
}

impl Cluster {
    /// Starts what the layout says, says that it is ready, and goes on until the cluster cannot.
    async fn serve(&mut self, layout: &Layout, import: &Import, output: Output) -> Result<(), Failure> {
        let session = Session::local(&layout.admin_urls(), output, CALL)?;
        for spec in layout.control_nodes() {
            let is_new = spec.is_new()?;
            self.start(spec).await?;
            if is_new {
                // The next one joins through this one, and is numbered by the order of joining.
                self.unless_ended(ready::control(&session, self.nodes.len())).await?;
            }
        }
        for spec in layout.data_nodes() {
            self.start(spec).await?;
        }
        self.unless_ended(ready::all(&session, layout)).await?;
        let imported = import.run(&session, layout).await?;
        self.say_ready(layout, imported, output);
        self.ended(output).await
    }

    async fn start(&mut self, spec: Spec) -> Result<(), Failure> {
        let node = Node::start(spec, self.how, &self.log).await?;
        self.nodes.push(node);
        Ok(())
    }

    /// Waits for `readiness`, unless a node ends before.
    async fn unless_ended(&mut self, readiness: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let ended = select_all(self.nodes.iter_mut().map(|node| Box::pin(node.ended())));
        tokio::select! {
            // Both only watch: dropping one loses nothing.
            readiness = readiness => readiness,
            (ended, ..) = ended => Err(Failure::failed(ended)),
        }
    }

    fn say_ready(&self, layout: &Layout, imported: Option<Value>, output: Output) {
        let pids = self.nodes.iter().filter_map(|node| Some((node.name(), node.pid()?))).collect::<BTreeMap<_, _>>();
        let mut value = json!({
            "ready": true,
            "admin": layout.admin_urls(),
            "management": layout.management_urls(),
            "gateway": layout.gateway_urls(),
            "pids": pids,
        });
        let text = format!("ready admin {} gateway {}", layout.admin_urls().join(","), layout.gateway_urls().join(","));
        if let Some(imported) = imported {
            value["api"] = imported;
        }
        match output.format() {
            Format::Table => output.text(&text),
            // One line, so that a script can read it as one.
            Format::Json => output.text(&value.to_string()),
            Format::Yaml => output.value(&value),
        }
    }

    /// Waits for what ends by itself. A child that was killed is said and missed; a node of this process is fatal.
    async fn ended(&mut self, output: Output) -> Result<(), Failure> {
        let mut watched = self.nodes.iter_mut().map(|node| Box::pin(node.ended())).collect::<Vec<_>>();
        while !watched.is_empty() {
            let (ended, _, others) = select_all(watched).await;
            if self.how == How::InProcess {
                return Err(Failure::failed(ended));
            }
            output.note(&ended);
            watched = others;
        }
        Err(Failure::failed("every node has ended"))
    }

    /// Data nodes first: they finish what is in flight while there still is a control plane.
    async fn stop(&mut self) {
        let (control, data): (Vec<_>, Vec<_>) = self.nodes.drain(..).partition(Node::is_control);
        join_all(data.into_iter().map(Node::stop)).await;
        join_all(control.into_iter().map(Node::stop)).await;
    }
}
