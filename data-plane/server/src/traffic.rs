//! A traffic core: one thread that accepts on its own socket and serves what it accepted.
//!
//! Promise: nothing of a request leaves its core; a connection may be handed to another one before its first byte is read. When the node stops, the core goes on accepting while it drains, takes
//! what still waits in its queue, finishes what is in flight within its bound, and ends.
//! Absent: which core that is (`spread`).

mod attendance;
mod listeners;

use std::cell::Cell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sluice_integrate::{UpstreamSettings, UpstreamTls, Upstreams};
use sluice_pipeline::limits::{Buckets, CoreLimits};
use sluice_pipeline::tally::CoreTally;
use sluice_pipeline::{AddressConnections, AddressRate, Bound, Gateway, GatewaySettings, Parts, SnapshotSource};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use self::listeners::Listeners;
use crate::connection::{ConnectionBounds, Engine};
use crate::entry::ProxyHeader;
use crate::handshakes::Handshakes;
use crate::spread::{Handed, Spread};
use crate::watch::{Connections, Order, Patience};

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often connections are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often addresses that have been quiet are forgotten, in sweeps.
const FORGET_EVERY: u32 = 10;
/// How long connections may take to go away once they are dropped.
const DROP_WITHIN: Duration = Duration::from_secs(1);

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lifecycle {
    /// Clients are welcome.
    Serving,
    /// Clients are asked to go elsewhere, and still served.
    Draining,
    /// Those that are idle are told to go.
    Emptying,
    /// No more connections; requests in flight are finished.
    Closing,
}

/// What all cores of a node have in common.
pub(crate) struct Shared {
    pub(crate) gateway: GatewaySettings,
    pub(crate) source: Arc<dyn SnapshotSource>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) spread: Arc<Spread>,
    pub(crate) address_rate: AddressRate,
    pub(crate) address_connections: Arc<AddressConnections>,
    /// How the TLS handshakes of clients are made; `None` without HTTPS.
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) proxy_header: ProxyHeader,
    pub(crate) tls: UpstreamTls,
    pub(crate) upstreams: UpstreamSettings,
    pub(crate) patience: Patience,
    pub(crate) handshakes_max: usize,
    pub(crate) connection: ConnectionBounds,
    pub(crate) drain_timeout: Duration,
}

/// The sockets of one core.
#[derive(Debug)]
pub(crate) struct CoreSockets {
    pub(crate) http: StdListener,
    /// `None` without HTTPS.
    pub(crate) https: Option<StdListener>,
    /// What other cores hand over.
    pub(crate) handed: mpsc::Receiver<Handed>,
}

/// A core that runs.
#[derive(Debug)]
pub(crate) struct CoreHandle {
    pub(crate) tally: Arc<CoreTally>,
    /// Resolves when the core's thread is about to end, however it ends.
    pub(crate) ended: oneshot::Receiver<()>,
    pub(crate) thread: JoinHandle<()>,
}

/// Starts a core's thread.
///
/// # Errors
/// When the system gives no thread, or no event queue.
pub(crate) fn start(
    index: usize,
    sockets: CoreSockets,
    shared: Arc<Shared>,
    lifecycle: watch::Receiver<Lifecycle>,
) -> io::Result<CoreHandle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = Arc::new(CoreTally::default());
    let (ending, ended) = oneshot::channel();
    let counts = Arc::clone(&tally);
    let thread = std::thread::Builder::new().name(format!("sluice-core-{index}")).spawn(move || {
        let _ending = ending;
        let outcome = LocalSet::new().block_on(&runtime, run(index, sockets, shared, lifecycle, counts));
        if let Err(error) = outcome {
            warn!(%error, core = index, "traffic core could not use its socket");
        }
    })?;
    Ok(CoreHandle { tally, ended, thread })
}

async fn run(
    index: usize,
    mut sockets: CoreSockets,
    shared: Arc<Shared>,
    mut lifecycle: watch::Receiver<Lifecycle>,
    tally: Arc<CoreTally>,
) -> io::Result<()> {
    let listeners = Listeners::of(sockets.http, sockets.https)?;
    let core = TrafficCore::assemble(index, shared, tally);
    let sweeper = tokio::task::spawn_local(Rc::clone(&core).sweep());
    core.accept(&listeners, &mut sockets.handed, &mut lifecycle).await;
    core.take_waiting(&listeners, &mut sockets.handed);
    drop(listeners);
    core.finish().await;
    sweeper.abort();
    Ok(())
}

