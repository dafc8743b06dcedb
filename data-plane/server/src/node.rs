//! A data node: its traffic cores, its operations port, and where its configuration comes from.
//!
//! Promise: everything a node has belongs to it, so that many live in one process; `shutdown` ends all of it: readiness
//! fails first, accepting goes on for the announced time, requests in flight finish within their bound.
//! Absent: the process (signals, exit status, log output).

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_identity::{IdentityFailure, REMOVED_STATUS};
use sluice_integrate::{SystemRoots, TlsFailure, UpstreamSettings, UpstreamTls};
use sluice_pipeline::limits::Buckets;
use sluice_pipeline::tally::CoreTally;
use sluice_pipeline::{AddressConnections, AddressRate, GatewaySettings, NotANetwork, SnapshotSource, TrustedProxies};
use sluice_telemetry::{Metrics, bound, metric};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use crate::bounds::BoundCounters;
use crate::configuration::{Configuration, ConfigurationFailure};
use crate::connection::ConnectionBounds;
use crate::drain::Drain;
use crate::entry::ProxyHeader;
use crate::exposition::{self, Standing};
use crate::listener::{self, ListenFailure};
use crate::operations::{self, Report};
use crate::settings::Settings;
use crate::spread::Spread;
use crate::tls::{ClientTls, ClientTlsFailure};
use crate::traffic::{self, CoreHandle, CoreSockets, Lifecycle, Shared};
use crate::watch::Patience;

