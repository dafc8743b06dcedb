//! The state of one node: applied by the product's own `apply`, kept on a disk that forgets in a power cut what came after
//! the last checkpoint, or some of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot},
};
use prost::Message;
use sluice_proto::raft::{Command, command};
use sluice_state::{Draft, MemoryTables, View, Writes, apply};
use tokio::{sync::watch, time::sleep};

use super::types::{Entry, Leader, LogId, Reply, SnapshotMeta, StoredMembership, TypeConfig};
use crate::{circumstances::Sabotage, disk::Pace, event::Event, fingerprint, life::Life, world::World};

/// Entries applied as one batch, at most: any number that the dice say.
const BATCH_ENTRIES: u64 = 8;

/// A whole state.
#[derive(Debug, Default, Clone)]
pub(crate) struct Image {
    pub(crate) tables: Arc<MemoryTables>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// The disk under the state. It outlives its node.
#[derive(Debug, Default)]
pub(crate) struct StateDisk(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Who may use it; 0: nobody.
    life: u32,
    /// Synced.
    checkpoint: Option<Image>,
    /// What was written since the checkpoint, in order.
    since: Vec<(Writes, LogId, Option<StoredMembership>)>,
    current: Image,
    /// How often another state was put in place of the current one.
    installed: u64,
}

impl StateDisk {
    /// The process or the power fails: of what was written since the checkpoint, `kept` batches are there, from the front.
    pub(crate) fn crash(&self, kept: impl FnOnce(usize) -> usize) {
        let mut this = self.kept();
        // Whoever asks after this is dead.
        this.life = 0;
        let kept = kept(this.since.len());
        this.since.truncate(kept);
        let mut image = this.checkpoint.clone().unwrap_or_default();
        for (writes, applied, membership) in &this.since {
            Arc::make_mut(&mut image.tables).write(writes.clone());
            image.applied = Some(*applied);
            image.membership = membership.clone().unwrap_or(image.membership);
        }
        this.current = image;
    }

    /// Takes a checkpoint of a state that is ahead of a log which ends with `last`, as `sluice-raft` does at a start.
    pub(crate) fn settle(&self, last: Option<LogId>) {
        let mut kept = self.kept();
        if kept.current.applied > last {
            kept.checkpoint = Some(kept.current.clone());
            kept.since.clear();
        }
    }

