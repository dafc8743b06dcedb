//! The state machine that openraft drives.
//!
//! Promise: committed entries are applied in order, a batch at a time, and only then answered: who has an answer sees
//! its effect. Checkpoints are taken, and received states put in place, on blocking threads.
//! Absent: what commands do (`sluice_state::apply`).

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot},
};
use prost::Message;
use sluice_model::LEVEL;
use sluice_proto::raft::{Command, Outcome, command, outcome};
use sluice_state::{Draft, apply};

use crate::{
    fail::Point,
    failure::stop_raft,
    states::States,
    store::{Applied, StateStore, checkpoint::StateCheckpoint, image::ImageWriter},
    types::{CommandReply, Entry, LogId, SnapshotMeta, StoredMembership, TypeConfig},
};

/// Entries applied as one batch.
const BATCH_ENTRIES: usize = 128;
/// Bytes of commands applied as one batch, about.
const BATCH_BYTES: usize = 1 << 20;

/// A snapshot in openraft's hands.
#[derive(Clone)]
pub(crate) enum StateImage {
    /// A checkpoint of this node: to be sent.
    Checkpoint(Arc<StateCheckpoint>),
    /// A received state: to be put in place.
    Received(Arc<StateStore>),
}

type Responder = Option<ApplyResponder<TypeConfig>>;

/// Applies committed entries.
pub(crate) struct Machine {
    states: Arc<States>,
    applied: Applied,
    number: u64,
    /// A command of the batch may have made another generation.
    may_restore: bool,
}

impl Machine {
    pub(crate) fn new(states: Arc<States>) -> Result<Self, crate::RaftFailure> {
        let applied = states.store().applied()?;
        let number = *states.numbers().borrow();
        Ok(Self { states, applied, number, may_restore: false })
    }

    /// Applies a batch, then answers.
    fn apply_batch(&mut self, batch: &mut Vec<(Entry, Responder)>) -> io::Result<()> {
        let Some((last, _)) = batch.last() else { return Ok(()) };
        let last = last.log_id;
        let store = self.states.store();
        let mut draft = Draft::new(&*store);
        let mut membership = None;
        let mut answers = Vec::with_capacity(batch.len());
        for (entry, responder) in batch.drain(..) {
            let reply = match &entry.payload {
                EntryPayload::Normal(command) => self.apply_command(&mut draft, entry.log_id.index, &command.0)?,
                EntryPayload::Blank | EntryPayload::Membership(_) => self.reply(Outcome::default()),
            };
            if let Some(new) = entry.get_membership() {
                membership = Some(StoredMembership::new(Some(entry.log_id), new));
            }
            answers.extend(responder.map(|responder| (responder, reply)));
        }
        let writes = draft.into_writes();
        self.states.folders().hit(Point::ApplyBeforeWrite);
        store.write(writes, &last, membership.as_ref())?;
        self.states.folders().hit(Point::ApplyAfterWrite);
        self.applied.log_id = Some(last);
        if let Some(membership) = membership {
            self.applied.membership = membership;
        }
        if std::mem::take(&mut self.may_restore) {
            self.states.forget_generation();
        }
        self.states.advanced(last.index, self.number);
        for (responder, reply) in answers {
            responder.send(reply);
        }
        Ok(())
    }

    fn apply_command(
        &mut self,
        draft: &mut Draft<'_, StateStore>,
        index: u64,
        bytes: &Bytes,
    ) -> io::Result<CommandReply> {
        // Bytes that are no command are refused by every node in the same way. Decoded here, since bytes that are
        // owned are shared by what is decoded from them.
        let command = Command::decode(bytes.clone()).unwrap_or_default();
        self.may_restore |= matches!(command.kind, Some(command::Kind::Restore(_)));
        let applied = apply(draft, index, &command);
        if let Some(command::Kind::RaiseLevel(raise)) = &command.kind
            && raise.level > LEVEL
            && matches!(applied.outcome.kind, Some(outcome::Kind::Done(_)))
        {
            // What follows may hold commands that this release would refuse and the others carry out.
            let failure = self.states.downgraded(raise.level);
            return Err(stop_raft("following a cluster of a newer release", &failure));
        }
        self.number = applied.changes.after;
        Ok(self.reply(applied.outcome))
    }

    fn reply(&self, outcome: Outcome) -> CommandReply {
        let number = match &outcome.kind {
            // A replay answers with the number of then.
            Some(outcome::Kind::Done(done)) => done.number,
            Some(outcome::Kind::Rejected(_)) | None => self.number,
        };
        CommandReply { outcome, number }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = StateImage;
    type SnapshotBuilder = CheckpointBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied.log_id, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            if let EntryPayload::Normal(command) = &entry.payload {
                bytes += command.0.len();
            }
            batch.push((entry, responder));
            if batch.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES {
                self.apply_batch(&mut batch)?;
                bytes = 0;
            }
        }
        self.apply_batch(&mut batch)
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointBuilder {
        CheckpointBuilder { states: self.states.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, image: StateImage) -> io::Result<()> {
        let states = self.states.clone();
        let installed = blocking(move || {
            let store = match image {
                StateImage::Received(store) => store,
                StateImage::Checkpoint(checkpoint) => ImageWriter::copy(&checkpoint, states.folders())?,
            };
            states.install(store)
        });
        // Half-way a node has neither the old state nor the new: it starts again.
        let applied = installed.await?.map_err(|failure| stop_raft("installing a snapshot", &failure))?;
        assert!(applied.log_id == meta.last_log_id, "an installed state is at the log id it was sent with");
        self.applied = applied;
        self.number = *self.states.numbers().borrow();
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<Snapshot<Leader, u64, openraft::BasicNode, StateImage>>> {
        Ok(self.states.checkpoint().map(snapshot_of))
    }
}

type Leader = openraft::alias::CommittedLeaderIdOf<TypeConfig>;

/// Takes checkpoints.
pub(crate) struct CheckpointBuilder {
    states: Arc<States>,
}

impl RaftSnapshotBuilder<TypeConfig> for CheckpointBuilder {
    type SnapshotData = StateImage;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<Leader, u64, openraft::BasicNode, StateImage>> {
        let states = self.states.clone();
        blocking(move || states.take_checkpoint()).await?.map(snapshot_of)
    }
}

fn snapshot_of(checkpoint: Arc<StateCheckpoint>) -> Snapshot<Leader, u64, openraft::BasicNode, StateImage> {
    Snapshot { meta: checkpoint.meta().clone(), snapshot: StateImage::Checkpoint(checkpoint) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