/// What one core runs on.
struct TrafficCore {
    index: usize,
    shared: Arc<Shared>,
    gateway: Rc<Gateway>,
    upstreams: Upstreams,
    engine: Engine,
    connections: Rc<Connections>,
    draining: Rc<Cell<bool>>,
    handshakes: Rc<Handshakes>,
    began: Instant,
}

impl TrafficCore {
    fn assemble(index: usize, shared: Arc<Shared>, tally: Arc<CoreTally>) -> Rc<Self> {
        let upstreams = Upstreams::new(shared.upstreams.clone(), shared.tls.clone());
        let gateway = Rc::new(Gateway::new(Parts {
            settings: shared.gateway.clone(),
            source: Arc::clone(&shared.source),
            limits: Box::new(CoreLimits::new(Arc::clone(&shared.buckets))),
            upstreams: upstreams.clone(),
            tally: Arc::clone(&tally),
            seed: rand::random(),
        }));
        let draining = Rc::new(Cell::new(false));
        Rc::new(Self {
            index,
            engine: Engine::new(Rc::clone(&gateway), shared.connection, Rc::clone(&draining)),
            connections: Rc::new(Connections::new(shared.patience, Arc::clone(&tally))),
            gateway,
            upstreams,
            draining,
            handshakes: Rc::new(Handshakes::new(shared.handshakes_max)),
            began: Instant::now(),
            shared,
        })
    }

    /// Accepts until the node closes.
    async fn accept(
        self: &Rc<Self>,
        listeners: &Listeners,
        handed: &mut mpsc::Receiver<Handed>,
        lifecycle: &mut watch::Receiver<Lifecycle>,
    ) {
        loop {
            // All branches are cancel-safe: what is dropped leaves the connection in its queue, and the change to be seen.
            tokio::select! {
                accepted = listeners.accept() => match accepted {
                    Ok((socket, caller)) => self.take(socket, caller),
                    Err(error) => {
                        self.gateway.tally().hit(Bound::Descriptors);
                        debug!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(handed) = handed.recv() => self.take_handed(handed),
                changed = lifecycle.changed() => {
                    // A node that is gone is a node that closes.
                    let now = changed.map_or(Lifecycle::Closing, |()| *lifecycle.borrow_and_update());
                    self.draining.set(now >= Lifecycle::Draining);
                    if now >= Lifecycle::Draining {
                        self.connections.tell(Order::Finish, |watch| now >= Lifecycle::Emptying || watch.is_multiplexed());
                    }
                    if now == Lifecycle::Closing {
                        return;
                    }
                }
            }
        }
    }

    /// Takes what has already connected and would otherwise be reset.
    fn take_waiting(self: &Rc<Self>, listeners: &Listeners, handed: &mut mpsc::Receiver<Handed>) {
        // Whoever accepts from here on keeps it.
        handed.close();
        while let Ok(handed) = handed.try_recv() {
            self.take_handed(handed);
        }
        while let Some(Ok((socket, caller))) = listeners.accept().now_or_never() {
            self.take(socket, caller);
        }
    }

    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        for count in 0_u32.. {
            ticks.tick().await;
            self.connections.sweep(u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX));
            self.gateway.refresh();
            if count % FORGET_EVERY == 0 {
                self.shared.address_rate.forget_quiet();
            }
        }
    }

    /// Lets requests in flight end, then drops what is left.
    async fn finish(&self) {
        self.connections.tell(Order::Finish, |_| true);
        let quiet = async {
            self.connections.none().await;
            // A backend may still be taking a request whose client has gone with its answer.
            self.upstreams.no_remainder().await;
        };
        if tokio::time::timeout(self.shared.drain_timeout, quiet).await.is_err() {
            warn!(connections = self.connections.count(), "connections were still busy when their time was over");
            self.connections.tell(Order::Drop, |_| true);
            let _ = tokio::time::timeout(DROP_WITHIN, self.connections.none()).await;
        }
    }
}
