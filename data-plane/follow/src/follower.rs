//! Following from start to stop: the last-good copy first, then one control node after the other.
//!
//! Promise: a node without a control node keeps trying, no faster than is polite, and never all nodes at one instant; a
//! control node that is behind is left for the next at once; a node that was removed tries no more. Absent: what is said on a stream (`session`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, seq::SliceRandom};
use sluice_identity::{Dialer, Renewal};
use sluice_model::Revision;
use sluice_telemetry::Metrics;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    cell::SnapshotCell,
    certificate::ByControl,
    compiler::{Beginning, Compiler, Gauges, Held, Work},
    failure::FollowFailure,
    last_good::LastGood,
    meters::Meters,
    order::{Order, Standing},
    outage::Outage,
    session::{self, Ended, Own},
    settings::FollowSettings,
    threads::Threads,
    wire::Wire,
};

/// Work that waits for the compiling thread: chunks of a snapshot.
const WORK_MAX: usize = 8;
/// The first pause after a lost control node, and the longest one.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Control nodes that are remembered.
const CONTROL_MAX: usize = 32;

/// Keeps a node's configuration up to date.
#[derive(Debug)]
pub struct Follower {
    cell: SnapshotCell,
    status: watch::Receiver<FollowStatus>,
    orders: watch::Receiver<Order>,
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
    tasks: TaskTracker,
    compiling: Compiling,
}

/// What takes changes in.
#[derive(Debug)]
enum Compiling {
    Thread(std::thread::JoinHandle<()>),
    Task,
}

/// Where a follower stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowStatus {
    /// The control node it follows now.
    pub control: Option<String>,
    /// What it serves.
    pub revision: Option<Revision>,
    /// Whether the cluster has removed this node; it follows no one then.
    pub removed: bool,
}

impl Follower {
    /// Starts following, and keeps the node's certificate young where it has one. The last-good copy is served as soon as it
    /// is read; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `NoControlNode`, `File` or `Key` when the folder of the copy cannot be used.
    pub fn start(
        settings: FollowSettings,
        dialer: Dialer,
        renewal: Option<Renewal>,
        metrics: &Metrics,
    ) -> Result<Self, FollowFailure> {
        let followed = watch::Sender::new(None);
        let connection = followed.subscribe();
        let follower = Self::start_over(settings, dialer, followed, metrics, Threads::Own)?;
        if let Some(renewal) = renewal {
            let by = ByControl::new(&renewal, connection, metrics);
            follower.tasks.spawn(follower.stop.clone().run_until_cancelled_owned(renewal.run(by)));
        }
        Ok(follower)
    }

    /// The same without a certificate, over any `wire` and on any `threads`; `followed` is told the connection to the
    /// control node that is followed.
    ///
    /// # Errors
    /// As [`Follower::start`].
    pub fn start_over<W: Wire>(
        settings: FollowSettings,
        wire: W,
        followed: watch::Sender<Option<W::Connection>>,
        metrics: &Metrics,
        threads: Threads,
    ) -> Result<Self, FollowFailure> {
        let copy = LastGood::open(&settings.data_dir)?;
        // A copy knows control nodes too.
        if settings.control.is_empty() && !copy.exists() {
            return Err(FollowFailure::NoControlNode);
        }
        let cell = SnapshotCell::default();
        let (held, holds) = watch::channel(Held::default());
        let (work, queue) = mpsc::channel(WORK_MAX);
        let gauges = Gauges::register(metrics);
        let (cluster_id, poison) = (settings.cluster_id.clone(), settings.fail_compile.clone());
        let beginning = Beginning { cluster_id, poison, copy, cell: cell.clone(), held, gauges, threads };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let failure = FollowFailure::file("start the compiling thread of", &settings.data_dir);
        let compiling = match threads {
            Threads::Own => {
                let thread = std::thread::Builder::new().name("compile".to_owned());
                Compiling::Thread(thread.spawn(move || compile_thread(beginning, queue)).map_err(failure)?)
            }
            Threads::Shared => {
                tasks.spawn(Compiler::begin(beginning).map_err(failure)?.run(queue));
                Compiling::Task
            }
        };
        let (status, watched) = watch::channel(FollowStatus::default());
        let meters = Meters::register(metrics);
        let (order, orders) = watch::channel(Order::Serve);
        let (standing, stands) = watch::channel(Standing::Serving);
        let chase = Chase { settings, wire, work, holds, status: Arc::new(status), followed, order, stands, meters };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(chase.run()).await });
        Ok(Self { cell, status: watched, orders, standing, stop, tasks, compiling })
    }

    /// Returns the cell that traffic cores read.
    pub fn cell(&self) -> SnapshotCell {
        self.cell.clone()
    }

    /// Returns where it stands, now and later.
    pub fn status(&self) -> watch::Receiver<FollowStatus> {
        self.status.clone()
    }

    /// Returns what the cluster wants of this node, now and later.
    pub fn orders(&self) -> watch::Receiver<Order> {
        self.orders.clone()
    }

    /// Returns where the node says whether clients are welcome; control nodes hear of it.
    pub fn standing(&self) -> watch::Sender<Standing> {
        self.standing.clone()
    }

    /// Ends the stream, and waits until the last change is on disk. What is served stays in the cell.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let Compiling::Thread(thread) = self.compiling else { return };
        let joined = tokio::task::spawn_blocking(|| thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            error!("compiling thread panicked");
        }
    }
}

