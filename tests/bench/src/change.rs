//! One changed route among 1,100: from the commit to the `Applied` of the last data node.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use sluice_e2e::dev::Dev;
use sluice_proto::{
    admin::{
        ChangeRequest, Deploy, GetRequest, ListRequest, ListRoutesRequest, Operation, Put, WaitRequest, operation,
    },
    model::{Document, Kind, Method, Ref, document},
};
use sluice_rpc::admin::{apis_client::ApisClient, config_client::ConfigClient, fleet_client::FleetClient};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::{Channel, Endpoint};

use crate::{
    calibrate,
    report::{calibration, figure, quantile},
    rig::{Backend, github, path_text},
};

/// Changes that are timed one by one.
const CHANGES: usize = 200;
const PACE: Duration = Duration::from_millis(200);
/// Seconds of load at a time.
const LOAD_SECONDS: u64 = 10;
/// Changes beside the load: as long as it lasts, at the same pace.
const CHANGES_UNDER_LOAD: usize = 45;

/// Measures the propagation alone, then requests with and without changes running.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let folder = TempDir::new()?;
    let dev = Dev::start(3, 2, &folder.path().join("data"));
    let backend = Backend::start()?;
    let mut subject = Subject::prepare(&dev, &backend).await?;
    let (mut loops, mut commits, mut middle, mut late) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        let took = subject.changes(CHANGES).await?;
        let serves: Vec<f64> = took.iter().map(|took| took.serve_ms).collect();
        commits.push(quantile(&took.iter().map(|took| took.commit_ms).collect::<Vec<_>>(), 0.5));
        middle.push(quantile(&serves, 0.5));
        late.push(quantile(&serves, 0.99));
    }
    figure("one changed route: call to commit, p50 (for information)", "ms", &commits, "-");
    figure("one changed route: commit to last Applied, p50", "ms", &middle, "<= 15");
    figure("one changed route: commit to last Applied, p99", "ms", &late, "<= 50");
    let (mut idle, mut busy, mut failures) = (Vec::new(), Vec::new(), 0);
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        let control = Load::start(&folder, &subject.url)?.finish().await?;
        let load = Load::start(&folder, &subject.url)?;
        drop(subject.changes(CHANGES_UNDER_LOAD).await?);
        let changed = load.finish().await?;
        idle.push(control.p99_ms);
        busy.push(changed.p99_ms);
        failures += control.failures + changed.failures;
    }
    figure("p99 of requests at 2,000 rps, nothing changing", "ms", &idle, "-");
    figure("p99 of requests at 2,000 rps, 5 changes a second", "ms", &busy, "<= before + 3");
    println!("{:<58} {failures:>10} {:<40} goal 0", "failed requests", "");
    calibration(&loops);
    dev.stop();
    Ok(())
}

struct Subject {
    config: ConfigClient<Channel>,
    fleet: FleetClient<Channel>,
    method: Method,
    api: String,
    url: String,
    turn: i32,
}

impl Subject {
    async fn prepare(dev: &Dev, backend: &Backend) -> Result<Self> {
        let cli = dev.cli();
        let imported = cli.json(&["api", "import", path_text(&github())?, "--backend", &backend.url()]);
        let api = imported["id"].as_str().context("an import answers with the id of the API")?.to_owned();
        drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));
        let channel = leader(dev).await?;
        let mut apis = ApisClient::new(channel.clone());
        let routes =
            apis.list_routes(ListRoutesRequest { api_id: api.clone(), ..Default::default() }).await?.into_inner();
        let route = routes.items.first().context("GitHub has routes")?.clone();
        let mut config = ConfigClient::new(channel.clone());
        let ids = vec![api.clone(), route.resource_id, route.http_method];
        let request = GetRequest { r#ref: Some(Ref { kind: Kind::Method.into(), ids }), ..Default::default() };
        let document = config.get(request).await?.into_inner().stored.and_then(|stored| stored.document);
        let Some(document::Kind::Method(method)) = document.and_then(|document| document.kind) else {
            anyhow::bail!("the API answered with something else than the method asked for");
        };
        let url = format!("{}/_aws/execute-api/{api}/prod/meta", dev.ready.gateway[0]);
        Ok(Self { config, fleet: FleetClient::new(channel), method, api, url, turn: 0 })
    }

    /// What each of the paced changes took.
    async fn changes(&mut self, count: usize) -> Result<Vec<Took>> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            pace.tick().await;
            times.push(self.change().await?);
        }
        Ok(times)
    }

    async fn change(&mut self) -> Result<Took> {
        self.turn += 1;
        if let Some(integration) = &mut self.method.method_integration {
            integration.timeout_in_millis = Some(20_000 + self.turn % 5_000);
        }
        let document = Document { kind: Some(document::Kind::Method(self.method.clone())) };
        let put = operation::Kind::Put(Put { document: Some(document), expected_version: None });
        let deploy = operation::Kind::Deploy(Deploy {
            api_id: self.api.clone(),
            stage_name: "prod".to_owned(),
            ..Default::default()
        });
        let operations = [put, deploy].map(|kind| Operation { kind: Some(kind) }).into();
        let request_id = uuid::Uuid::now_v7().as_bytes().to_vec();
        let asked = Instant::now();
        let revision = self.config.change(ChangeRequest { request_id, operations }).await?.into_inner().revision;
        let committed = Instant::now();
        let answer =
            self.fleet.wait(WaitRequest { revision, timeout_ms: 10_000, ..Default::default() }).await?.into_inner();
        ensure!(answer.served, "a data node does not serve the change: {answer:?}");
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        Ok(Took { commit_ms: ms(committed - asked), serve_ms: ms(committed.elapsed()) })
    }
}

