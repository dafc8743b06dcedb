//! Raft on one control node: what the rest of the control plane holds.
//!
//! Promise: Raft runs on threads of its own, so that a heartbeat waits for nothing else this process does; dropping
//! the last handle stops it at once, as a crash would. Absent: what commands mean, and who may propose them.

mod addresses;
mod clock;
mod leadership;
mod members;
mod positions;
mod propose;
mod quorum;
mod read;
mod removal;
mod runtime;
mod upkeep;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::{BasicNode, Config, async_runtime::WatchReceiver};
use sluice_identity::{Channel, Dialer};
use sluice_proto::raft::{Command, FoundCluster, command, outcome};
use sluice_rpc::raft::raft_server::RaftServer;
use sluice_state::View;
use sluice_telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use self::runtime::OwnRuntime;
pub use self::{
    clock::Astray, leadership::Leadership, members::MemberStatus, positions::LogPositions, propose::Proposed,
};
use crate::{
    HistoryWindow, RaftFailure, RaftSettings, RewindFailure, RewindTo, Shortage, StoreSnapshot,
    disk::Ballast,
    log::{FlushThread, LogStore},
    machine::Machine,
    mark::Mark,
    meters::{LogMeters, Meters},
    network::{Clients, Lane, MESSAGE_BYTES, Network, Records, free_bytes},
    service::RaftService,
    states::States,
    store::folders::Folders,
    types::TypeConfig,
};

pub(crate) type Core = openraft::Raft<TypeConfig, Machine>;

/// For the election and the first entry of a new cluster, on a slow disk.
const FOUND_TIMEOUT: Duration = Duration::from_secs(30);

/// Raft on this node. Clones share it.
#[derive(Clone)]
pub struct Raft {
    inner: Arc<Inner>,
}

struct Inner {
    settings: RaftSettings,
    core: Core,
    log: LogStore,
    states: Arc<States>,
    network: Arc<Network>,
    leadership: watch::Receiver<Leadership>,
    /// Who has so little free disk that changes are refused, as of the last look.
    shortage: watch::Sender<Option<Shortage>>,
    meters: Meters,
    /// Held while members change: one change at a time.
    changing: tokio::sync::Mutex<()>,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: OwnRuntime,
    flush: FlushThread,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Raft {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Raft").field("raft_id", &self.raft_id()).finish_non_exhaustive()
    }
}

