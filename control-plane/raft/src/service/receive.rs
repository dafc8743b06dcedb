//! Receiving a state.
//!
//! Promise: each step has a deadline, the disk is written on blocking threads, and what is not received to its end
//! leaves nothing.

use std::{sync::Arc, time::Duration};

use openraft::storage::Snapshot;
use sluice_proto::raft::{SnapshotBegin, SnapshotChunk, SnapshotMeta as MetaMessage, snapshot_chunk::Kind};
use tonic::{Status, Streaming};

use super::malformed;
use crate::{
    durable::{Durable, Malformed},
    machine::StateImage,
    states::States,
    store::image::ImageWriter,
    types::{SnapshotMeta, TypeConfig},
};

/// A sender that is silent for longer has gone.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

type Leader = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
type Chunks = Streaming<SnapshotChunk>;

/// The first chunk.
pub(super) async fn begin(chunks: &mut Chunks) -> Result<SnapshotBegin, Status> {
    match next(chunks).await? {
        Some(Kind::Begin(begin)) => Ok(begin),
        Some(Kind::Rows(_) | Kind::End(_)) | None => {
            Err(Status::invalid_argument("expected a snapshot to begin with its meta, found none"))
        }
    }
}

/// Everything after the first chunk, as a whole, synced state.
pub(super) async fn state(
    chunks: &mut Chunks,
    meta: Option<MetaMessage>,
    states: Arc<States>,
) -> Result<Snapshot<Leader, u64, openraft::BasicNode, StateImage>, Status> {
    let meta = meta.ok_or(Malformed::Missing { what: "a snapshot", field: "its meta" });
    let meta = meta.and_then(SnapshotMeta::from_message).map_err(malformed)?;
    let mut image = blocking(move || states.receive().map_err(|failure| failure.to_string())).await?;
    loop {
        match next(chunks).await? {
            Some(Kind::Rows(rows)) => {
                image =
                    blocking(move || image.add(rows.rows).map(|()| image).map_err(|error| error.to_string())).await?;
            }
            Some(Kind::End(end)) => return finish(image, meta, end.rows, end.hash.to_vec()).await,
            Some(Kind::Begin(_)) | None => {
                return Err(Status::invalid_argument("expected rows and then the end of a snapshot, found neither"));
            }
        }
    }
}

async fn finish(
    image: ImageWriter,
    meta: SnapshotMeta,
    rows: u64,
    hash: Vec<u8>,
) -> Result<Snapshot<Leader, u64, openraft::BasicNode, StateImage>, Status> {
    let (store, meta) = blocking(move || {
        let store = image.finish(&meta, (rows, &hash)).map_err(|error| error.to_string())?;
        Ok((store, meta))
    })
    .await?;
    Ok(Snapshot { meta, snapshot: StateImage::Received(store) })
}

async fn next(chunks: &mut Chunks) -> Result<Option<Kind>, Status> {
    match tokio::time::timeout(CHUNK_TIMEOUT, chunks.message()).await {
        Ok(Ok(Some(chunk))) => Ok(chunk.kind),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::deadline_exceeded("expected a chunk of the snapshot within 30 seconds, found none")),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(problem)) => Err(Status::internal(problem)),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
