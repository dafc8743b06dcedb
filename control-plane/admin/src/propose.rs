//! Commands on their way into the log: stamped, proposed here or at the leader, and their outcome in the caller's words.
//!
//! Promise: a command with a request id may be proposed any number of times and is applied once; waiting ends with the
//! caller's deadline. Absent: what commands say.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_proto::raft::{Command, Outcome, ProposeRequest, Stamp, command, outcome};
use sluice_raft::ProposeFailure;
use tonic::Code;

use crate::{
    audit::summarized,
    call::leave_by,
    plan::above,
    refused::{Reason, Refused, is_of},
    replica::{Applied, Leader, Replica},
    succession::unless_replaced,
};

const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A command that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The number after it.
    pub(crate) number: u64,
    /// The version of every row it wrote.
    pub(crate) version: u64,
    /// Whether an earlier proposal with the same request id was applied instead.
    pub(crate) replayed: bool,
}

/// Proposes at this node.
///
/// # Errors
/// What apply refused; `NotLeader` when another node leads; `OutcomeUnknown` at the deadline.
pub(crate) async fn here<R: Replica>(replica: &R, command: Command, deadline: Instant) -> Result<Committed, Refused> {
    let command = summarized(command);
    match replica.propose(command, leave_by(deadline)).await {
        Ok(applied) => committed(applied),
        Err(failure) => Err(refusal(replica, &failure)),
    }
}

/// Proposes at this node or, if another leads, there; until a leader has answered or the deadline is over.
///
/// # Errors
/// As [`here`], but never `NotLeader`.
pub(crate) async fn anywhere<R: Replica>(
    replica: &R,
    command: Command,
    deadline: Instant,
) -> Result<Committed, Refused> {
    let command = summarized(command);
    let leave = leave_by(deadline);
    let mut pause = PAUSE_FIRST;
    loop {
        let tried = match replica.leader() {
            Leader::This => match replica.propose(command.clone(), leave).await {
                Ok(applied) => Some(committed(applied)),
                Err(ProposeFailure::NotLeader { .. }) => None,
                Err(failure) => Some(Err(refusal(replica, &failure))),
            },
            Leader::Other(leader) => at(replica, leader, &command, leave).await,
            Leader::Unknown => None,
        };
        if let Some(answer) = tried {
            return answer;
        }
        if Instant::now() + pause >= leave {
            return Err(Refused::new(
                Reason::Unavailable,
                "no leader answered before the deadline; is a majority of the control nodes running?",
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Proposes at `leader`; none when it has to be tried again.
async fn at<R: Replica>(
    replica: &R,
    leader: u64,
    command: &Command,
    deadline: Instant,
) -> Option<Result<Committed, Refused>> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let request = ProposeRequest { command: Some(command.clone()), timeout_ms };
    match unless_replaced(replica, leader, replica.propose_at(leader, request, deadline)).await {
        Ok(reply) if reply.not_leader => None,
        Ok(reply) => {
            let outcome = reply.outcome.unwrap_or_default();
            Some(committed(Applied { outcome, log_index: reply.log_index }))
        }
        Err(status) if matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown) => None,
        Err(status) if status.code() == Code::DeadlineExceeded => Some(Err(refusal(replica, &ProposeFailure::Timeout))),
        Err(status) if is_of(&status, Reason::DiskFull) => Some(Err(Refused::new(Reason::DiskFull, status.message()))),
        Err(status) if is_of(&status, Reason::Level) => Some(Err(Refused::new(Reason::Level, status.message()))),
        Err(status) if status.code() == Code::ResourceExhausted => {
            Some(Err(Refused::new(Reason::Capacity, status.message())))
        }
        Err(status) => Some(Err(Refused::new(Reason::Unavailable, status.message()))),
    }
}

fn committed(applied: Applied) -> Result<Committed, Refused> {
    let Applied { outcome: Outcome { kind }, log_index } = applied;
    match kind {
        Some(outcome::Kind::Done(done)) => {
            let replayed = done.version != log_index;
            Ok(Committed { number: done.number, version: done.version, replayed })
        }
        Some(outcome::Kind::Rejected(rejected)) => Err(rejected.into()),
        None => Err(Refused::new(Reason::Unavailable, "the leader is of a release whose outcome is not understood")),
    }
}

pub(crate) fn refusal<R: Replica>(replica: &R, failure: &ProposeFailure) -> Refused {
    match failure {
        ProposeFailure::NotLeader { .. } => Refused::new(Reason::NotLeader, failure.to_string()),
        ProposeFailure::Timeout => Refused::new(
            Reason::OutcomeUnknown,
            "no outcome before the deadline; the change may have been made: ask again with the same request id",
        ),
        ProposeFailure::TooLarge { .. } => Refused::new(Reason::Capacity, failure.to_string()),
        ProposeFailure::Level { needed, level } => above("command", *needed, *level, &replica.view()),
        ProposeFailure::DiskFull { .. } => Refused::new(Reason::DiskFull, failure.to_string()),
        ProposeFailure::Stopped => Refused::new(Reason::Unavailable, failure.to_string()),
    }
}

/// Milliseconds since the epoch, never before `previous`.
pub(crate) fn now_ms(previous: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(previous)
}

/// The command with the time of its stamp set to now.
pub(crate) fn stamped(mut command: Command, previous: u64) -> Command {
    if let Some(stamp) = stamp_of(&mut command) {
        stamp.time_ms = now_ms(previous);
    }
    command
}

/// The stamp that a command carries.
pub(crate) fn stamp_of(command: &mut Command) -> Option<&mut Stamp> {
    use command::Kind;
    match command.kind.as_mut()? {
        Kind::Change(command) => command.stamp.as_mut(),
        Kind::UploadContent(command) => command.stamp.as_mut(),
        Kind::RaiseLevel(command) => command.stamp.as_mut(),
        Kind::Trim(command) => command.stamp.as_mut(),
        Kind::FoundCluster(command) => command.stamp.as_mut(),
        Kind::PutNode(command) => command.stamp.as_mut(),
        Kind::DeleteNode(command) => command.stamp.as_mut(),
        Kind::PutJoinToken(command) => command.stamp.as_mut(),
        Kind::DeleteJoinToken(command) => command.stamp.as_mut(),
        Kind::UseJoinToken(command) => command.stamp.as_mut(),
        Kind::RenewCertificate(command) => command.stamp.as_mut(),
        Kind::RotateKey(command) => command.stamp.as_mut(),
        Kind::Reseal(command) => command.stamp.as_mut(),
        Kind::CreateOperator(command) => command.stamp.as_mut(),
        Kind::ChangeOperator(command) => command.stamp.as_mut(),
        Kind::DeleteOperator(command) => command.stamp.as_mut(),
        Kind::RecordCalls(command) => command.stamp.as_mut(),
        Kind::StageRestore(command) => command.stamp.as_mut(),
        Kind::Restore(command) => command.stamp.as_mut(),
        Kind::DropRestore(command) => command.stamp.as_mut(),
        Kind::RemoveNode(command) => command.stamp.as_mut(),
        Kind::HoldNode(command) => command.stamp.as_mut(),
        Kind::Probe(command) => command.stamp.as_mut(),
    }
}

/// Turns a change of rows into a command.
pub(crate) fn change(stamp: Stamp, rows: Vec<sluice_proto::raft::RowChange>) -> Command {
    Command { kind: Some(command::Kind::Change(sluice_proto::raft::Change { stamp: Some(stamp), rows })) }
}
