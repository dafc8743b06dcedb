//! Proposing commands.

use std::time::{Duration, Instant};

use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use prost::Message;
use sluice_model::{LEVEL, Revision, level};
use sluice_proto::raft::{Command, Outcome};
use tokio::time::timeout_at;

use super::Raft;
use crate::{ProposeFailure, types::EncodedCommand};

/// Pause before a proposal that no leader took is tried again, unless a leader is known before.
const RETRY: Duration = Duration::from_millis(20);

/// Bytes of one command: an entry of the log, with room for a stamp that was set after it was measured.
const COMMAND_BYTES_MAX: usize = sluice_model::limits::ENTRY_BYTES_MAX + 4 * 1024;

/// A command that was applied: done or rejected.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// What apply answered.
    pub outcome: Outcome,
    /// The index of the command in the log.
    pub log_index: u64,
    /// The revision after it.
    pub revision: Revision,
}

impl Raft {
    /// Commits `command` and applies it on this node, which must be the leader. While no leader is known it is tried
    /// again until the deadline.
    ///
    /// Dropping the future gives up waiting; the command may be applied all the same.
    ///
    /// # Errors
    /// `NotLeader`, `TooLarge`, `Level` and `DiskFull` when nothing was proposed, `Timeout` when the outcome is not known, `Stopped`.
    pub async fn propose(&self, command: Command, deadline: Instant) -> Result<Proposed, ProposeFailure> {
        let _in_flight = self.inner.meters.begin();
        let outcome = self.decide(command, deadline).await;
        self.inner.meters.proposed(&outcome);
        outcome
    }

    async fn decide(&self, command: Command, deadline: Instant) -> Result<Proposed, ProposeFailure> {
        let needed = sluice_state::level_of(&command);
        if needed > level::FIRST {
            let level = self.view().cluster().map_or(0, |cluster| cluster.level).min(LEVEL);
            if needed > level {
                return Err(ProposeFailure::Level { needed, level });
            }
        }
        if let Some(shortage) = self.disk_shortage()
            && self.inner.leadership.borrow().this
            && !sluice_state::passes_full_disk(&command)
        {
            return Err(shortage.into());
        }
        let command = EncodedCommand(command.encode_to_vec().into());
        // In the log it could never be taken out again, nor be sent: nothing after it would be committed.
        let bytes = command.0.len();
        if bytes > COMMAND_BYTES_MAX {
            return Err(ProposeFailure::TooLarge { bytes, most: COMMAND_BYTES_MAX });
        }
        let deadline = tokio::time::Instant::from_std(deadline);
        loop {
            let written = timeout_at(deadline, self.inner.core.client_write(command.clone())).await;
            let leader = match written.map_err(|_| ProposeFailure::Timeout)? {
                Ok(written) => {
                    let generation = self.inner.states.generation();
                    let revision = Revision::new(generation, written.data.number);
                    let (outcome, log_index) = (written.data.outcome, written.log_id.index);
                    return Ok(Proposed { outcome, log_index, revision });
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
                    leader_id
                }
                // Whether the entry survives the change of leaders is not known here.
                Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                    return Err(ProposeFailure::Timeout);
                }
                Err(RaftError::APIError(
                    ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_),
                )) => unreachable!("a command neither changes members nor has preconditions of raft's"),
                Err(RaftError::Fatal(_)) => return Err(ProposeFailure::Stopped),
            };
            if leader.is_some_and(|leader| leader != self.raft_id()) || !self.wait_for_leader(deadline).await {
                return Err(ProposeFailure::NotLeader { leader });
            }
        }
    }

    /// Waits a moment, or until leadership changes. False when the deadline came first.
    pub(super) async fn wait_for_leader(&self, deadline: tokio::time::Instant) -> bool {
        let mut leadership = self.leadership();
        leadership.mark_unchanged();
        // Cancel-safe: what was missed is tried anyway.
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => false,
            () = tokio::time::sleep(RETRY) => true,
            _ = leadership.changed() => true,
        }
    }
}
