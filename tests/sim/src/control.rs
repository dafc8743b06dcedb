//! One control node: its disks, which outlive it, and what runs on them.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use openraft::{BasicNode, Config, ServerState, SnapshotPolicy, async_runtime::WatchReceiver, vote::RaftLeaderId};
use sluice_raft::Leadership;
use sluice_state::MemoryTables;
use sluice_sync::{Fleet, SyncServer};
use sluice_telemetry::Metrics;
use tokio::sync::watch;

use crate::{
    clock,
    disk::Pace,
    event::Event,
    life::{Crash, Life},
    network::{End, Party},
    raft::{
        log::LogDisk,
        machine::{Machine, StateDisk, States},
        members::promote_learners,
        peers::Peers,
        types::Core,
    },
    source::SimSource,
    world::World,
};

/// Raft's times, as in production.
const HEARTBEAT: Duration = Duration::from_millis(100);
pub(crate) const ELECTION_MIN: Duration = Duration::from_millis(600);
pub(crate) const ELECTION_MAX: Duration = Duration::from_millis(1_200);

/// A control node, running or not.
pub(crate) struct Control {
    world: World,
    raft_id: u64,
    log: Arc<LogDisk>,
    state: Arc<StateDisk>,
    pace: Pace,
    /// How far its wall clock is off, in milliseconds.
    clock_off_ms: Arc<AtomicI64>,
    lives: Mutex<u32>,
}

/// A control node that runs. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) member: Member,
    pub(crate) fleet: Fleet<SimSource>,
    pub(crate) sync: Arc<SyncServer<SimSource>>,
}

impl Deref for Running {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// What of it is Raft. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) raft_id: u64,
    pub(crate) life: Life,
    pub(crate) core: Core,
    pub(crate) states: States,
    pub(crate) leadership: watch::Receiver<Leadership>,
    clock_off_ms: Arc<AtomicI64>,
}

impl Member {
    pub(crate) fn end(&self) -> End {
        End::new(Party::Control(self.raft_id), self.life.clone())
    }

    /// Its wall clock, milliseconds since the epoch.
    pub(crate) fn wall_ms(&self) -> u64 {
        clock::wall_ms().saturating_add_signed(self.clock_off_ms.load(Ordering::Relaxed))
    }
}

impl Control {
    pub(crate) fn new(world: World, raft_id: u64) -> Self {
        let pace = Pace::new(world.clone());
        Self {
            world,
            raft_id,
            log: Arc::default(),
            state: Arc::default(),
            pace,
            clock_off_ms: Arc::default(),
            lives: Mutex::default(),
        }
    }

    pub(crate) fn raft_id(&self) -> u64 {
        self.raft_id
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// From now on its wall clock is off by so much.
    pub(crate) fn set_clock(&self, off_ms: i64) {
        self.clock_off_ms.store(off_ms, Ordering::Relaxed);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.world.control(self.raft_id).is_some()
    }

    /// All that it has applied, running or not.
    pub(crate) fn tables(&self) -> Arc<MemoryTables> {
        self.state.tables()
    }

    /// Starts it on what its disks hold.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let life = {
            let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
            *lives += 1;
            Life::new(*lives)
        };
        let (world, raft_id, pace) = (self.world.clone(), self.raft_id, self.pace.clone());
        let log = self.log.open(&life, pace.clone());
        self.state.settle(self.log.last());
        let states = States::open(self.state.clone(), &life);
        let machine = Machine::new(world.clone(), raft_id, life.clone(), pace, states.clone());
        let this = End::new(Party::Control(raft_id), life.clone());
        let peers = Peers { world: world.clone(), this, raft_id };
        let core = Core::new(raft_id, Arc::new(self.config()?), peers, log, machine).await?;
        let (told, leadership) = watch::channel(Leadership::default());
        tokio::spawn(follow(world.clone(), core.clone(), told, life.clone(), raft_id));
        tokio::spawn(promote_learners(core.clone(), life.clone()));
        let clock_off_ms = self.clock_off_ms.clone();
        let member = Member { raft_id, life, core, states, leadership, clock_off_ms };
        let fleet = Fleet::start(SimSource::new(world.clone(), member.clone()));
        let sync = Arc::new(SyncServer::new(fleet.clone(), world.keys().clone(), &Metrics::new()));
        world.started(raft_id, Running { member, fleet, sync });
        Ok(())
    }

    /// Makes it a cluster of these voters, once.
    pub(crate) async fn initialize(&self, voters: u64) -> anyhow::Result<()> {
        let members: BTreeMap<u64, BasicNode> = (1..=voters).map(|id| (id, node(id))).collect();
        let running = self.world.control(self.raft_id).ok_or_else(|| anyhow::anyhow!("it does not run"))?;
        Ok(running.core.initialize(members).await?)
    }

    /// Ends it where it stands.
    pub(crate) fn crash(&self, crash: Crash) {
        let Some(running) = self.world.stopped(self.raft_id) else { return };
        running.life.end(crash);
        let dice = self.world.dice();
        // What was not handed to the system yet is gone in either case.
        self.log.crash(|unsynced| dice.cut(unsynced));
        self.state.crash(|batches| if crash == Crash::PowerCut { dice.cut(batches) } else { batches });
        // Its tasks are in the way of nobody, and still have to end.
        tokio::spawn(async move {
            running.fleet.stop().await;
            running.core.shutdown().await
        });
    }

    fn config(&self) -> anyhow::Result<Config> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let circumstances = self.world.circumstances();
        let config = Config {
            cluster_name: "simulated".to_owned(),
            heartbeat_interval: ms(HEARTBEAT),
            election_timeout_min: ms(ELECTION_MIN),
            election_timeout_max: ms(ELECTION_MAX),
            install_snapshot_timeout: ms(Duration::from_secs(600)),
            max_payload_entries: 1024,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(circumstances.snapshot_every),
            max_in_snapshot_log_to_keep: circumstances.kept_log_entries,
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            backoff: "50ms 100ms 200ms ...500ms".to_owned(),
            ..Config::default()
        };
        Ok(config.validate()?)
    }
}

/// The address of a node; the network here goes by numbers.
pub(crate) fn node(raft_id: u64) -> BasicNode {
    BasicNode::new(format!("c{raft_id}"))
}

/// Tells who leads, until Raft stops.
async fn follow(world: World, core: Core, told: watch::Sender<Leadership>, life: Life, raft_id: u64) {
    let mut metrics = core.server_metrics();
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            let this = metrics.state == ServerState::Leader;
            Leadership { term: metrics.vote.leader_id.term(), leader: metrics.current_leader, this }
        };
        let changed = told.send_if_modified(|before| std::mem::replace(before, now) != now);
        if changed && now.this && !life.has_ended() {
            world.saw(&Event::Leads { node: raft_id, term: now.term });
        }
        if metrics.changed().await.is_err() {
            if !life.has_ended() {
                world.saw(&Event::NotHealed(format!("the raft of c{raft_id} has stopped by itself")));
            }
            return;
        }
    }
}