impl Raft {
    /// Opens log and state under the settings' folder, or makes them, and starts Raft on threads of its own. What it counts
    /// goes to `metrics`.
    ///
    /// # Errors
    /// `WrongNode`, `WrongCluster`, `WrongFormat` and `OtherMember` for a folder that is not this node's; `LostLog` for one
    /// whose log is gone; `Storage` for one that cannot be used; `Settings` when times contradict each other.
    pub async fn open(settings: RaftSettings, dialer: Dialer, metrics: &Metrics) -> Result<Self, RaftFailure> {
        let config = Arc::new(settings.config()?);
        let runtime = OwnRuntime::start().map_err(|error| RaftFailure::Settings { problem: error.to_string() })?;
        let handle = runtime.handle();
        let patience = settings.election_min;
        let records = Records::new(settings.data_dir.clone(), settings.clock_skew_ms);
        let (raft_id, cluster_id) = (settings.raft_id, settings.cluster_id.clone());
        let network = Arc::new(Network::new(raft_id, cluster_id, patience, records, dialer, handle.clone()));
        let (told, leadership) = watch::channel(Leadership::default());
        let meters = Meters::register(metrics);
        let (core, log, states, flush) = {
            let (settings, clients) = (settings.clone(), Clients(network.clone()));
            let started = handle.spawn(start(settings, config, clients, meters.log.clone()));
            started.await.map_err(|error| RaftFailure::Stopped { problem: error.to_string() })??
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (changing, shortage) = (tokio::sync::Mutex::default(), watch::Sender::new(None));
        let inner = Inner {
            settings,
            core,
            log,
            states,
            network,
            leadership,
            shortage,
            meters,
            changing,
            stop,
            tasks,
            runtime,
            flush,
        };
        let raft = Self { inner: Arc::new(inner) };
        raft.start_tasks(told);
        raft.lead_alone().await;
        Ok(raft)
    }

    fn start_tasks(&self, told: watch::Sender<Leadership>) {
        let Inner { core, stop, tasks, .. } = &*self.inner;
        let handle = self.inner.runtime.handle();
        let following = leadership::follow(core.clone(), told, self.inner.meters.elections.clone());
        tasks.spawn_on(stop.clone().run_until_cancelled_owned(following), &handle);
        let addresses = addresses::follow(core.clone(), self.inner.network.clone());
        tasks.spawn_on(stop.clone().run_until_cancelled_owned(addresses), &handle);
        // Weak: the task does not keep Raft alive.
        let weak = Arc::downgrade(&self.inner);
        tasks.spawn_on(stop.clone().run_until_cancelled_owned(members::tend_learners(weak)), &handle);
        let weak = Arc::downgrade(&self.inner);
        tasks.spawn_on(stop.clone().run_until_cancelled_owned(clock::keep_time(weak)), &handle);
        let upkeep = upkeep::Upkeep::new(&self.inner);
        tasks.spawn_on(stop.clone().run_until_cancelled_owned(upkeep.run()), &handle);
    }

    /// The only voter need not wait for a leader that cannot be.
    async fn lead_alone(&self) {
        let voters: Vec<u64> = self.inner.core.voter_ids().collect();
        if voters == [self.raft_id()] {
            // A core that has stopped says so at the first proposal.
            let _ = self.inner.core.trigger().elect(false).await;
        }
    }

    /// Whether this node has never been part of a cluster: no log, no vote.
    pub fn is_pristine(&self) -> bool {
        self.inner.log.is_pristine()
    }

    /// Makes this node a cluster of one, and applies the cluster's first command. May be called again when an earlier
    /// call did not come to its end.
    ///
    /// # Errors
    /// `NotPristine` when there is a cluster already, `NotFounded` when the command was refused or the disk too slow.
    pub async fn initialize(&self, first: FoundCluster) -> Result<(), RaftFailure> {
        let Inner { core, settings, .. } = &*self.inner;
        let stopped = |error: &dyn std::fmt::Display| RaftFailure::Stopped { problem: error.to_string() };
        if core.is_initialized().await.map_err(|error| stopped(&error))? {
            if self.view().cluster().is_some() {
                return Err(RaftFailure::NotPristine);
            }
        } else {
            let node = BasicNode::new(settings.advertise.clone());
            let members = BTreeMap::from([(settings.raft_id, node)]);
            let problem = |error: &dyn std::fmt::Display| RaftFailure::NotFounded { problem: error.to_string() };
            core.initialize(members).await.map_err(|error| problem(&error))?;
        }
        let command = Command { kind: Some(command::Kind::FoundCluster(first)) };
        let proposed = self.propose(command, Instant::now() + FOUND_TIMEOUT).await;
        match proposed.map(|proposed| proposed.outcome.kind) {
            Ok(Some(outcome::Kind::Rejected(refused))) => Err(RaftFailure::NotFounded { problem: refused.message }),
            Ok(Some(outcome::Kind::Done(_)) | None) => {
                info!(raft_id = settings.raft_id, "cluster founded");
                Ok(())
            }
            Err(failure) => Err(RaftFailure::NotFounded { problem: failure.to_string() }),
        }
    }

    /// The state as it is on this node now. Cheap; it keeps what it shows for as long as it is held.
    pub fn view(&self) -> View<StoreSnapshot> {
        self.inner.states.view()
    }

    /// From when to when this node can make earlier states again. Blocks on the disk.
    ///
    /// # Errors
    /// `Storage` when it cannot be said.
    pub fn history(&self) -> Result<HistoryWindow, RewindFailure> {
        self.inner.states.window()
    }

    /// The state that `to` means, made again beside the one in use. Blocks for as long as it takes to apply the log.
    ///
    /// # Errors
    /// `OutOfWindow` for one that this node cannot make again; `Storage`.
    pub fn rewind(&self, to: RewindTo) -> Result<View<StoreSnapshot>, RewindFailure> {
        self.inner.states.rewind(to)
    }

    /// The number that data nodes see, after each batch that changed it on this node.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.inner.states.numbers()
    }

    /// Who leads, as this node knows it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Who has so little free disk that changes are refused, as this node has seen it within a second; only the leader knows of
    /// others.
    pub fn disk_shortage(&self) -> Option<Shortage> {
        self.inner.shortage.borrow().clone()
    }

