//! One data node: the product's own follower, on a folder of its own and a simulated stream.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use sluice_follow::{FollowSettings, Follower, SnapshotCell, Threads};
use sluice_identity::Revoked;
use sluice_proto::{
    model::Revision,
    sync::{FromData, from_data::Kind},
};
use sluice_telemetry::Metrics;
use tokio::{sync::watch, time::Instant};

use crate::{
    circumstances::Sabotage,
    event::{Event, Truth},
    life::{Crash, Life},
    network::{End, Party},
    wire::SimWire,
    world::World,
};

/// Files of the last-good copy that a crash may tear.
const TORN: [&str; 2] = ["last-good.delta", "last-good.base.new"];

/// A data node, running or not.
pub(crate) struct DataNode {
    world: World,
    number: u64,
    home: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lives: u32,
    running: Option<Running>,
    /// Numbers that it has ever served, in any life: what it has said of itself was true then.
    served: BTreeSet<u64>,
}

struct Running {
    life: Life,
    follower: Option<Follower>,
    cell: SnapshotCell,
    /// The control node that it follows, since when, and that node's life.
    follows: Option<(String, Instant, Option<Life>)>,
}

impl DataNode {
    pub(crate) fn new(world: World, number: u64, home: PathBuf) -> Self {
        Self { world, number, home, state: Mutex::default() }
    }

    pub(crate) fn node_id(&self) -> String {
        format!("d{}", self.number)
    }

    pub(crate) fn party(&self) -> Party {
        Party::Data(self.number)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state().running.is_some()
    }

    /// Starts it on what its folder holds.
    pub(crate) fn start(self: &Arc<Self>) -> anyhow::Result<()> {
        let life = {
            let mut state = self.state();
            state.lives += 1;
            Life::new(state.lives)
        };
        let circumstances = self.world.circumstances();
        let nodes = 1..=circumstances.voters + circumstances.late;
        let settings = FollowSettings {
            data_dir: self.folder(life.number()),
            control: nodes.map(|node| format!("c{node}")).collect(),
            cluster_id: self.world.cluster_id().to_owned(),
            node_id: self.node_id(),
            address: self.node_id(),
            version: "simulated".to_owned(),
            fail_compile: None,
        };
        let end = End::new(self.party(), life.clone());
        let wire = SimWire { world: self.world.clone(), this: end, node: self.clone(), revoked: Revoked::default() };
        let followed = watch::Sender::new(None);
        let follower = Follower::start_over(settings, wire, followed, &Metrics::new(), Threads::Shared);
        let follower = follower.context("follower")?;
        let cell = follower.cell();
        tokio::spawn(self.clone().look(follower.status(), life.clone()));
        let running = Running { life, follower: Some(follower), cell, follows: None };
        self.state().running = Some(running);
        self.serves();
        Ok(())
    }

    /// Notes what the follower says of itself, until its life ends.
    async fn look(self: Arc<Self>, mut status: watch::Receiver<sluice_follow::FollowStatus>, life: Life) {
        loop {
            let control = status.borrow_and_update().control.clone();
            {
                let mut state = self.state();
                if let Some(running) = state.running.as_mut().filter(|_| !life.has_ended()) {
                    let follows = running.follows.take().filter(|(known, ..)| Some(known) == control.as_ref());
                    running.follows = follows.or_else(|| control.map(|control| self.begun(control)));
                }
            }
            if !life.has_ended() {
                self.serves();
            }
            match life.run(status.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return,
            }
        }
    }

    /// It has begun to follow `control`.
    fn begun(&self, control: String) -> (String, Instant, Option<Life>) {
        let number = control.trim_start_matches('c').parse().unwrap_or_default();
        let life = self.world.control(number).map(|running| running.life.clone());
        (control, Instant::now(), life)
    }

    /// Notes what it serves now.
    fn serves(&self) {
        let mut state = self.state();
        let Some(running) = &state.running else { return };
        let Some(served) = running.cell.load() else { return };
        // A node that forgets believes that it was never restarted.
        let forgets = self.world.circumstances().sabotage == Sabotage::ForgetsWhatItServed;
        let life = if forgets { 1 } else { running.life.number() };
        let (generation, number) = (served.snapshot.revision.generation.to_string(), served.snapshot.revision.number);
        state.served.insert(number);
        drop(state);
        self.world.saw(&Event::Serves { node: self.node_id(), life, generation, number });
    }

    /// It says something to a control node.
    pub(crate) fn says(&self, message: &FromData) {
        self.serves();
        let said = |revision: &Option<Revision>, digest| {
            let number = revision.as_ref().map(|revision| revision.number);
            number.map(|number| Event::Says { node: self.node_id(), number, digest })
        };
        let event = match &message.kind {
            Some(Kind::Applied(applied)) => said(&applied.revision, None),
            Some(Kind::Beat(beat)) => said(&beat.revision, beat.digest[..].try_into().ok()),
            Some(Kind::Resync(resync)) => {
                Some(Event::Trouble(format!("{} asks for everything: {}", self.node_id(), resync.reason)))
            }
            Some(Kind::Hello(_) | Kind::Stands(_)) | None => None,
        };
        if let Some(event) = event {
            self.world.saw(&event);
        }
    }

    /// How it stands.
    pub(crate) fn truth(&self) -> Truth {
        let state = self.state();
        let running = state.running.as_ref();
        let follows = running.and_then(|running| running.follows.as_ref());
        Truth {
            node_id: self.node_id(),
            number: running.and_then(|running| running.cell.load()).map(|served| served.snapshot.revision.number),
            follows_for: follows.filter(|(.., life)| is_there(life.as_ref())).map(|(_, since, _)| since.elapsed()),
            served_max: state.served.last().copied(),
        }
    }

    /// Ends it where it stands, and tears what it was writing.
    pub(crate) fn crash(&self, crash: Crash) -> anyhow::Result<()> {
        let Some(mut running) = self.state().running.take() else { return Ok(()) };
        running.life.end(crash);
        if let Some(follower) = running.follower.take() {
            // Its tasks are in the way of nobody: they write to a folder that nobody reads any more.
            tokio::spawn(follower.stop());
        }
        let (left, next) = (self.folder(running.life.number()), self.folder(running.life.number() + 1));
        fs::create_dir_all(&next)?;
        for file in fs::read_dir(&left)? {
            let file = file?;
            fs::copy(file.path(), next.join(file.file_name()))?;
        }
        if crash == Crash::PowerCut {
            self.tear(&next)?;
        }
        if self.world.circumstances().sabotage == Sabotage::ForgetsWhatItServed {
            let _ = fs::remove_file(next.join("last-good.delta"));
        }
        Ok(())
    }

    /// Each life has a folder of its own, which begins with what the one before has left.
    fn folder(&self, life: u32) -> PathBuf {
        self.home.join(format!("life-{life}"))
    }

    /// Of what was not synced, a part is there, or something else is.
    fn tear(&self, folder: &Path) -> anyhow::Result<()> {
        for name in TORN {
            let path = folder.join(name);
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            let bytes = usize::try_from(file.metadata()?.len())?;
            let kept = self.world.dice().cut(bytes);
            file.set_len(kept as u64)?;
            if self.world.dice().chance(300) {
                // Blocks that were given to the file before their contents came.
                garbage(&path, self.world.dice().cut(100))?;
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_there(life: Option<&Life>) -> bool {
    life.is_some_and(|life| !life.has_ended())
}

fn garbage(path: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().append(true).open(path)?;
    file.write_all(&vec![0; bytes])
}
