//! `Backups.Create`: the rows of one view, as a file that is written as it is sent.

use std::io::{self, Write};

use sluice_backup::{Damage, Writer};
use sluice_proto::{
    admin::{CreateBackupReply, CreateBackupRequest},
    raft::BackupHeader,
};
use sluice_state::{Tables, View};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::{info, warn};

use crate::{
    admin::Admin,
    call::Call,
    config::fresh_view,
    imports::Place,
    propose::now_ms,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Bytes of one message.
const CHUNK_BYTES: usize = 256 * 1024;

type Replies = mpsc::Sender<Result<CreateBackupReply, Status>>;

/// Begins to write a backup on a blocking thread, which ends when it is done or nobody reads any more.
pub(super) async fn create<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: CreateBackupRequest,
    replies: Replies,
    place: Place,
) -> Result<(), Refused> {
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let header = header_of(&view)?;
    let actor = call.actor.clone();
    admin.imports.tasks.spawn_blocking(move || {
        let _place = place;
        match write(&view, &header, ChunkWriter { replies: replies.clone(), chunk: Vec::new() }) {
            Ok(rows) => info!(actor, revision = header.number, rows, "backup made"),
            Err(damage) => {
                warn!(actor, error = %damage, "backup given up");
                // Whoever still reads is told; most have hung up.
                let _ = replies.blocking_send(Err(Status::unavailable(format!("the backup ended: {damage}"))));
            }
        }
    });
    Ok(())
}

/// What a backup of `view` says of itself.
pub(super) fn header_of<T: Tables>(view: &View<T>) -> Result<BackupHeader, Refused> {
    let unfounded =
        || Refused::new(Reason::Unavailable, "this node holds no cluster yet; try again when it has caught up");
    let cluster = view.cluster().ok_or_else(unfounded)?;
    Ok(BackupHeader {
        cluster_id: cluster.cluster_id,
        generation: cluster.generation,
        number: view.number(),
        level: cluster.level,
        time_ms: now_ms(0),
        sealed_lookup_key: cluster.sealed_lookup_key,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn write<T: Tables>(view: &View<T>, header: &BackupHeader, out: impl Write) -> Result<u64, Damage> {
    let mut writer = Writer::begin(out, header)?;
    for row in view.backup_rows() {
        writer.row(row)?;
    }
    Ok(writer.finish()?.1.rows)
}

/// Sends what is written, in messages.
struct ChunkWriter {
    replies: Replies,
    chunk: Vec<u8>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the caller has hung up");
        self.replies.blocking_send(Ok(CreateBackupReply { chunk })).map_err(gone)
    }
}
