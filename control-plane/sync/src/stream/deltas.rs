//! What a data node is to be sent, and the messages of a delta: built once for all that stand at the same number.
//!
//! Promise: a delta has at most `DELTA_BYTES_MAX`, and all that a node holds together `DELTAS_BYTES_MAX` beside a first
//! chunk of each; one that grows beyond is given up while it is read, and a snapshot is due instead.

use std::{sync::Arc, time::Duration};

use prost::Message;
use sluice_model::{Revision, limits};
use sluice_proto::sync::{Delta, FromControl, Row, Tombstone, from_control::Kind};
use sluice_state::{Changed, Gone, VisibleRow};
use sluice_telemetry::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::spans::{Built, Spans};
use crate::source::{Blocking, Source};

/// Deltas that are built at once: each holds a state of the store and a thread.
const BUILDERS_MAX: usize = 4;

/// What is due to a data node.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// It holds what this node has.
    Nothing,
    /// What changed since.
    Delta(Arc<DeltaMessages>),
    /// Everything: it holds nothing, another generation, too old a number, or too much has changed since.
    Snapshot,
    /// It holds more than this node.
    Behind(Revision),
}

/// A delta as it is sent.
#[derive(Debug)]
pub(crate) struct DeltaMessages {
    pub(crate) to: Revision,
    pub(crate) messages: Vec<FromControl>,
    pub(crate) bytes: u64,
    /// Given back when the last stream has sent it.
    _room: Option<OwnedSemaphorePermit>,
}

/// How much memory deltas may take, in bytes of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// One delta.
    pub(crate) delta: usize,
    /// All of them, the first chunk of each aside: as much waits in the queue of a stream anyway.
    pub(crate) all: usize,
}

impl Room {
    pub(crate) const PRODUCT: Self = Self { delta: limits::DELTA_BYTES_MAX, all: limits::DELTAS_BYTES_MAX };
}

/// The deltas of a node.
#[derive(Clone)]
pub(crate) struct Deltas {
    spans: Arc<Spans>,
    builders: Arc<Semaphore>,
    delta_bytes_max: usize,
    room: Arc<Semaphore>,
    /// Counts what grew beyond a bound.
    given_up: Counter,
}

impl Deltas {
    pub(crate) fn new(room: Room, given_up: Counter) -> Self {
        Self {
            spans: Arc::default(),
            builders: Arc::new(Semaphore::new(BUILDERS_MAX)),
            delta_bytes_max: room.delta,
            room: Arc::new(Semaphore::new(room.all)),
            given_up,
        }
    }

    /// What is due to a data node that holds `held`.
    ///
    /// Dropping the future loses at most a delta that was being built for others too; the next of them builds it.
    pub(crate) async fn due<S: Source>(&self, source: &S, held: Option<&Revision>) -> Result<Due, Status> {
        let Some(held) = held else { return Ok(Due::Snapshot) };
        let now = source.view().revision();
        // Also in another generation: a restore goes on from the number it finds, so what is ahead came after.
        if held.number > now.number {
            return Ok(Due::Behind(now));
        }
        if !now.same_generation(held) {
            return Ok(Due::Snapshot);
        }
        if held.number == now.number {
            return Ok(Due::Nothing);
        }
        let place = self.spans.place(held, now.number);
        let built = place.get_or_try_init(|| self.build(source, held)).await?;
        Ok(built.clone().map_or(Due::Snapshot, Due::Delta))
    }

    /// Forgets deltas that no stream is sending, unless they are younger than `kept`.
    pub(crate) fn forget_built(&self, kept: Duration) {
        self.spans.forget_built(kept);
    }

    async fn build<S: Source>(&self, source: &S, held: &Revision) -> Result<Built, Status> {
        let builder = self.builders.clone().acquire_owned().await;
        let builder = builder.map_err(|_| Status::unavailable("this control node stops; try another"))?;
        let (deltas, source, held) = (self.clone(), source.clone(), held.clone());
        let aside = source.blocking();
        let build = move || {
            // Held by the thread: it may outlive the stream that asked.
            let _builder = builder;
            deltas.read(&source, &held)
        };
        if aside == Blocking::Here {
            return Ok(build());
        }
        tokio::task::spawn_blocking(build)
            .await
            .map_err(|error| Status::internal(format!("a delta was not read: {error}")))
    }

