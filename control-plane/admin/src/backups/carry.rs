//! What every restore does with the rows that a thread reads: stage them, take them, and say what came of it.
//!
//! Promise: nothing changes until the thread says that all was whole; what was staged before it failed, before the deadline
//! or before the caller went, is dropped. Absent: where rows come from.

use std::pin::pin;

use prost::Message as _;
use sluice_model::{Revision, limits};
use sluice_proto::{
    admin::{RestoreProgress, RestoreReply, RestoreResult, restore_reply},
    raft::{BackupRow, RequestId},
};
use sluice_state::{OnRestore, on_restore};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::info;

use super::{reseal::Resealer, staging::Staging};
use crate::{
    admin::Admin,
    call::Call,
    commit,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Pieces of rows that wait to be staged.
const WAITING_MAX: usize = 2;

pub(super) type Replies = mpsc::Sender<Result<RestoreReply, Status>>;
pub(super) type Rows = mpsc::Receiver<Result<Read, Refused>>;

/// What the reading thread hands over.
pub(super) enum Read {
    /// Rows to stage, and how many rows were read so far.
    Rows(Vec<u8>, u64),
    /// All was read, and is as it should be.
    Whole(Whole),
}

/// What was read to its end.
pub(super) struct Whole {
    /// Feature level of the cluster that the rows are from.
    level: u32,
    rows: u64,
    resealed: u64,
}

/// Makes pieces of rows; on the reading thread.
pub(super) struct Packer {
    out: mpsc::Sender<Result<Read, Refused>>,
    resealer: Resealer,
    data: Vec<u8>,
    rows: u64,
}

/// Why reading ends early.
pub(super) enum Ended {
    /// It is refused.
    Refused(Refused),
    /// Nobody wants more.
    Unwanted,
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Starts `read` on a thread of its own, with the way to whoever stages what it reads.
pub(super) fn start(
    read: impl FnOnce(&mpsc::Sender<Result<Read, Refused>>) -> Result<(), Ended> + Send + 'static,
) -> Rows {
    let (out, rows) = mpsc::channel(WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        if let Err(Ended::Refused(refused)) = read(&out) {
            // Nobody waits for it when the caller has gone.
            let _ = out.blocking_send(Err(refused));
        }
    });
    rows
}

impl Packer {
    pub(super) fn new(out: &mpsc::Sender<Result<Read, Refused>>, resealer: Resealer) -> Self {
        Self { out: out.clone(), resealer, data: Vec::new(), rows: 0 }
    }

    /// Takes a row, if it is one that a restore replaces.
    pub(super) fn add(&mut self, row: BackupRow) -> Result<(), Ended> {
        if on_restore(row.table()) != OnRestore::Replaced {
            return Ok(());
        }
        self.rows += 1;
        self.resealer.row(row)?.encode_length_delimited(&mut self.data).expect("a vector grows");
        while self.data.len() >= limits::RESTORE_CHUNK_BYTES_MAX {
            let rest = self.data.split_off(limits::RESTORE_CHUNK_BYTES_MAX);
            let piece = std::mem::replace(&mut self.data, rest);
            self.hand_over(Read::Rows(piece, self.rows))?;
        }
        Ok(())
    }

    /// There are no more rows, and all was well.
    pub(super) fn finish(mut self, level: u32) -> Result<(), Ended> {
        // Also when there is nothing: what is staged is taken.
        let rest = std::mem::take(&mut self.data);
        self.hand_over(Read::Rows(rest, self.rows))?;
        self.hand_over(Read::Whole(Whole { level, rows: self.rows, resealed: self.resealer.resealed }))
    }

    fn hand_over(&self, read: Read) -> Result<(), Ended> {
        self.out.blocking_send(Ok(read)).map_err(|_| Ended::Unwanted)
    }
}

/// Stages and takes the rows that a thread reads, beside `feeding` it; returns the last reply.
pub(super) async fn carry_out<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    request: RequestId,
    mut rows: Rows,
    feeding: impl Future<Output = Result<(), Refused>>,
    replies: &Replies,
) -> Result<RestoreReply, Refused> {
    let replaced = admin.replica.view().revision();
    let mut staging = Staging::new(admin, call);
    let staged = async {
        let mut feeding = pin!(feeding);
        let mut staging = pin!(stage(&mut staging, &mut rows, replies));
        // Neither is polled again when it has ended.
        tokio::select! {
            staged = &mut staging => staged,
            fed = &mut feeding => {
                fed?;
                staging.await
            }
        }
    };
    let whole = tokio::select! {
        // Not cancel safe, and need not be: what was staged is dropped.
        whole = staged => whole,
        () = tokio::time::sleep_until(call.deadline.into()) => {
            Err(Refused::new(Reason::Silent, "the rows did not come before the deadline; nothing was changed; give it more time"))
        }
        () = replies.closed() => Err(Refused::new(Reason::Silent, "the caller has hung up; nothing was changed")),
    };
    let taken = match whole {
        Ok(whole) => {
            let generation = uuid::Uuid::new_v4().to_string();
            staging.take(request, generation, whole.level).await.map(|committed| (whole, committed))
        }
        Err(refused) => Err(refused),
    };
    // Of a request that was carried out before, nothing is taken.
    if taken.as_ref().map_or(true, |(_, committed)| committed.replayed) {
        staging.give_up().await;
    }
    let (whole, _) = taken?;
    commit::barrier(&admin.replica, call.deadline).await?;
    Ok(result(admin.replica.view().revision(), replaced, &whole, &call.actor))
}

/// Stages what the thread hands over.
async fn stage<R: Replica>(staging: &mut Staging<'_, R>, rows: &mut Rows, replies: &Replies) -> Result<Whole, Refused> {
    loop {
        match rows.recv().await {
            Some(Ok(Read::Rows(data, rows_staged))) => {
                staging.add(data).await?;
                let progress = restore_reply::Kind::Progress(RestoreProgress { rows_staged });
                // One who does not listen misses a step of the bar.
                let _ = replies.try_send(Ok(RestoreReply { kind: Some(progress) }));
            }
            Some(Ok(Read::Whole(whole))) => return Ok(whole),
            Some(Err(refused)) => return Err(refused),
            None => return Err(Refused::new(Reason::Unavailable, "reading ended early; nothing was changed")),
        }
    }
}

fn result(revision: Revision, replaced: Revision, whole: &Whole, actor: &str) -> RestoreReply {
    let Whole { rows, resealed, .. } = *whole;
    info!(actor, %revision, %replaced, rows, resealed, "configuration restored");
    let result = RestoreResult { revision: Some(revision.into()), replaced: Some(replaced.into()), rows, resealed };
    RestoreReply { kind: Some(restore_reply::Kind::Result(result)) }
}
