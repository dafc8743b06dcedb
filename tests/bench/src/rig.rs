//! A cluster with one API, and load on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use sluice_e2e::{cli::Cli, dev::Dev, node::free_address, process::Process};
use tempfile::TempDir;

/// The nginx that answers 1 KB to everything; the same for every proxy measured.
pub(crate) struct Backend {
    pub(crate) port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Backend {
    /// Starts it, pinned to the core that the load runs on.
    pub(crate) fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_address().port();
        let body = "x".repeat(1024);
        let text = format!(
            "worker_processes 1; error_log stderr error; pid {folder}/pid; events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
 fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 \"{body}\"; }} }} }}",
            folder = folder.path().display()
        );
        let process = nginx(folder.path(), &text, LOAD_CORE)?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The core that a measured proxy is pinned to.
pub(crate) const PROXY_CORE: &str = "0";
/// The core of load generator and backend.
pub(crate) const LOAD_CORE: &str = "1";

/// Starts an nginx with this configuration on one core.
pub(crate) fn nginx(folder: &Path, text: &str, core: &str) -> Result<Process> {
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new("taskset");
    command.args(["-c", core, "nginx", "-g", "daemon off;", "-c"]).arg(file);
    Ok(Process::start("nginx", &mut command, Some(folder.join("log"))))
}

/// A cluster that serves `GET /plain` and, with a key, `GET /keyed`.
pub(crate) struct Rig {
    pub(crate) dev: Dev,
    pub(crate) api: String,
    pub(crate) key: String,
    _folder: TempDir,
}

impl Rig {
    /// Starts the cluster and deploys the API to stage `bench`.
    pub(crate) fn start(control_nodes: u32, data_nodes: u32, backend: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let dev = Dev::start(control_nodes, data_nodes, &folder.path().join("data"));
        let cli = dev.cli();
        let file = folder.path().join("bench.yaml");
        fs::write(&file, description(backend))?;
        let imported = cli.json(&["api", "import", path_text(&file)?]);
        let api = imported["id"].as_str().context("an import answers with the id of the API")?.to_owned();
        drop(cli.text(&["api", "deploy", &api, "--stage", "bench"]));
        let key = plan_and_key(&cli, &api)?;
        Ok(Self { dev, api, key, _folder: folder })
    }

    /// The path of a route as clients of loopback may write it.
    pub(crate) fn path(&self, route: &str) -> String {
        format!("/_aws/execute-api/{}/bench{route}", self.api)
    }
}

fn plan_and_key(cli: &Cli, api: &str) -> Result<String> {
    let plan = cli.json(&["plan", "create", "bench", "--rate", "1000000/s", "--burst", "1000000"]);
    let plan = plan["id"].as_str().context("a plan has an id")?.to_owned();
    drop(cli.text(&["plan", "attach", &plan, api, "bench"]));
    let key = cli.json(&["key", "create", "bench"]);
    let id = key["id"].as_str().context("a key has an id")?;
    drop(cli.text(&["plan", "add-key", &plan, id]));
    Ok(key["value"].as_str().context("a new key shows its value")?.to_owned())
}

fn description(backend: &str) -> String {
    let route = |path: &str, keyed: &str| {
        format!(
            "  {path}:\n    get:\n{keyed}      responses: {{'200': {{description: ok}}}}\n      \
             x-amazon-apigateway-integration: {{type: http_proxy, httpMethod: GET, uri: '{backend}/'}}\n"
        )
    };
    format!(
        "openapi: 3.0.1\ninfo: {{title: bench, version: '1'}}\npaths:\n{}{}components:\n  securitySchemes:\n    \
         api_key: {{type: apiKey, name: x-api-key, in: header}}\n",
        route("/plain", ""),
        route("/keyed", "      security: [{api_key: []}]\n"),
    )
}

/// A path as an argument.
pub(crate) fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// GitHub's description, as the repository keeps it.
pub(crate) fn github() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/github.json.zst"))
}

/// CPU nanoseconds that all threads of a process and its children have run (`schedstat`; finer than clock ticks).
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let own: u64 = threads.map(|thread| first_number(&thread.path().join("schedstat"))).sum();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_ns).sum::<u64>()
}

fn first_number(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Binds every thread of a process to one core.
pub(crate) fn pin(pid: u32, core: &str) -> Result<()> {
    let status = Command::new("taskset").args(["-a", "-cp", core, &pid.to_string()]).output()?.status;
    ensure!(status.success(), "taskset could not pin process {pid} to core {core}");
    Ok(())
}