    /// Reads what changed, from one view. Blocks on the store.
    fn read<S: Source>(&self, source: &S, held: &Revision) -> Built {
        let view = source.view();
        let now = view.revision();
        // The state may have been replaced by another generation's since it was looked at.
        let delta = view.delta(held.number).filter(|_| now.same_generation(held))?;
        let to = Revision::new(now.generation, delta.to);
        let digest = delta.digest.to_bytes();
        let mut chunks = Chunks::default();
        let mut room: Option<OwnedSemaphorePermit> = None;
        for changed in delta.changes {
            let change = WireChange::of(changed);
            let bytes = change.encoded_len();
            if chunks.all_bytes + bytes > self.delta_bytes_max || !self.has_room(&mut room, &chunks, bytes) {
                self.given_up.increment(1);
                return None;
            }
            chunks.push(change, bytes);
        }
        let bytes = chunks.all_bytes as u64;
        let last = chunks.all.len().saturating_sub(1);
        let message = |(index, chunk): (usize, Chunk)| {
            let delta = Delta {
                from: Some(held.into()),
                to: Some((&to).into()),
                rows: chunk.rows,
                tombstones: chunk.tombstones,
                digest: digest.to_vec().into(),
                last: index == last,
            };
            FromControl { kind: Some(Kind::Delta(delta)) }
        };
        let messages = chunks.all.into_iter().enumerate().map(message).collect();
        Some(Arc::new(DeltaMessages { to, messages, bytes, _room: room }))
    }

    /// Makes room for `bytes` that follow `chunks`; false when other deltas fill it.
    fn has_room(&self, room: &mut Option<OwnedSemaphorePermit>, chunks: &Chunks, bytes: usize) -> bool {
        if chunks.all.is_empty() || chunks.fits_last(bytes) {
            return true;
        }
        let Ok(chunk) = u32::try_from(bytes.max(limits::STREAM_CHUNK_BYTES_MAX)) else { return false };
        let take = || self.room.clone().try_acquire_many_owned(chunk).ok();
        let taken = take().or_else(|| {
            // What is only kept for who may still come makes way.
            self.spans.forget_built(Duration::ZERO);
            take()
        });
        match (taken, room) {
            (None, _) => return false,
            (Some(taken), Some(room)) => room.merge(taken),
            (taken, room) => *room = taken,
        }
        true
    }
}

/// A row or a tombstone as it is sent.
enum WireChange {
    Row(Row),
    Gone(Tombstone),
}

impl WireChange {
    fn of(changed: Changed) -> Self {
        match changed {
            Changed::Row(row) => Self::Row(wire_row(row)),
            Changed::Gone(gone) => Self::Gone(wire_tombstone(gone)),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Row(row) => row.encoded_len(),
            Self::Gone(gone) => gone.encoded_len(),
        }
    }
}

#[derive(Default)]
struct Chunk {
    rows: Vec<Row>,
    tombstones: Vec<Tombstone>,
}

/// Chunks of at most `STREAM_CHUNK_BYTES_MAX`, or of one row that is larger.
#[derive(Default)]
struct Chunks {
    all: Vec<Chunk>,
    last_bytes: usize,
    all_bytes: usize,
}

impl Chunks {
    fn fits_last(&self, bytes: usize) -> bool {
        self.last_bytes + bytes <= limits::STREAM_CHUNK_BYTES_MAX
    }

    fn push(&mut self, change: WireChange, bytes: usize) {
        if self.all.is_empty() || !self.fits_last(bytes) {
            self.all.push(Chunk::default());
            self.last_bytes = 0;
        }
        self.last_bytes += bytes;
        self.all_bytes += bytes;
        let chunk = self.all.last_mut().expect("a chunk was pushed when there was none");
        match change {
            WireChange::Row(row) => chunk.rows.push(row),
            WireChange::Gone(gone) => chunk.tombstones.push(gone),
        }
    }
}

/// A row as it is sent: exactly as stored.
pub(super) fn wire_row(row: VisibleRow) -> Row {
    Row { table: row.table as i32, key: row.key.into(), number: row.number, value: row.value }
}

fn wire_tombstone(gone: Gone) -> Tombstone {
    Tombstone { table: gone.table as i32, key: gone.key.into(), number: gone.number }
}