/// A runtime of one thread: what compiles waits for work and for nothing else.
fn compile_thread(beginning: Beginning, queue: mpsc::Receiver<Work>) {
    let run = || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let compiler = Compiler::begin(beginning)?;
        runtime.block_on(compiler.run(queue));
        Ok(())
    };
    if let Err(failure) = run() {
        error!(error = %failure, "compiling thread could not start: configuration is not followed");
    }
}

/// The way from one control node to the next.
struct Chase<W: Wire> {
    settings: FollowSettings,
    wire: W,
    work: mpsc::Sender<Work>,
    holds: watch::Receiver<Held>,
    status: Arc<watch::Sender<FollowStatus>>,
    /// The connection to the control node that is followed.
    followed: watch::Sender<Option<W::Connection>>,
    order: watch::Sender<Order>,
    stands: watch::Receiver<Standing>,
    meters: Meters,
}

impl<W: Wire> Chase<W> {
    async fn run(self) {
        let incarnation = format!("{:016x}", rand::rng().random::<u64>());
        let watching = self.watch_revisions();
        tokio::pin!(watching);
        let chasing = self.chase(&incarnation);
        tokio::pin!(chasing);
        // Neither branch is polled again after the other ended: both end only when the node stops.
        tokio::select! {
            () = &mut watching => {}
            () = &mut chasing => {}
        }
    }

    async fn chase(&self, incarnation: &str) {
        let mut pause = PAUSE_FIRST;
        let mut outage = Outage::default();
        loop {
            let mut asked = 0;
            let candidates = self.candidates();
            for address in &candidates {
                asked += 1;
                let (ended, welcomed) = self.follow(address, incarnation, &mut outage).await;
                if welcomed {
                    pause = PAUSE_FIRST;
                }
                match ended {
                    Ended::Stopped => return,
                    Ended::Removed => {
                        self.status.send_modify(|status| status.removed = true);
                        return self.work.closed().await;
                    }
                    Ended::Behind | Ended::Detached => {
                        info!(control = %address, why = ?ended, "next control node is tried")
                    }
                    Ended::Lost(reason) => {
                        self.meters.lost.increment(1);
                        if let Some(tries) = outage.lost(Instant::now()) {
                            warn!(control = %address, reason, tries, "control node lost");
                        }
                        if welcomed {
                            // All nodes lose a control node at the same instant; they come back spread over half a second.
                            tokio::time::sleep(jitter(Duration::from_millis(500))).await;
                            // The list may have grown, and the lost node should not be the next.
                            break;
                        }
                    }
                }
            }
            if asked == candidates.len() {
                tokio::time::sleep(jitter(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Follows one control node; says whether it was welcomed.
    async fn follow(&self, address: &str, incarnation: &str, outage: &mut Outage) -> (Ended, bool) {
        let connection = match self.wire.connection(address) {
            Ok(connection) => connection,
            Err(failure) => return (Ended::Lost(failure.to_string()), false),
        };
        let (mut welcomed, connected) = (false, connection.clone());
        let begun = || {
            welcomed = true;
            info!(control = %address, failed_tries = outage.over(), "control node followed");
            self.meters.connected.set(1.0);
            self.followed.send_replace(Some(connected));
            self.status.send_modify(|status| status.control = Some(address.to_owned()));
        };
        let Self { settings, work, order, meters, wire, .. } = self;
        let (held, standing) = (self.holds.clone(), self.stands.clone());
        let own = Own { settings, incarnation, revoked: wire.revoked() };
        let wires = session::Wires { own, work, held, order, standing, meters };
        let ended = session::follow((wire, connection), wires, begun).await;
        self.meters.connected.set(0.0);
        self.followed.send_replace(None);
        self.status.send_modify(|status| status.control = None);
        (ended, welcomed)
    }

    /// Control nodes in random order: those of the settings, and those that were learned.
    fn candidates(&self) -> Vec<String> {
        let mut all = self.settings.control.clone();
        for learned in self.holds.borrow().control_addresses.iter() {
            if !all.contains(learned) && all.len() < CONTROL_MAX {
                all.push(learned.clone());
            }
        }
        all.shuffle(&mut rand::rng());
        all
    }

    async fn watch_revisions(&self) {
        let mut holds = self.holds.clone();
        loop {
            let revision = holds.borrow_and_update().revision.clone();
            self.status.send_if_modified(|status| {
                let changed = status.revision != revision;
                status.revision = revision;
                changed
            });
            if holds.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Somewhere between half of `pause` and all of it.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}
