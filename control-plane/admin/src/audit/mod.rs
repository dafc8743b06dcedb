//! The audit trail: what of a call goes into it, and the service `Audit` that lists it.
//!
//! Promise: a call that changes something leaves its entry in the command that it causes; the value of a key is shown
//! only after the entry that says so is committed; a call that was refused leaves one as long as there are not too many of
//! them, and is counted when there are. No entry holds a value, a token or a document. Absent: reads, but of secrets, and
//! calls that changed nothing; what nodes do unasked.

mod layer;
mod list;
mod origin;
mod recorder;
mod summary;
#[cfg(test)]
mod tests;

use sluice_proto::{
    admin::{ListAuditReply, ListAuditRequest},
    raft::{AuditEntry, Command, RecordCalls, Stamp, command},
};
use sluice_rpc::admin::audit_server;
use tonic::{Request, Response, Status};

pub use layer::{AuditLayer, Audited};
pub(crate) use origin::Origin;
pub(crate) use recorder::Recorder;
pub(crate) use summary::summarized;

use crate::{
    admin::Admin,
    call::Call,
    propose::{self, now_ms},
    refused::Refused,
    replica::Replica,
};

/// What an entry says of a call that was carried out; as apply writes it.
const DONE: &str = "done";

#[tonic::async_trait]
impl<R: Replica> audit_server::Audit for Admin<R> {
    async fn list(&self, request: Request<ListAuditRequest>) -> Result<Response<ListAuditReply>, Status> {
        let call = Call::of(&request);
        Ok(list::list(self, &call, request.into_inner()).await?)
    }
}

/// Commits the entry of a read of `what`, which is a secret; returns when it may be shown.
///
/// # Errors
/// When no leader has taken the entry before the caller's deadline.
pub(crate) async fn record_read<R: Replica>(admin: &Admin<R>, call: &Call, what: String) -> Result<(), Refused> {
    // Without an origin the call came by no port.
    let Some(mut audited) = call.audited() else { return Ok(()) };
    audited.rows = vec![what];
    let view = admin.replica.view();
    let time_ms = now_ms(view.stamp());
    let entry = AuditEntry {
        actor: call.actor.clone(),
        call: Some(audited),
        number: view.number(),
        outcome: DONE.to_owned(),
        time_ms,
        ..AuditEntry::default()
    };
    drop(view);
    let stamp = Stamp { actor: call.actor.clone(), time_ms, ..Stamp::default() };
    propose::anywhere(&admin.replica, record(stamp, vec![entry]), call.deadline).await.map(drop)
}

fn record(stamp: Stamp, entries: Vec<AuditEntry>) -> Command {
    Command { kind: Some(command::Kind::RecordCalls(RecordCalls { stamp: Some(stamp), entries })) }
}