    /// All that is applied.
    pub(crate) fn tables(&self) -> Arc<MemoryTables> {
        self.kept().current.tables.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What readers of a state see. Clones share it.
#[derive(Clone)]
pub(crate) struct States {
    pub(crate) disk: Arc<StateDisk>,
    pub(crate) numbers: watch::Sender<u64>,
    pub(crate) applied: watch::Sender<Option<u64>>,
}

impl States {
    pub(crate) fn open(disk: Arc<StateDisk>, life: &Life) -> Self {
        let mut kept = disk.kept();
        kept.life = life.number();
        let number = View(&*kept.current.tables).number();
        let applied = kept.current.applied.map(|id| id.index);
        drop(kept);
        Self { disk, numbers: watch::Sender::new(number), applied: watch::Sender::new(applied) }
    }

    pub(crate) fn view(&self) -> View<Arc<MemoryTables>> {
        View(self.disk.tables())
    }

    fn advanced(&self, index: u64, number: u64) {
        self.numbers.send_if_modified(|current| std::mem::replace(current, number) != number);
        self.applied.send_replace(Some(index));
    }
}

type Responder = Option<ApplyResponder<TypeConfig>>;

/// Applies committed entries.
pub(crate) struct Machine {
    world: World,
    node: u64,
    life: Life,
    pace: Pace,
    states: States,
    number: u64,
}

impl Machine {
    pub(crate) fn new(world: World, node: u64, life: Life, pace: Pace, states: States) -> Self {
        let number = *states.numbers.borrow();
        Self { world, node, life, pace, states, number }
    }

    fn kept(&self) -> io::Result<MutexGuard<'_, Kept>> {
        let kept = self.states.disk.kept();
        if kept.life == self.life.number() { Ok(kept) } else { Err(io::Error::other("the process that asks is dead")) }
    }

    /// Applies a batch, then answers.
    fn apply_batch(&mut self, batch: &mut Vec<(Entry, Responder)>) -> io::Result<()> {
        let Some((last, _)) = batch.last() else { return Ok(()) };
        let last = last.log_id;
        let tables = self.kept()?.current.tables.clone();
        let mut draft = Draft::new(&*tables);
        let mut membership = None;
        let mut answers = Vec::with_capacity(batch.len());
        for (entry, responder) in batch.drain(..) {
            let reply = match &entry.payload {
                EntryPayload::Normal(command) => self.apply_command(&mut draft, &entry, &command.0),
                EntryPayload::Blank | EntryPayload::Membership(_) => Reply::default(),
            };
            if let Some(new) = entry.get_membership() {
                membership = Some(StoredMembership::new(Some(entry.log_id), new));
            }
            answers.extend(responder.map(|responder| (responder, reply)));
        }
        let writes = draft.into_writes();
        drop(tables);
        let mut kept = self.kept()?;
        Arc::make_mut(&mut kept.current.tables).write(writes.clone());
        kept.current.applied = Some(last);
        if let Some(membership) = &membership {
            kept.current.membership = membership.clone();
        }
        kept.since.push((writes, last, membership));
        drop(kept);
        self.states.advanced(last.index, self.number);
        for (responder, reply) in answers {
            responder.send(reply);
        }
        Ok(())
    }

    fn apply_command(&mut self, draft: &mut Draft<'_, MemoryTables>, entry: &Entry, bytes: &Bytes) -> Reply {
        let index = entry.log_id.index;
        let mut command = Command::decode(bytes.clone()).unwrap_or_default();
        if self.world.circumstances().sabotage == Sabotage::AppliesDifferently
            && self.node == 2
            && index.is_multiple_of(7)
        {
            differently(&mut command);
        }
        let applied = apply(draft, index, &command);
        self.number = applied.changes.after;
        // The secrets of a new cluster are the only bytes that no seed decides.
        let is_seeded = !matches!(command.kind, Some(command::Kind::FoundCluster(_)));
        let said = if is_seeded { fingerprint::of(bytes) } else { 0 };
        let said = [entry.log_id.leader_id.term, said].map(u64::to_be_bytes).concat();
        self.world.saw(&Event::Applied {
            node: self.node,
            index,
            entry: fingerprint::of(&said),
            number: self.number,
            digest: View(&*draft).digest().to_bytes(),
        });
        Reply { outcome: applied.outcome }
    }
}

/// A change that is not the one that was agreed on.
fn differently(command: &mut Command) {
    if let Some(command::Kind::Change(change)) = &mut command.kind {
        change.rows.clear();
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Image;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let kept = self.kept()?;
        Ok((kept.current.applied, kept.current.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        let mut room = self.world.dice().number(1..=BATCH_ENTRIES);
        while let Some(item) = entries.next().await {
            batch.push(item?);
            room -= 1;
            if room == 0 {
                self.apply_batch(&mut batch)?;
                room = self.world.dice().number(1..=BATCH_ENTRIES);
            }
        }
        self.apply_batch(&mut batch)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { disk: self.states.disk.clone(), life: self.life.clone(), pace: self.pace.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, image: Image) -> io::Result<()> {
        sleep(self.pace.sync()).await;
        assert!(image.applied == meta.last_log_id, "an installed state is at the log id it was sent with");
        let number = View(&*image.tables).number();
        let mut kept = self.kept()?;
        kept.checkpoint = Some(image.clone());
        kept.since.clear();
        kept.installed += 1;
        kept.current = image;
        let applied = kept.current.applied;
        drop(kept);
        self.number = number;
        if let Some(last) = applied {
            self.states.advanced(last.index, number);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<Leader, u64, openraft::BasicNode, Image>>> {
        Ok(self.kept()?.checkpoint.clone().map(snapshot_of))
    }
}

/// Takes checkpoints.
pub(crate) struct Builder {
    disk: Arc<StateDisk>,
    life: Life,
    pace: Pace,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<Leader, u64, openraft::BasicNode, Image>> {
        let (image, batches, installed) = {
            let kept = self.disk.kept();
            (kept.current.clone(), kept.since.len(), kept.installed)
        };
        sleep(self.pace.sync()).await;
        let mut kept = self.disk.kept();
        if kept.life != self.life.number() {
            return Err(io::Error::other("the process that asks is dead"));
        }
        if kept.installed != installed {
            // Another state was put in place meanwhile, and is a checkpoint too.
            return Ok(snapshot_of(kept.checkpoint.clone().unwrap_or_default()));
        }
        kept.since.drain(..batches);
        kept.checkpoint = Some(image.clone());
        Ok(snapshot_of(image))
    }
}

fn snapshot_of(image: Image) -> Snapshot<Leader, u64, openraft::BasicNode, Image> {
    let meta = SnapshotMeta { last_log_id: image.applied, last_membership: image.membership.clone() };
    Snapshot { meta, snapshot: image }
}