/// How often a node in plaintext off loopback says so.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How often samples of histograms are folded, so that they do not pile up without a scraper.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// A port is taken.
    #[error(transparent)]
    Listen(#[from] ListenFailure),
    /// `trusted_proxies` holds something else than networks.
    #[error("trusted_proxies: {0}")]
    TrustedProxies(#[from] NotANetwork),
    /// `proxy_protocol` is of trusted proxies, and none is named.
    #[error("proxy_protocol: expected proxies in trusted_proxies, found none; name those that send PROXY headers")]
    NoProxies,
    /// The certificates for clients cannot be used.
    #[error("tls: {0}")]
    ClientTls(#[from] ClientTlsFailure),
    /// `backend.ca_file` cannot be used.
    #[error("backend.ca_file: {0}")]
    Tls(#[from] TlsFailure),
    /// There is no way to a configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigurationFailure),
    /// The system gives no thread or no event queue.
    #[error("cannot start a traffic core: {0}")]
    Core(#[source] io::Error),
}

impl StartFailure {
    /// The exit status of the process: one of its own for a node that was removed, which is not to be started again.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(ConfigurationFailure::Identity(IdentityFailure::Removed { .. })) => REMOVED_STATUS,
            _ => 1,
        }
    }
}

/// A data node that runs.
#[derive(Debug)]
pub struct DataNode {
    http: SocketAddr,
    https: Option<SocketAddr>,
    operations: SocketAddr,
    drain: Arc<Drain>,
    obeying: Option<AbortOnDropHandle<()>>,
    cores: Vec<CoreHandle>,
    tasks: TaskTracker,
    stop: DropGuard,
    configuration: Configuration,
}

impl DataNode {
    /// Starts a node that follows its cluster. It serves as soon as it has a configuration: the last one it had, or the
    /// first that a control node sends.
    ///
    /// Must be called inside a multi-threaded tokio runtime, on which all but traffic runs.
    ///
    /// # Errors
    /// [`StartFailure`]; nothing is left running then.
    pub async fn start(settings: Settings) -> Result<Self, StartFailure> {
        let sockets = Sockets::bind(&settings).await?;
        let metrics = Metrics::new();
        let configuration = Configuration::follow(&settings, sockets.http()?, &metrics).await?;
        Self::assemble(settings, sockets, configuration, metrics)
    }

    /// Starts a node that serves what `source` says and follows no one: for tests and benches.
    ///
    /// # Errors
    /// [`StartFailure`]; nothing is left running then.
    pub async fn start_with(settings: Settings, source: Arc<dyn SnapshotSource>) -> Result<Self, StartFailure> {
        let sockets = Sockets::bind(&settings).await?;
        Self::assemble(settings, sockets, Configuration::fixed(source), Metrics::new())
    }

    fn assemble(
        settings: Settings,
        sockets: Sockets,
        configuration: Configuration,
        metrics: Metrics,
    ) -> Result<Self, StartFailure> {
        let (http, https) = (sockets.http()?, sockets.https()?);
        let operations = sockets.operations.local_addr().map_err(StartFailure::Core)?;
        let (lifecycle, watched) = watch::channel(Lifecycle::Serving);
        let tls = ClientTls::load(&settings, &metrics)?;
        let shared = Arc::new(shared(&settings, configuration.source(), sockets.spread, tls.as_ref())?);
        let start = |(index, sockets)| traffic::start(index, sockets, Arc::clone(&shared), watched.clone());
        let cores: Result<Vec<_>, _> = sockets.cores.into_iter().enumerate().map(start).collect();
        let cores = cores.map_err(StartFailure::Core)?;
        metrics.gauge(&metric::BUILD, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let report = Arc::new(NodeReport {
            lifecycle: watched,
            source: configuration.source(),
            cores: cores.iter().map(|core| Arc::clone(&core.tally)).collect(),
            shared,
            bounds: BoundCounters::register(&metrics),
            metrics: metrics.clone(),
        });
        let crowded = metrics.counter(&metric::BOUNDS_HIT, &[bound::OPERATIONS_CONNECTIONS]);
        tasks.spawn(operations::serve(sockets.operations, report, crowded, stop.clone()));
        tasks.spawn(every(UPKEEP_EVERY, stop.clone(), move || metrics.upkeep()));
        if let Some(tls) = tls {
            tasks.spawn(tls.follow(stop.clone()));
        }
        if settings.insecure {
            tasks
                .spawn(every(WARN_EVERY, stop.clone(), || warn!("control nodes are followed without TLS: --insecure")));
        }
        info!(address = %http, ?https, %operations, cores = cores.len(), "data node started");
        let tallies = cores.iter().map(|core| Arc::clone(&core.tally)).collect();
        let drain = Arc::new(Drain::new(lifecycle, settings.drain_delay, tallies));
        let obeying = configuration.orders().map(|(orders, standing)| {
            let drain = Arc::clone(&drain);
            AbortOnDropHandle::new(tokio::spawn(async move { drain.obey(orders, standing).await }))
        });
        Ok(Self { http, https, operations, drain, obeying, cores, tasks, stop: stop.drop_guard(), configuration })
    }

    /// Where clients reach it.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where clients reach it over TLS, if they do.
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where operators reach it.
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// Whether it has a configuration to serve.
    pub fn is_configured(&self) -> bool {
        self.configuration.source().load().is_some()
    }

    /// Waits until a traffic core has ended by itself, which is a defect. Cancel-safe.
    pub async fn failed(&mut self) {
        let ended = self.cores.iter_mut().map(|core| &mut core.ended);
        let _ = futures_util::future::select_all(ended).await;
    }

    /// Waits until the cluster has removed this node: it is to stop then, and does not start again from its folder.
    pub fn removed(&self) -> impl Future<Output = StartFailure> + use<> {
        let removed = self.configuration.removed();
        async move { removed.await.into() }
    }

    /// Stops it as the module promises.
    pub async fn shutdown(self) {
        drop(self.obeying);
        self.drain.close().await;
        for core in self.cores {
            // The thread ends right behind the sender of this.
            let _ = core.ended.await;
            let _ = tokio::task::spawn_blocking(|| core.thread.join()).await;
        }
        self.configuration.stop().await;
        self.tasks.close();
        drop(self.stop);
        self.tasks.wait().await;
        info!("data node stopped");
    }
}

/// The sockets of a node, bound before anything runs.
struct Sockets {
    cores: Vec<CoreSockets>,
    spread: Arc<Spread>,
    operations: TcpListener,
}

impl Sockets {
    async fn bind(settings: &Settings) -> Result<Self, StartFailure> {
        let count = settings.core_count();
        let http = listener::bind("http", settings.listen_http, count)?;
        let https = match settings.tls_certificates.as_slice() {
            [] => Vec::new(),
            _ => listener::bind("https", settings.listen_https, count)?,
        };
        let mut https = https.into_iter();
        let (spread, queues) = Spread::new(count, settings.limits_connections as usize);
        let core = |(http, handed)| CoreSockets { http, https: https.next(), handed };
        let cores = http.into_iter().zip(queues).map(core).collect();
        let operations = listener::bind("operations", settings.listen_operations, 1)?;
        let operations = operations.into_iter().next().expect("one was asked for");
        let operations = TcpListener::from_std(operations).map_err(StartFailure::Core)?;
        Ok(Self { cores, spread, operations })
    }

    fn http(&self) -> Result<SocketAddr, StartFailure> {
        self.cores[0].http.local_addr().map_err(StartFailure::Core)
    }

    fn https(&self) -> Result<Option<SocketAddr>, StartFailure> {
        self.cores[0].https.as_ref().map(StdListener::local_addr).transpose().map_err(StartFailure::Core)
    }
}

fn shared(
    settings: &Settings,
    source: Arc<dyn SnapshotSource>,
    spread: Arc<Spread>,
    tls: Option<&ClientTls>,
) -> Result<Shared, StartFailure> {
    if settings.proxy_protocol && settings.trusted_proxies.is_empty() {
        return Err(StartFailure::NoProxies);
    }
    let ca_files: Vec<PathBuf> = settings.backend_ca_file.iter().cloned().collect();
    Ok(Shared {
        gateway: GatewaySettings {
            path_addresses: settings.path_addresses.into(),
            trusted_proxies: TrustedProxies::parse(&settings.trusted_proxies)?,
        },
        source,
        buckets: Arc::new(Buckets::new(Instant::now())),
        spread,
        address_connections: Arc::new(AddressConnections::new(settings.limits_address_connections)),
        address_rate: AddressRate::new(settings.limits_connection_rate, settings.limits_connection_burst),
        acceptor: tls.map(ClientTls::acceptor),
        proxy_header: if settings.proxy_protocol { ProxyHeader::Required } else { ProxyHeader::Unknown },
        tls: UpstreamTls::load(SystemRoots::Trusted, &ca_files)?,
        upstreams: UpstreamSettings::default(),
        patience: Patience {
            handshake: settings.timeouts_handshake,
            head: settings.timeouts_head,
            idle: settings.timeouts_idle,
            send: settings.timeouts_send,
        },
        handshakes_max: settings.limits_handshakes as usize,
        connection: ConnectionBounds {
            requests_max: settings.limits_requests,
            streams_max: settings.limits_streams,
            resets_max: settings.limits_resets,
        },
        drain_timeout: settings.drain_timeout,
    })
}

/// Does something at once and every so often, until `stop`.
async fn every(pause: Duration, stop: CancellationToken, act: impl Fn()) {
    let mut ticks = tokio::time::interval(pause);
    // Both branches are cancel-safe: a tick that is dropped comes again.
    loop {
        tokio::select! {
            _ = ticks.tick() => act(),
            () = stop.cancelled() => return,
        }
    }
}

/// What the operations port tells about a node.
struct NodeReport {
    lifecycle: watch::Receiver<Lifecycle>,
    source: Arc<dyn SnapshotSource>,
    cores: Vec<Arc<CoreTally>>,
    shared: Arc<Shared>,
    bounds: BoundCounters,
    metrics: Metrics,
}

impl Report for NodeReport {
    fn not_ready(&self) -> Option<&'static str> {
        if *self.lifecycle.borrow() != Lifecycle::Serving {
            return Some("the node is draining");
        }
        self.source.load().is_none().then_some("the node has no configuration yet")
    }

    fn metrics(&self) -> String {
        self.bounds.update(&self.cores, &self.shared.buckets, &self.shared.address_rate);
        let standing = Standing { buckets: self.shared.buckets.count(), connections: self.shared.spread.counts() };
        let mut page = exposition::render(&self.cores, &standing);
        page.push_str(&self.metrics.render());
        page
    }
}
