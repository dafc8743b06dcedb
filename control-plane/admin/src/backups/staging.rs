//! Rows on their way into the log: staged piece by piece, then taken by one command.
//!
//! Promise: a restore whose file was not whole, or whose caller went, is dropped; what cannot be dropped now is trimmed
//! ten minutes later.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_proto::raft::{Command, DropRestore, RequestId, Restore, StageRestore, Stamp, command};

use crate::{
    admin::Admin,
    call::Call,
    propose::{Committed, anywhere, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

/// For dropping what was staged, when the caller waits no more.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// The rows of one restore in the log.
pub(super) struct Staging<'a, R: Replica> {
    admin: &'a Admin<R>,
    call: &'a Call,
    restore_id: Bytes,
    chunks: u32,
}

impl<'a, R: Replica> Staging<'a, R> {
    pub(super) fn new(admin: &'a Admin<R>, call: &'a Call) -> Self {
        // Of this attempt alone: pieces of another are not mixed with its own.
        let restore_id = uuid::Uuid::new_v4().as_bytes().to_vec().into();
        Self { admin, call, restore_id, chunks: 0 }
    }

    /// Stages the next piece.
    ///
    /// # Errors
    /// What apply refuses: another restore has taken the place of this one, or it is too large.
    pub(super) async fn add(&mut self, data: Vec<u8>) -> Result<(), Refused> {
        // A proposal whose answer was lost is made again, and staged once.
        let hash = blake3::hash(&data).as_bytes().to_vec().into();
        let request = RequestId { id: crate::call::new_request_id().into(), hash };
        let stage = StageRestore {
            stamp: Some(self.stamp(Some(request))),
            restore_id: self.restore_id.clone(),
            chunk: self.chunks,
            data: data.into(),
        };
        self.propose(command::Kind::StageRestore(stage)).await?;
        self.chunks += 1;
        Ok(())
    }

    /// Puts the staged rows in place of the cluster's, as `generation`.
    ///
    /// # Errors
    /// What apply refuses; nothing has changed then.
    pub(super) async fn take(&self, request: RequestId, generation: String, level: u32) -> Result<Committed, Refused> {
        crate::commit::barrier(&self.admin.replica, self.call.deadline).await?;
        let staged = self.admin.replica.view().staged_restore().unwrap_or_default();
        if staged.restore_id != self.restore_id || staged.chunks != self.chunks {
            let message =
                "another restore was begun meanwhile and has taken the place of this one; nothing was changed";
            return Err(Refused::new(Reason::Conflict, message));
        }
        let time_ms = now_ms(self.admin.replica.view().stamp());
        let restore = Restore {
            stamp: Some(self.call.stamp(time_ms, Some(request))),
            restore_id: self.restore_id.clone(),
            chunks: staged.chunks,
            digest: staged.digest,
            generation,
            level,
        };
        self.propose(command::Kind::Restore(restore)).await
    }

    /// Forgets what was staged.
    pub(super) async fn give_up(&self) {
        let dropped = DropRestore { stamp: Some(self.stamp(None)), restore_id: self.restore_id.clone() };
        let command = Command { kind: Some(command::Kind::DropRestore(dropped)) };
        // What is not dropped is trimmed.
        let _ = anywhere(&self.admin.replica, command, Instant::now() + DROP_TIMEOUT).await;
    }

    async fn propose(&self, kind: command::Kind) -> Result<Committed, Refused> {
        anywhere(&self.admin.replica, Command { kind: Some(kind) }, self.call.deadline).await
    }

    /// Of a step that is no call of its own: the audit trail tells of the restore.
    fn stamp(&self, request: Option<RequestId>) -> Stamp {
        let time_ms = now_ms(self.admin.replica.view().stamp());
        Stamp { actor: self.call.actor.clone(), time_ms, request, ..Stamp::default() }
    }
}
