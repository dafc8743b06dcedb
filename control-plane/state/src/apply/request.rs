//! Request ids: the same request gets the same answer, and runs once.
//!
//! An id is a UUIDv7, so its own time says whether it may have been forgotten: one that is not known and not younger
//! than what was forgotten is refused, as its outcome is unknown.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{Outcome, Progress, RequestRow, Stamp, rejected::Code};

use super::{
    refusal::{Flow, invalid, refuse},
    run::Run,
};
use crate::{keys, rows, tables::Tables};

/// What is known of a command's request.
pub(super) enum Request {
    /// The command has none.
    Unnamed,
    /// Not seen before.
    New(NewRequest),
    /// Seen: this was the answer.
    Replay(Outcome),
}

/// A request that is to be remembered.
pub(super) struct NewRequest {
    key: Vec<u8>,
    hash: bytes::Bytes,
    time_ms: u64,
}

/// Looks a command's request up.
pub(super) fn find<T: Tables>(tables: &T, progress: &Progress, stamp: &Stamp, stamp_ms: u64) -> Flow<Request> {
    let Some(request) = &stamp.request else { return Ok(Request::Unnamed) };
    let Ok(id) = <[u8; 16]>::try_from(&request.id[..]) else {
        return invalid("expected a request id of 16 bytes");
    };
    if request.hash.len() != 32 {
        return invalid("expected a request hash of 32 bytes");
    }
    let key = keys::request(&stamp.actor, &id);
    if let Some(known) = rows::read::<_, RequestRow>(tables, &key) {
        if known.hash != request.hash {
            return refuse(Code::RequestReused, "expected a new request id for another request, found a used one");
        }
        return Ok(Request::Replay(known.outcome.unwrap_or_default()));
    }
    let Some(made_ms) = uuid_time_ms(&id) else { return invalid("expected a request id that is a UUIDv7") };
    if progress.requests_trimmed_ms > 0 && made_ms <= progress.requests_trimmed_ms {
        let message = "expected a request id of the last 10 minutes, found an older one; its outcome is unknown";
        return refuse(Code::RequestTooOld, message);
    }
    if made_ms > stamp_ms.saturating_add(limits::REQUEST_MS_MAX) {
        return invalid("expected a request id made by now, found one of the future; set the caller's clock");
    }
    Ok(Request::New(NewRequest { key, hash: request.hash.clone(), time_ms: made_ms.max(stamp_ms) }))
}

/// The time in a UUIDv7, milliseconds since the epoch; `None` for another version (RFC 9562, section 5.7).
fn uuid_time_ms(id: &[u8; 16]) -> Option<u64> {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&id[..6]);
    (id[6] >> 4 == 7).then(|| u64::from_be_bytes(time))
}

impl<T: Tables> Run<'_, '_, T> {
    /// Remembers the outcome of a request.
    pub(super) fn remember(&mut self, request: &NewRequest, outcome: &Outcome) {
        let row = RequestRow { hash: request.hash.clone(), outcome: Some(outcome.clone()), time_ms: request.time_ms };
        self.draft.put(keys::request_time(request.time_ms, &request.key), Vec::new());
        self.draft.put(request.key.clone(), row.encode_to_vec());
        let due = request.time_ms.saturating_add(limits::REQUEST_MS_MAX);
        let progress = &mut self.progress;
        progress.requests_next_ms = if progress.requests == 0 { due } else { progress.requests_next_ms.min(due) };
        progress.requests += 1;
    }

    /// Forgets a few requests when there are some to forget, so that every command pays for its own.
    pub(super) fn forget_some_requests(&mut self) {
        let progress = &self.progress;
        let due = progress.requests > 0 && self.stamp_ms >= progress.requests_next_ms.saturating_add(1_000);
        if progress.requests > self.bounds.requests_max || due {
            self.forget_requests(limits::REQUESTS_TRIM_BATCH);
        }
    }

    /// Forgets requests that have aged or are too many, the oldest first and at most `most`.
    pub(super) fn forget_requests(&mut self, most: usize) {
        let from = keys::request_times_from(self.progress.requests_trimmed_ms);
        let oldest: Vec<_> = self.draft.scan(&from, &keys::request_times_end()).take(most + 1).collect();
        let mut next_ms = 0;
        for (forgotten, (key, _)) in oldest.into_iter().enumerate() {
            let Some((time_ms, request)) = keys::request_time_of(&key) else { continue };
            let due_ms = time_ms.saturating_add(limits::REQUEST_MS_MAX);
            let goes = self.progress.requests > self.bounds.requests_max || due_ms <= self.stamp_ms;
            if forgotten == most || !goes {
                next_ms = due_ms;
                break;
            }
            self.draft.delete(key);
            self.draft.delete(request);
            self.progress.requests -= 1;
            self.progress.requests_trimmed_ms = self.progress.requests_trimmed_ms.max(time_ms);
        }
        self.progress.requests_next_ms = next_ms;
    }
}
