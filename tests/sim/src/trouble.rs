//! Trouble: what goes wrong, drawn from the dice.

use std::{sync::Arc, time::Duration};

use openraft::ServerState;
use tokio::time::{Instant, sleep};

use crate::{
    control::{Control, node},
    data::DataNode,
    event::Event,
    life::Crash,
    network::Party,
    raft::members::metrics_of,
    world::World,
};

/// One kind of trouble.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Crash,
    CrashAll,
    Isolate,
    Split,
    OneWay,
    SlowDisk,
    ClockJump,
    Snapshot,
    Transfer,
    Join,
    CrashData,
    CutData,
}

/// Drawn with these weights: what is named twice happens twice as often.
const KINDS: [Kind; 22] = [
    Kind::Crash,
    Kind::Crash,
    Kind::Crash,
    Kind::CrashAll,
    Kind::Isolate,
    Kind::Isolate,
    Kind::Split,
    Kind::OneWay,
    Kind::OneWay,
    Kind::SlowDisk,
    Kind::ClockJump,
    Kind::Snapshot,
    Kind::Transfer,
    Kind::Transfer,
    Kind::Join,
    Kind::Join,
    Kind::CrashData,
    Kind::CrashData,
    Kind::CrashData,
    Kind::CutData,
    Kind::CutData,
    Kind::CutData,
];

/// How long trouble lasts.
const LASTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(6);
/// How far a wall clock jumps at most, either way: less than request ids are remembered for.
const JUMP_MAX_MS: u64 = 120_000;

/// Who makes it.
pub(crate) struct Trouble {
    world: World,
    controls: Vec<Arc<Control>>,
}

impl Trouble {
    pub(crate) fn new(world: World, controls: Vec<Arc<Control>>) -> Self {
        Self { world, controls }
    }

    /// Makes trouble until `until`.
    pub(crate) async fn run(&self, until: Instant) {
        loop {
            sleep(self.world.dice().time(&self.world.circumstances().calm)).await;
            if Instant::now() >= until {
                return;
            }
            if let Some(kind) = self.world.dice().one(&KINDS) {
                self.make(*kind).await;
            }
        }
    }

    async fn make(&self, kind: Kind) {
        let Some(control) = self.world.dice().one(&self.controls).cloned() else { return };
        match kind {
            Kind::Crash => self.crash(&control),
            Kind::CrashAll => self.controls.iter().for_each(|control| self.crash(control)),
            Kind::Isolate => self.isolate(&control),
            Kind::Split => self.split(),
            Kind::OneWay => self.one_way(&control),
            Kind::SlowDisk => {
                self.saw(format!("the disk of c{} is slow", control.raft_id()));
                control.pace().slow_for(self.world.dice().time(&LASTS));
            }
            Kind::ClockJump => self.clock_jump(&control),
            Kind::Snapshot => {
                if let Some(running) = self.world.control(control.raft_id()) {
                    self.saw(format!("c{} takes a snapshot", control.raft_id()));
                    // A core that has stopped takes none.
                    let _ = running.core.trigger().snapshot().await;
                }
            }
            Kind::Transfer => self.transfer(&control).await,
            Kind::Join => self.join(),
            Kind::CrashData => self.crash_data(),
            Kind::CutData => self.cut_data(),
        }
    }

    fn saw(&self, what: String) {
        self.world.saw(&Event::Trouble(what));
    }

    fn crash(&self, control: &Arc<Control>) {
        if !control.is_running() {
            return;
        }
        let crash = if self.world.dice().chance(500) { Crash::PowerCut } else { Crash::Killed };
        self.saw(format!("c{} is gone: {crash:?}", control.raft_id()));
        control.crash(crash);
        let (world, control) = (self.world.clone(), control.clone());
        let after = world.dice().time(&LASTS);
        tokio::spawn(async move {
            sleep(after).await;
            start(&world, &control).await;
        });
    }

    fn isolate(&self, control: &Control) {
        self.saw(format!("c{} is cut off", control.raft_id()));
        for other in self.others(control) {
            self.cut(Party::Control(control.raft_id()), other);
            self.cut(other, Party::Control(control.raft_id()));
        }
        self.mend_later();
    }

    fn split(&self) {
        let (here, there): (Vec<_>, Vec<_>) =
            self.controls.iter().map(|control| control.raft_id()).partition(|_| self.world.dice().chance(500));
        self.saw(format!("{here:?} and {there:?} are cut off from each other"));
        for one in &here {
            for other in &there {
                self.cut(Party::Control(*one), Party::Control(*other));
                self.cut(Party::Control(*other), Party::Control(*one));
            }
        }
        self.mend_later();
    }

    /// Who is heard does not hear, or the other way round.
    fn one_way(&self, control: &Control) {
        let is_deaf = self.world.dice().chance(500);
        self.saw(format!("c{} {}", control.raft_id(), if is_deaf { "hears nothing" } else { "is not heard" }));
        for other in self.others(control) {
            let this = Party::Control(control.raft_id());
            if is_deaf { self.cut(other, this) } else { self.cut(this, other) }
        }
        self.mend_later();
    }

