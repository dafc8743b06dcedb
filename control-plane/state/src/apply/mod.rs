//! Applying a command: the one way in which the replicated state changes.
//!
//! A command runs over a draft. It checks its preconditions as it goes; when one is lost its writes are forgotten and
//! the refusal is its outcome. When all hold, references are settled, what data nodes see is stamped with the next
//! number, and the writes stay. Either way the outcome is kept under the request's id.

mod api;
mod audit;
mod change;
mod cluster;
mod content;
mod deploy;
mod entry;
mod key;
mod node;
mod operator;
mod refcount;
mod refusal;
mod removal;
mod request;
mod restore;
mod rotation;
mod run;
mod settle;
mod staged;

use prost::Message;
use sluice_model::{LEVEL, limits};
use sluice_proto::raft::{Command, Done, Outcome, Rejected, Stamp, command::Kind, outcome, rejected::Code};

use crate::{draft::Draft, keys, level::level_of, rows, tables::Tables};

pub(crate) use self::{
    audit::{entry_of, has_aged, span},
    rotation::sealing_key,
    settle::GONE,
};
use self::{refusal::Flow, request::Request, run::Run};

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer: done, or a lost precondition.
    pub outcome: Outcome,
    /// What data nodes will see of it.
    pub changes: ChangeSet,
}

/// The numbers before and after a command; they differ when a row that data nodes see has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    /// Before the command.
    pub before: u64,
    /// After it: the same, or one more.
    pub after: u64,
}

/// How much the state holds and remembers. The same on every node: it decides what apply writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) changes_max: u64,
    pub(crate) change_key_bytes_max: u64,
    pub(crate) requests_max: u64,
    pub(crate) part_bytes_max: usize,
    pub(crate) audit_rows_max: u64,
    pub(crate) refused_rows_max: u64,
    pub(crate) removed_nodes_max: usize,
}

impl Bounds {
    pub(crate) const PRODUCT: Self = Self {
        changes_max: limits::CHANGES_MAX,
        change_key_bytes_max: limits::CHANGE_KEY_BYTES_MAX,
        requests_max: limits::REQUESTS_MAX,
        part_bytes_max: limits::PART_BYTES_MAX,
        audit_rows_max: limits::AUDIT_ROWS_MAX,
        refused_rows_max: limits::REFUSED_CALLS_MAX,
        removed_nodes_max: limits::REMOVED_NODES_MAX,
    };
}

/// Applies `command`, which stands at `log_index`, to `draft`.
///
/// Never panics on what a command holds: a malformed one is refused as `INVALID`. `log_index` must rise from command to
/// command; it becomes the version of the rows that the command writes.
pub fn apply<T: Tables>(draft: &mut Draft<'_, T>, log_index: u64, command: &Command) -> Applied {
    apply_within(Bounds::PRODUCT, draft, log_index, command)
}

/// Applies an encoded command, as the log holds it; bytes that are no command are refused as `INVALID`.
pub fn apply_encoded<T: Tables>(draft: &mut Draft<'_, T>, log_index: u64, command: &[u8]) -> Applied {
    let command = Command::decode(command).unwrap_or_default();
    apply(draft, log_index, &command)
}

pub(crate) fn apply_within<T: Tables>(
    bounds: Bounds,
    draft: &mut Draft<'_, T>,
    log_index: u64,
    command: &Command,
) -> Applied {
    let progress = rows::progress(draft);
    let before = progress.number;
    let unrecorded =
        |rejected: Box<Rejected>| Applied { outcome: refused(*rejected), changes: ChangeSet { before, after: before } };
    let stamp = match stamp_of(command) {
        Ok(stamp) => stamp,
        Err(rejected) => return unrecorded(rejected),
    };
    let stamp_ms = progress.stamp_ms.max(stamp.time_ms);
    let request = match request::find(draft, &progress, stamp, stamp_ms) {
        Ok(Request::Replay(outcome)) => {
            return Applied { outcome, changes: ChangeSet { before, after: before } };
        }
        Ok(Request::New(request)) => Some(request),
        Ok(Request::Unnamed) => None,
        Err(rejected) => return unrecorded(rejected),
    };
    let mut run = Run::new(bounds, draft, log_index, stamp_ms, progress.clone());
    let outcome = match execute(&mut run, command) {
        Ok(()) => {
            run.settle();
            run.audit(stamp);
            let done = Done { number: run.progress.number, version: log_index };
            Outcome { kind: Some(outcome::Kind::Done(done)) }
        }
        Err(rejected) => {
            run.draft.forget();
            run.progress = progress;
            run.forget_some_requests();
            refused(*rejected)
        }
    };
    run.progress.stamp_ms = stamp_ms;
    if let Some(request) = request {
        run.remember(&request, &outcome);
    }
    let after = run.progress.number;
    let progress = run.progress.encode_to_vec();
    draft.put(keys::PROGRESS.to_vec(), progress);
    draft.keep();
    Applied { outcome, changes: ChangeSet { before, after } }
}

