//! `Audit.List`: the trail, newest first.

use sluice_proto::{
    admin::{AuditLine, ListAuditReply, ListAuditRequest},
    raft::AuditEntry,
};
use sluice_state::{AuditKey, Tables, View};
use tonic::Response;
use uuid::Uuid;

use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    read,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Entries that one page looks at, however few of them are asked for: a page may be short, and even empty.
const LOOKED_AT_MAX: usize = 20_000;

/// Lists entries, a page at a time.
pub(super) async fn list<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ListAuditRequest,
) -> Result<Response<ListAuditReply>, Refused> {
    let size = read::page_size(message.page_size)?;
    let before = PageToken::parse(message.page_token.as_deref())?.and_then(|token| token.0.into_iter().next());
    let before = before.map(|key| AuditKey::new(&key));
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let (stale, number) = (message.stale, view.number());
    let reading = tokio::task::spawn_blocking(move || page(&view, before.as_ref(), &Wanted::of(message), size));
    let reply = reading.await.map_err(|error| Refused::new(Reason::Unavailable, format!("reading ended: {error}")))?;
    Ok(admin.answer(stale, number, reply))
}

fn page<T: Tables>(view: &View<T>, before: Option<&AuditKey>, wanted: &Wanted, size: usize) -> ListAuditReply {
    let mut reply = ListAuditReply::default();
    for (looked_at, (key, entry)) in view.audit(before).enumerate() {
        // Times fall with the keys, but for refused calls, which are recorded a little later than they were made.
        if wanted.is_over(&entry) {
            break;
        }
        if wanted.has(&entry) {
            reply.items.push(line(entry));
        }
        if reply.items.len() == size || looked_at + 1 == LOOKED_AT_MAX {
            reply.next_page_token = PageToken(vec![key.as_str().to_owned()]).to_text();
            break;
        }
    }
    reply
}

/// A call that was refused is recorded within this time.
const LATE_MS_MAX: u64 = 60_000;

/// What a list is asked for.
struct Wanted {
    since_ms: u64,
    actor: Option<String>,
    method: Option<String>,
    outcome: Option<String>,
}

impl Wanted {
    fn of(message: ListAuditRequest) -> Self {
        Self {
            since_ms: message.since_ms.unwrap_or(0),
            actor: message.actor,
            method: message.method.map(|method| method.to_lowercase()),
            outcome: message.outcome,
        }
    }

    /// Whether no older entry can be wanted.
    fn is_over(&self, entry: &AuditEntry) -> bool {
        entry.time_ms.saturating_add(LATE_MS_MAX) < self.since_ms
    }

    fn has(&self, entry: &AuditEntry) -> bool {
        let method = entry.call.as_ref().map_or("", |call| call.method.as_str());
        entry.time_ms >= self.since_ms
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.outcome.as_ref().is_none_or(|outcome| entry.outcome == *outcome)
            && self.method.as_ref().is_none_or(|wanted| method.to_lowercase().contains(wanted))
    }
}

fn line(entry: AuditEntry) -> AuditLine {
    let call = entry.call.unwrap_or_default();
    AuditLine {
        time_ms: entry.time_ms,
        actor: entry.actor,
        role: call.role,
        address: call.address,
        taken_by: call.taken_by,
        method: call.method,
        rows: call.rows,
        more_rows: call.more_rows,
        request_id: Uuid::from_slice(&entry.request_id).map(|id| id.to_string()).unwrap_or_default(),
        number: entry.number,
        outcome: entry.outcome,
        count: entry.count.max(1),
        dropped: entry.dropped,
    }
}