    /// Raft's number of this node.
    pub fn raft_id(&self) -> u64 {
        self.inner.settings.raft_id
    }

    /// The address at which this node said peers reach it.
    pub fn advertise(&self) -> &str {
        &self.inner.settings.advertise
    }

    /// The `Raft` service for the peer port. Serve it on [`Raft::runtime`].
    pub fn peer_service(&self) -> RaftServer<RaftService> {
        let Inner { core, network, states, .. } = &*self.inner;
        RaftServer::new(RaftService::new(core.clone(), network.clone(), states.clone()))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// The runtime of Raft, for the listener of the peer port: a heartbeat must be answered however busy the node is.
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.inner.runtime.handle()
    }

    /// A connection to a member for calls that are not Raft's; none for a node that is no member, or that cannot be
    /// connected to as settings stand.
    pub async fn peer_channel(&self, raft_id: u64) -> Option<Channel> {
        let address = self.address_of(raft_id)?;
        self.inner.network.channel(&address, Lane::Other).ok()
    }

    fn address_of(&self, raft_id: u64) -> Option<String> {
        let metrics = self.inner.core.metrics();
        let members = metrics.borrow_watched().membership_config.clone();
        members.get_node(&raft_id).map(|node| node.addr.clone())
    }

    /// Returns when Raft has stopped: by [`Raft::shutdown`], or because it could not go on. Cancel-safe.
    pub async fn stopped(&self) {
        let mut leadership = self.leadership();
        // Who tells of it ends with the core.
        while leadership.changed().await.is_ok() {}
    }

    /// Whether another control node has refused this one because it was removed from the cluster.
    pub fn told_removed(&self) -> watch::Receiver<bool> {
        self.inner.network.told_removed.subscribe()
    }

    /// Stops Raft: proposals under way are given up, what was acknowledged is on disk. The folder is free for another
    /// process when every clone, view and service has been dropped too.
    pub async fn shutdown(&self) {
        let Inner { core, stop, tasks, runtime, flush, .. } = &*self.inner;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        // An error is a core that has panicked: stopped as well.
        let _ = core.shutdown().await;
        runtime.stop().await;
        flush.stop().await;
        info!(raft_id = self.raft_id(), "raft stopped");
    }
}

type Started = (Core, LogStore, Arc<States>, FlushThread);

/// Opens the disk and starts the core. Runs on Raft's runtime, where the core then lives.
async fn start(
    settings: RaftSettings,
    config: Arc<Config>,
    clients: Clients,
    meters: LogMeters,
) -> Result<Started, RaftFailure> {
    let raft_id = settings.raft_id;
    let opening = tokio::task::spawn_blocking(move || {
        // On a full disk the databases could not be opened.
        Ballast::new(&settings.data_dir, settings.disk_reserve_bytes).adjust(free_bytes(&settings.data_dir));
        let folders = Folders::open(&settings.data_dir, settings.fail_points.clone())?;
        let mark = Mark::new(&settings.data_dir, settings.raft_id, &settings.cluster_id);
        let RaftSettings { snapshot_log_bytes, history_log_bytes, fail_points, .. } = settings;
        let (log, flush) = LogStore::open(&folders.log(), mark, snapshot_log_bytes, meters, fail_points)?;
        let states = Arc::new(States::open(folders, log.growth(), log.kept(), history_log_bytes)?);
        // A follower applies what a majority has, on a slow disk before its own log has synced it. Killed then, its state is
        // ahead of its log: openraft drops the log through what is applied, and who lacks that can be sent it only by a
        // checkpoint as new.
        if *states.applied().borrow() > log.last_index() {
            states.take_checkpoint().map_err(|error| states.folders().failure(&error))?;
        }
        Ok::<_, RaftFailure>((log, flush, states))
    });
    let stopped = |problem: String| RaftFailure::Stopped { problem };
    let (log, flush, states) = opening.await.map_err(|error| stopped(error.to_string()))??;
    let machine = Machine::new(states.clone())?;
    let core =
        Core::new(raft_id, config, clients, log.clone(), machine).await.map_err(|error| stopped(error.to_string()))?;
    Ok((core, log, states, flush))
}
