//! A traffic core: one thread that accepts on its own socket and serves what it accepted.
//!
//! Promise: nothing of a request leaves its core. When the node stops, the core goes on accepting while it drains, takes
//! what still waits in its queue, finishes what is in flight within its bound, and ends.
//! Absent: handing connections to another core.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sluice_integrate::{UpstreamSettings, UpstreamTls, Upstreams};
use sluice_pipeline::limits::{Buckets, CoreLimits};
use sluice_pipeline::tally::{CoreTally, ThrottledBy};
use sluice_pipeline::{AddressRate, Bound, Connection, Gateway, GatewaySettings, Parts, SnapshotSource};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tracing::{debug, warn};

use crate::connection::Engine;
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
    /// No more connections; requests in flight are finished.
    Closing,
}

/// What all cores of a node have in common.
pub(crate) struct Shared {
    pub(crate) gateway: GatewaySettings,
    pub(crate) source: Arc<dyn SnapshotSource>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) address_rate: AddressRate,
    pub(crate) tls: UpstreamTls,
    pub(crate) upstreams: UpstreamSettings,
    pub(crate) patience: Patience,
    pub(crate) connections_max: usize,
    pub(crate) streams_max: u32,
    pub(crate) drain_timeout: Duration,
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
    listener: StdListener,
    shared: Arc<Shared>,
    lifecycle: watch::Receiver<Lifecycle>,
) -> io::Result<CoreHandle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = Arc::new(CoreTally::default());
    let (ending, ended) = oneshot::channel();
    let counts = Arc::clone(&tally);
    let thread = std::thread::Builder::new().name(format!("sluice-core-{index}")).spawn(move || {
        let _ending = ending;
        let outcome = LocalSet::new().block_on(&runtime, run(listener, shared, lifecycle, counts));
        if let Err(error) = outcome {
            warn!(%error, core = index, "traffic core could not use its socket");
        }
    })?;
    Ok(CoreHandle { tally, ended, thread })
}

async fn run(
    listener: StdListener,
    shared: Arc<Shared>,
    mut lifecycle: watch::Receiver<Lifecycle>,
    tally: Arc<CoreTally>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let port = listener.local_addr()?.port();
    let core = TrafficCore::assemble(shared, tally, port);
    let sweeper = tokio::task::spawn_local(Rc::clone(&core).sweep());
    core.accept(&listener, &mut lifecycle).await;
    core.take_waiting(&listener);
    drop(listener);
    core.finish().await;
    sweeper.abort();
    Ok(())
}

/// What one core runs on.
struct TrafficCore {
    shared: Arc<Shared>,
    gateway: Rc<Gateway>,
    upstreams: Upstreams,
    engine: Engine,
    connections: Rc<Connections>,
    draining: Rc<Cell<bool>>,
    port: u16,
    began: Instant,
}

impl TrafficCore {
    fn assemble(shared: Arc<Shared>, tally: Arc<CoreTally>, port: u16) -> Rc<Self> {
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
            engine: Engine::new(Rc::clone(&gateway), shared.streams_max, Rc::clone(&draining)),
            connections: Rc::new(Connections::new(shared.patience, Arc::clone(&tally))),
            gateway,
            upstreams,
            draining,
            port,
            began: Instant::now(),
            shared,
        })
    }

    /// Accepts until the node closes.
    async fn accept(&self, listener: &TcpListener, lifecycle: &mut watch::Receiver<Lifecycle>) {
        loop {
            // Both branches are cancel-safe: an accept that is dropped leaves the connection in its queue.
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => self.take(socket, peer),
                    Err(error) => {
                        self.gateway.tally().hit(Bound::Descriptors);
                        debug!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                changed = lifecycle.changed() => {
                    // A node that is gone is a node that closes.
                    let now = changed.map_or(Lifecycle::Closing, |()| *lifecycle.borrow_and_update());
                    if now >= Lifecycle::Draining {
                        self.draining.set(true);
                        self.connections.tell(Order::Finish, |watch| watch.is_multiplexed());
                    }
                    if now == Lifecycle::Closing {
                        return;
                    }
                }
            }
        }
    }

    /// Takes what has already connected and would otherwise be reset.
    fn take_waiting(&self, listener: &TcpListener) {
        while let Some(Ok((socket, peer))) = listener.accept().now_or_never() {
            self.take(socket, peer);
        }
    }

    /// Serves a connection, or closes it where a bound says so.
    fn take(&self, socket: TcpStream, peer: SocketAddr) {
        let tally = self.gateway.tally();
        let address = peer.ip().to_canonical();
        let exempt = self.shared.gateway.trusted_proxies.trusts(address);
        if !exempt && !self.shared.address_rate.admits(address) {
            tally.refused.add(1);
            tally.hit(Bound::ConnectionRate);
            tally.throttled(ThrottledBy::Connection);
            return;
        }
        if self.connections.count() >= self.shared.connections_max {
            tally.refused.add(1);
            tally.hit(Bound::Connections);
            return;
        }
        tally.accepted.add(1);
        let (watch, open) = self.connections.open();
        let served = self.engine.clone().serve(socket, Connection::plaintext(peer, self.port), watch);
        let gateway = Rc::clone(&self.gateway);
        // Counted by `connections`, which `finish` waits for.
        tokio::task::spawn_local(async move {
            served.await;
            gateway.tally().closed.add(1);
            drop(open);
        });
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
