//! A checkpoint as a stream of chunks.

use std::sync::Arc;

use sluice_proto::raft::{SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotRows, snapshot_chunk::Kind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use crate::store::{
    checkpoint::StateCheckpoint,
    image::{Wanted, read_rows},
};

/// Chunks read ahead of the connection.
const AHEAD: usize = 4;

/// `begin`, the rows in key order, their count and hash. Without the last the receiver keeps nothing; so a checkpoint
/// that cannot be read to its end is one that was never sent.
pub(super) fn stream(begin: SnapshotBegin, checkpoint: Arc<StateCheckpoint>) -> ReceiverStream<SnapshotChunk> {
    let (chunks, sent) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(begin, &checkpoint, &chunks) {
            warn!(path = %checkpoint.path().display(), %error, "a checkpoint cannot be read to be sent");
        }
    });
    ReceiverStream::new(sent)
}

fn send(
    begin: SnapshotBegin,
    checkpoint: &StateCheckpoint,
    chunks: &mpsc::Sender<SnapshotChunk>,
) -> std::io::Result<()> {
    let offer = |kind| match chunks.blocking_send(SnapshotChunk { kind: Some(kind) }) {
        Ok(()) => Wanted::More,
        // The connection is gone.
        Err(_) => Wanted::Nothing,
    };
    if offer(Kind::Begin(begin)) == Wanted::Nothing {
        return Ok(());
    }
    let tally = read_rows(checkpoint, |rows| offer(Kind::Rows(SnapshotRows { rows })))?;
    let (rows, hash) = tally.finish();
    offer(Kind::End(SnapshotEnd { rows, hash: hash.to_vec().into() }));
    Ok(())
}