    fn others(&self, control: &Control) -> Vec<Party> {
        let others = self.controls.iter().map(|other| other.raft_id()).filter(|id| *id != control.raft_id());
        others.map(Party::Control).collect()
    }

    fn cut(&self, from: Party, to: Party) {
        self.world.network().cut(from, to);
    }

    fn crash_data(&self) {
        let nodes = self.world.data_nodes();
        let Some(node) = self.world.dice().one(&nodes).filter(|node| node.is_running()).cloned() else { return };
        let crash = if self.world.dice().chance(500) { Crash::PowerCut } else { Crash::Killed };
        self.saw(format!("{} is gone: {crash:?}", node.node_id()));
        if let Err(error) = node.crash(crash) {
            self.world.saw(&Event::NotHealed(format!("{} has no folder to start on: {error:#}", node.node_id())));
        }
        let (world, after) = (self.world.clone(), self.world.dice().time(&LASTS));
        tokio::spawn(async move {
            sleep(after).await;
            start_data(&world, &node);
        });
    }

    /// A data node and some control nodes do not reach each other, or one way does not.
    fn cut_data(&self) {
        let nodes = self.world.data_nodes();
        let dice = self.world.dice();
        let Some(node) = dice.one(&nodes) else { return };
        let cut: Vec<u64> =
            self.controls.iter().map(|control| control.raft_id()).filter(|_| dice.chance(600)).collect();
        let (to, from) = *dice.one(&[(true, true), (true, false), (false, true)]).unwrap_or(&(true, true));
        let ways = match (to, from) {
            (true, true) => "does not reach, nor hear,",
            (true, false) => "does not reach",
            _ => "does not hear",
        };
        self.saw(format!("{} {ways} control nodes {cut:?}", node.node_id()));
        for control in cut.into_iter().map(Party::Control) {
            if to {
                self.cut(node.party(), control);
            }
            if from {
                self.cut(control, node.party());
            }
        }
        self.mend_later();
    }

    /// Mends the whole network after a while, whatever else was cut.
    fn mend_later(&self) {
        let (world, after) = (self.world.clone(), self.world.dice().time(&LASTS));
        tokio::spawn(async move {
            sleep(after).await;
            world.saw(&Event::Trouble("the network is mended".to_owned()));
            world.network().mend();
        });
    }

    fn clock_jump(&self, control: &Control) {
        let dice = self.world.dice();
        let by = i64::try_from(dice.number(0..=2 * JUMP_MAX_MS)).unwrap_or_default();
        let by = by - i64::try_from(JUMP_MAX_MS).unwrap_or_default();
        self.saw(format!("the wall clock of c{} is off by {by} ms", control.raft_id()));
        control.set_clock(by);
    }

    async fn transfer(&self, to: &Control) {
        let leads = self.world.running().into_iter().find(|running| running.leadership.borrow().this);
        let Some(leader) = leads else { return };
        let is_voter = metrics_of(&leader.core).membership_config.voter_ids().any(|id| id == to.raft_id());
        if is_voter && leader.raft_id != to.raft_id() {
            self.saw(format!("c{} is to hand over to c{}", leader.raft_id, to.raft_id()));
            // A core that has stopped leads no more.
            let _ = leader.core.trigger().transfer_leader(to.raft_id()).await;
        }
    }

    /// A node that is not a member yet becomes a learner.
    fn join(&self) {
        join_late(&self.world, &self.controls);
    }
}

/// Starts a node that is not running. A disk that cannot be started on is a defect.
pub(crate) async fn start(world: &World, control: &Control) {
    if control.is_running() {
        return;
    }
    world.saw(&Event::Trouble(format!("c{} starts", control.raft_id())));
    if let Err(error) = control.start().await {
        world.saw(&Event::NotHealed(format!("c{} does not start: {error:#}", control.raft_id())));
    }
}

/// Starts a data node that is not running.
pub(crate) fn start_data(world: &World, node: &Arc<DataNode>) {
    if node.is_running() {
        return;
    }
    world.saw(&Event::Trouble(format!("{} starts", node.node_id())));
    if let Err(error) = node.start() {
        world.saw(&Event::NotHealed(format!("{} does not start: {error:#}", node.node_id())));
    }
}

/// Asks the leader, if there is one, to add the first node that is not a member yet.
pub(crate) fn join_late(world: &World, controls: &[Arc<Control>]) {
    let leads = world.running().into_iter().find(|running| running.leadership.borrow().this);
    let Some(leader) = leads else { return };
    let metrics = metrics_of(&leader.core);
    let is_member = |id: u64| metrics.membership_config.nodes().any(|(member, _)| *member == id);
    let late = controls.iter().map(|control| control.raft_id()).find(|id| !is_member(*id));
    if let Some(late) = late.filter(|_| metrics.state == ServerState::Leader) {
        world.saw(&Event::Trouble(format!("c{late} joins")));
        tokio::spawn(async move { leader.core.add_learner(late, node(late), false).await });
    }
}
