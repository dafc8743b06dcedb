//! Staging the rows of a restore, piece by piece, ahead of the command that takes them.
//!
//! Promise: what is staged is seen by no one; pieces come in order, each once; one restore is staged at a time, within
//! `RESTORE_BYTES_MAX`; what is given up is dropped, or trimmed ten minutes of stamped time after its last piece.

use bytes::{Buf as _, Bytes};
use prost::Message;
use sluice_model::{Digest, limits};
use sluice_proto::raft::{BackupRow, DropRestore, StageRestore, StagedRestore, rejected::Code};

use super::{
    refusal::{Flow, invalid, refuse},
    run::Run,
};
use crate::{keys, rows, tables::Tables};

/// Bytes of the id of a restore.
const ID_BYTES: usize = 16;

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn stage_restore(&mut self, stage: &StageRestore) -> Flow {
        if stage.restore_id.len() != ID_BYTES {
            return invalid(format!("expected the id of a restore, of {ID_BYTES} bytes"));
        }
        if stage.data.len() > limits::RESTORE_CHUNK_BYTES_MAX {
            let most = limits::RESTORE_CHUNK_BYTES_MAX;
            return refuse(
                Code::Capacity,
                format!("expected at most {most} bytes of rows, found {}", stage.data.len()),
            );
        }
        let mut staged: StagedRestore = rows::read(self.draft, keys::STAGED_RESTORE).unwrap_or_default();
        if staged.restore_id != stage.restore_id && stage.chunk == 0 {
            self.forget_staged();
            staged = StagedRestore { restore_id: stage.restore_id.clone(), ..StagedRestore::default() };
        }
        if staged.restore_id != stage.restore_id {
            return refuse(
                Code::NotFound,
                "expected a restore that is staged, found one that another has displaced or that was given up; begin it again",
            );
        }
        if stage.chunk != staged.chunks {
            return invalid(format!("expected piece {} of the restore, found piece {}", staged.chunks, stage.chunk));
        }
        staged.bytes += stage.data.len() as u64;
        if staged.bytes > limits::RESTORE_BYTES_MAX {
            let message = format!("expected at most {} bytes of rows, found more", limits::RESTORE_BYTES_MAX);
            return refuse(Code::Capacity, message);
        }
        let both = [&staged.digest[..], Digest::of(&stage.data).as_bytes()].concat();
        staged.digest = Bytes::copy_from_slice(Digest::of(&both).as_bytes());
        staged.chunks += 1;
        staged.staged_ms = self.stamp_ms;
        self.draft.put(keys::staged_chunk(stage.chunk), stage.data.to_vec());
        self.draft.put(keys::STAGED_RESTORE.to_vec(), staged.encode_to_vec());
        Ok(())
    }

    /// Forgets a restore that was given up; without effect for one that is not staged.
    pub(super) fn drop_restore(&mut self, dropped: &DropRestore) -> Flow {
        let staged: Option<StagedRestore> = rows::read(self.draft, keys::STAGED_RESTORE);
        if staged.is_some_and(|staged| staged.restore_id == dropped.restore_id) {
            self.forget_staged();
        }
        Ok(())
    }

    /// Forgets a restore whose next piece has not come for long.
    pub(super) fn trim_staged(&mut self) {
        let staged: Option<StagedRestore> = rows::read(self.draft, keys::STAGED_RESTORE);
        let aged = |staged: StagedRestore| staged.staged_ms.saturating_add(limits::UNREFERENCED_MS_MAX) < self.stamp_ms;
        if staged.is_some_and(aged) {
            self.forget_staged();
        }
    }

    pub(super) fn forget_staged(&mut self) {
        let (from, to) = keys::staged();
        let keys: Vec<_> = self.draft.scan(&from, &to).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.draft.delete(key));
    }

    /// Hands every staged row to `take`, in order.
    pub(super) fn each_staged(&mut self, chunks: u32, mut take: impl FnMut(&mut Self, BackupRow) -> Flow) -> Flow {
        let mut rest = Bytes::new();
        for number in 0..chunks {
            let chunk = self.draft.get(&keys::staged_chunk(number)).map(Bytes::from).unwrap_or_default();
            rest = if rest.is_empty() { chunk } else { [rest, chunk].concat().into() };
            while let Some(row) = next_row(&mut rest)? {
                take(self, row)?;
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            invalid("expected whole rows in a restore, found a part of one at its end")
        }
    }
}

/// The next row of `rest`; `None` when it is not whole yet.
fn next_row(rest: &mut Bytes) -> Flow<Option<BackupRow>> {
    let mut ahead = rest.clone();
    let length = match prost::decode_length_delimiter(&mut ahead) {
        Ok(length) if length <= limits::BACKUP_ROW_BYTES_MAX => length,
        // Cut off within the length, which takes ten bytes at most.
        Err(_) if rest.len() < 10 => return Ok(None),
        Ok(_) | Err(_) => return invalid("expected the length of a row in a restore, found another value"),
    };
    if ahead.remaining() < length {
        return Ok(None);
    }
    let row = BackupRow::decode(ahead.split_to(length));
    *rest = ahead;
    row.map(Some).or_else(|_| invalid("expected an encoded row in a restore, found other bytes"))
}