/// What a change took, as its caller saw it.
struct Took {
    /// From the call to its answer.
    commit_ms: f64,
    /// From the answer until the last data node had said `Applied`.
    serve_ms: f64,
}

/// A channel to the control node that leads.
pub(crate) async fn leader(dev: &Dev) -> Result<Channel> {
    let nodes = dev.cli().json(&["node", "list"]);
    let items = nodes["items"].as_array().context("a list has items")?;
    let line = items.iter().find(|node| node["state"] == "leader").context("a cluster has a leader")?;
    let address = line["address"].as_str().context("a node has an address")?;
    let url = dev.ready.admin.iter().find(|url| url.ends_with(address)).cloned();
    let url = url.unwrap_or_else(|| format!("http://{address}"));
    Ok(Endpoint::from_shared(url)?.tcp_nodelay(true).connect().await?)
}

struct Load {
    child: Child,
    log: std::path::PathBuf,
}

struct Seen {
    p99_ms: f64,
    failures: usize,
}

impl Load {
    fn start(folder: &TempDir, url: &str) -> Result<Self> {
        let log = folder.path().join("h2load.log");
        drop(std::fs::remove_file(&log));
        let mut command = Command::new("h2load");
        command.args(["--h1", "-t1", "-c64", "-m1", "--rps=31.25"]).arg(format!("-D{LOAD_SECONDS}"));
        command.arg(format!("--log-file={}", log.display())).arg(url);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { child: child.context("h2load runs; install Debian's package nghttp2-client")?, log })
    }

    /// Columns of the log: start in microseconds, status (-1 for a stream that failed), time in microseconds.
    async fn finish(mut self) -> Result<Seen> {
        tokio::task::spawn_blocking(move || {
            self.child.wait()?;
            let text = std::fs::read_to_string(&self.log)?;
            let rows: Vec<(i32, f64)> = text
                .lines()
                .filter_map(|line| {
                    let mut columns = line.split('\t').skip(1);
                    Some((columns.next()?.parse().ok()?, columns.next()?.parse::<f64>().ok()? / 1_000.0))
                })
                .collect();
            ensure!(!rows.is_empty(), "h2load logged no request");
            let times: Vec<f64> = rows.iter().map(|(_, time)| *time).collect();
            let failures = rows.iter().filter(|(status, _)| *status != 200).count();
            Ok(Seen { p99_ms: quantile(&times, 0.99), failures })
        })
        .await?
    }
}

/// Every API key's id, by pages: used by the key benchmark to see that all are there.
pub(crate) async fn count_keys(channel: Channel) -> Result<usize> {
    let mut config = ConfigClient::new(channel);
    let (mut count, mut token) = (0, None);
    loop {
        let request =
            ListRequest { kind: Kind::ApiKey.into(), page_size: Some(500), page_token: token, ..Default::default() };
        let page = config.list(request).await?.into_inner();
        count += page.items.len();
        if page.next_page_token.is_empty() {
            return Ok(count);
        }
        token = Some(page.next_page_token);
    }
}