fn refused(rejected: Rejected) -> Outcome {
    Outcome { kind: Some(outcome::Kind::Rejected(rejected)) }
}

/// The stamp that every command carries.
fn stamp_of(command: &Command) -> Flow<&Stamp> {
    // As one that does not decode: a release of this level knows nothing of it.
    if level_of(command) > LEVEL {
        return refusal::invalid("expected a command that this release knows, found another");
    }
    let stamp = match &command.kind {
        Some(Kind::Change(command)) => &command.stamp,
        Some(Kind::UploadContent(command)) => &command.stamp,
        Some(Kind::RaiseLevel(command)) => &command.stamp,
        Some(Kind::Trim(command)) => &command.stamp,
        Some(Kind::FoundCluster(command)) => &command.stamp,
        Some(Kind::PutNode(command)) => &command.stamp,
        Some(Kind::DeleteNode(command)) => &command.stamp,
        Some(Kind::PutJoinToken(command)) => &command.stamp,
        Some(Kind::DeleteJoinToken(command)) => &command.stamp,
        Some(Kind::UseJoinToken(command)) => &command.stamp,
        Some(Kind::RenewCertificate(command)) => &command.stamp,
        Some(Kind::RotateKey(command)) => &command.stamp,
        Some(Kind::Reseal(command)) => &command.stamp,
        Some(Kind::CreateOperator(command)) => &command.stamp,
        Some(Kind::ChangeOperator(command)) => &command.stamp,
        Some(Kind::DeleteOperator(command)) => &command.stamp,
        Some(Kind::RecordCalls(command)) => &command.stamp,
        Some(Kind::StageRestore(command)) => &command.stamp,
        Some(Kind::Restore(command)) => &command.stamp,
        Some(Kind::DropRestore(command)) => &command.stamp,
        Some(Kind::RemoveNode(command)) => &command.stamp,
        Some(Kind::HoldNode(command)) => &command.stamp,
        Some(Kind::Probe(command)) => &command.stamp,
        None => return refusal::invalid("expected a command that this release knows, found another"),
    };
    let Some(stamp) = stamp else { return refusal::invalid("expected a stamp on the command, found none") };
    if stamp.actor.len() > limits::ACTOR_BYTES_MAX {
        return refusal::invalid(format!("expected an actor of at most {} bytes", limits::ACTOR_BYTES_MAX));
    }
    if stamp.audit.as_ref().is_some_and(|call| call.encoded_len() > limits::AUDIT_CALL_BYTES_MAX) {
        return refusal::invalid(format!("expected an audited call of at most {} bytes", limits::AUDIT_CALL_BYTES_MAX));
    }
    Ok(stamp)
}

fn execute<T: Tables>(run: &mut Run<'_, '_, T>, command: &Command) -> Flow {
    if let Some(Kind::FoundCluster(command)) = &command.kind {
        return run.found(command);
    }
    if run.draft.get(keys::CLUSTER).is_none() {
        return refusal::invalid("expected a founded cluster, found none");
    }
    run.expect_level(level_of(command))?;
    match &command.kind {
        Some(Kind::Change(command)) => run.change(command),
        Some(Kind::UploadContent(command)) => run.upload(command),
        Some(Kind::RaiseLevel(command)) => run.raise_level(command),
        Some(Kind::Trim(_)) => {
            run.trim();
            Ok(())
        }
        Some(Kind::PutNode(command)) => run.put_node(command.node.as_ref()),
        Some(Kind::DeleteNode(command)) => run.delete_node(command),
        Some(Kind::RenewCertificate(command)) => run.renew_certificate(command),
        Some(Kind::RotateKey(command)) => run.rotate_key(command),
        Some(Kind::Reseal(command)) => run.reseal(command),
        Some(Kind::PutJoinToken(command)) => run.put_join_token(command.token.as_ref()),
        Some(Kind::DeleteJoinToken(command)) => run.delete_join_token(&command.id),
        Some(Kind::UseJoinToken(command)) => run.use_join_token(command),
        Some(Kind::CreateOperator(command)) => run.create_operator(command.operator.as_ref()),
        Some(Kind::ChangeOperator(command)) => run.change_operator(command),
        Some(Kind::DeleteOperator(command)) => run.delete_operator(&command.name),
        Some(Kind::RecordCalls(command)) => run.record_calls(command),
        Some(Kind::StageRestore(command)) => run.stage_restore(command),
        Some(Kind::Restore(command)) => run.restore(command),
        Some(Kind::DropRestore(command)) => run.drop_restore(command),
        Some(Kind::RemoveNode(command)) => run.remove_node(command.node.as_ref()),
        Some(Kind::HoldNode(command)) => run.hold_node(&command.node_id, command.held),
        Some(Kind::Probe(command)) => run.probe(&command.text),
        Some(Kind::FoundCluster(_)) | None => refusal::refuse(Code::Invalid, "expected a known command"),
    }
}
