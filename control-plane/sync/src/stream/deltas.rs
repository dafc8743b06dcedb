//! What a data node is to be sent, and the messages of a delta: built once for all that stand at the same number.

use std::sync::Arc;

use prost::Message;
use sluice_model::{Revision, limits};
use sluice_proto::sync::{Delta, FromControl, Row, Tombstone, from_control::Kind};
use sluice_state::{Gone, VisibleRow};
use tokio::sync::Mutex;
use tonic::Status;

use crate::source::Source;

/// What is due to a data node.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// It holds what this node has.
    Nothing,
    /// What changed since.
    Delta(Arc<DeltaMessages>),
    /// Everything: it holds nothing, another generation, or too old a number.
    Snapshot,
    /// It holds more than this node.
    Behind(Revision),
}

/// A delta as it is sent.
#[derive(Debug)]
pub(crate) struct DeltaMessages {
    pub(crate) from: Revision,
    pub(crate) to: Revision,
    pub(crate) messages: Vec<FromControl>,
    pub(crate) bytes: u64,
}

/// The delta that was built last.
#[derive(Default)]
pub(crate) struct Deltas {
    last: Mutex<Option<Arc<DeltaMessages>>>,
}

impl Deltas {
    /// What is due to a data node that holds `held`.
    pub(crate) async fn due<S: Source>(&self, source: &S, held: Option<&Revision>) -> Result<Due, Status> {
        let Some(held) = held else { return Ok(Due::Snapshot) };
        // Held while a delta is built, on purpose: the others of the same number then find it.
        let mut last = self.last.lock().await;
        let number = *source.revisions().borrow();
        if let Some(built) = last.as_ref().filter(|built| built.from == *held && built.to.number >= number) {
            return Ok(Due::Delta(built.clone()));
        }
        let (source, held) = (source.clone(), held.clone());
        let built = tokio::task::spawn_blocking(move || build(&source, &held)).await;
        let due = built.map_err(|error| Status::internal(format!("a delta was not read: {error}")))?;
        if let Due::Delta(delta) = &due {
            *last = Some(delta.clone());
        }
        Ok(due)
    }
}

/// Reads what is due, from one view. Blocks on the store.
fn build<S: Source>(source: &S, held: &Revision) -> Due {
    let view = source.view();
    let now = view.revision();
    if !now.same_generation(held) {
        return Due::Snapshot;
    }
    if held.number >= now.number {
        return if held.number == now.number { Due::Nothing } else { Due::Behind(now) };
    }
    let Some(delta) = view.delta(held.number) else { return Due::Snapshot };
    let to = Revision::new(now.generation, delta.to);
    let digest = delta.digest.to_bytes();
    let mut chunks = Chunks::default();
    for row in delta.rows {
        let row = wire_row(row);
        chunks.next(row.encoded_len()).rows.push(row);
    }
    for gone in delta.tombstones {
        let gone = wire_tombstone(gone);
        chunks.next(gone.encoded_len()).tombstones.push(gone);
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
    Due::Delta(Arc::new(DeltaMessages { from: held.clone(), to, messages, bytes }))
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
    /// The chunk that has room for `bytes` more.
    fn next(&mut self, bytes: usize) -> &mut Chunk {
        if self.all.is_empty() || self.last_bytes + bytes > limits::STREAM_CHUNK_BYTES_MAX {
            self.all.push(Chunk::default());
            self.last_bytes = 0;
        }
        self.last_bytes += bytes;
        self.all_bytes += bytes;
        self.all.last_mut().expect("a chunk was pushed when there was none")
    }
}

/// A row as it is sent: exactly as stored.
pub(super) fn wire_row(row: VisibleRow) -> Row {
    Row { table: row.table as i32, key: row.key.into(), number: row.number, value: row.value }
}

fn wire_tombstone(gone: Gone) -> Tombstone {
    Tombstone { table: gone.table as i32, key: gone.key.into(), number: gone.number }
}
