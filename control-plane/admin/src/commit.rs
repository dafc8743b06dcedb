//! One request from plan to outcome: planned on a view, uploaded, proposed, and planned again when a race was lost.
//!
//! Promise: a request is carried out once, however often it is asked: an outcome that is known is answered, a lost race
//! is tried again under an id derived from the request's, so that a replay follows the same way. A refusal, and that
//! there is nothing to do, are judged on a state that is not older than the call. Absent: what is planned.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use sluice_model::limits;
use sluice_proto::raft::{Outcome, RequestId, RowChange, Stamp, outcome};
use sluice_state::View;

use crate::{
    call::Call,
    contents::{Uploads, upload_commands},
    propose::{self, Committed},
    refused::{Reason, Refused},
    replica::Replica,
};

/// Times that one request is planned and proposed. Of the writers that meet on one API one wins each time: as many as
/// there may be at once.
const ATTEMPTS_MAX: u32 = 128;
/// Uploads under way at once.
const UPLOADS_MAX: usize = 4;

/// What a plan wants done.
#[derive(Debug)]
pub(crate) struct Intent<P> {
    pub(crate) uploads: Uploads,
    /// One change; nothing is proposed when there are none.
    pub(crate) rows: Vec<RowChange>,
    /// What the caller is told when it is done.
    pub(crate) told: P,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Done<P> {
    /// The plan is in force.
    Committed(P, Committed),
    /// An earlier execution of the same request is.
    Replayed(Committed),
    /// There was nothing to do.
    Nothing(P),
}

/// How a request is carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) place: Place,
    pub(crate) weight: Weight,
    pub(crate) on_race: OnRace,
}

/// Where it is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this node, which leads.
    Here,
    /// At whichever node leads.
    Anywhere,
}

/// How long planning takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A few reads: on the spot.
    Light,
    /// It reads or compiles an API: on a blocking thread.
    Heavy,
}

/// What a lost race means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRace {
    /// Plan again: the caller did not say which version it expects.
    Again,
    /// Refuse: the caller did.
    Refuse,
}

/// Carries out the request `request` by `plan`, which is given a view, the stamp and the number of the attempt.
/// `uploaded` hears how many of the uploads are done.
///
/// # Errors
/// What the plan or apply refuses, or that no outcome came before the deadline.
pub(crate) async fn commit<R, P, F>(
    replica: &R,
    call: &Call,
    request: RequestId,
    how: How,
    plan: F,
    uploaded: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Done<P>, Refused>
where
    R: Replica,
    P: Send + 'static,
    F: Fn(View<R::Tables>, &Stamp, u32) -> Result<Intent<P>, Refused> + Clone + Send + 'static,
{
    let mut last = Refused::new(Reason::VersionChanged, "others kept changing the same rows; try again");
    let mut fresh = false;
    let mut attempt = 0;
    while attempt < ATTEMPTS_MAX {
        if how.place == Place::Anywhere && !fresh {
            barrier(replica, call.deadline).await?;
            fresh = true;
        }
        let request = RequestId { id: attempt_id(&request.id, attempt).into(), hash: request.hash.clone() };
        match known(&replica.view(), &call.actor, &request)? {
            Some(Ok(committed)) => return Ok(Done::Replayed(committed)),
            Some(Err(refused)) if again(&refused, how, attempt) => {
                last = refused;
                attempt += 1;
                continue;
            }
            Some(Err(refused)) => return Err(refused),
            None => {}
        }
        let (intent, stamp) = match planned(replica, call, &request, how, plan.clone(), attempt).await {
            Ok(planned) => planned,
            // Judged on a view that may be old, of which this very request may be a part by now.
            Err(_) if !fresh => {
                barrier(replica, call.deadline).await?;
                fresh = true;
                continue;
            }
            Err(refused) => return Err(refused),
        };
        if intent.rows.is_empty() {
            if fresh {
                return Ok(Done::Nothing(intent.told));
            }
            // A claim about what is there, made on a view that may lack what was acknowledged before the call.
            barrier(replica, call.deadline).await?;
            fresh = true;
            continue;
        }
        upload(replica, intent.uploads, &stamp, how.place, call.deadline, uploaded).await?;
        match propose_change(replica, stamp, intent.rows, how.place, call.deadline).await {
            Ok(committed) if committed.replayed => return Ok(Done::Replayed(committed)),
            Ok(committed) => return Ok(Done::Committed(intent.told, committed)),
            Err(refused) if again(&refused, how, attempt) => {
                last = refused;
                attempt += 1;
                fresh = false;
            }
            Err(refused) => return Err(refused),
        }
    }
    Err(last)
}

/// Plans on the state as this node has it now.
async fn planned<R, P, F>(
    replica: &R,
    call: &Call,
    request: &RequestId,
    how: How,
    plan: F,
    attempt: u32,
) -> Result<(Intent<P>, Stamp), Refused>
where
    R: Replica,
    P: Send + 'static,
    F: Fn(View<R::Tables>, &Stamp, u32) -> Result<Intent<P>, Refused> + Send + 'static,
{
    let view = replica.view();
    let time_ms = propose::now_ms(view.stamp());
    let stamp = call.stamp(time_ms, Some(request.clone()));
    let intent = match how.weight {
        Weight::Light => plan(view, &stamp, attempt)?,
        Weight::Heavy => {
            let stamp = stamp.clone();
            let planning = tokio::task::spawn_blocking(move || plan(view, &stamp, attempt));
            planning.await.map_err(|error| Refused::new(Reason::Unavailable, format!("planning ended: {error}")))??
        }
    };
    Ok((intent, stamp))
}

/// Sends uploads ahead of a change, contents before the parts that name them.
pub(crate) async fn upload<R: Replica>(
    replica: &R,
    uploads: Uploads,
    stamp: &Stamp,
    place: Place,
    deadline: Instant,
    uploaded: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<(), Refused> {
    let contents = upload_commands(Uploads { parts: Vec::new(), ..uploads.clone() }, stamp);
    let parts = upload_commands(Uploads { contents: Vec::new(), ..uploads }, stamp);
    let total = contents.len() + parts.len();
    let mut done = 0;
    for commands in [contents, parts] {
        let sent = commands.into_iter().map(|command| propose_at(replica, command, place, deadline));
        let mut sent = stream::iter(sent).buffer_unordered(UPLOADS_MAX);
        while let Some(outcome) = sent.next().await {
            outcome?;
            done += 1;
            uploaded(done, total);
        }
    }
    Ok(())
}

async fn propose_change<R: Replica>(
    replica: &R,
    stamp: Stamp,
    rows: Vec<RowChange>,
    place: Place,
    deadline: Instant,
) -> Result<Committed, Refused> {
    let command = propose::change(stamp, rows);
    let bytes = command.encoded_len();
    if bytes > limits::ENTRY_BYTES_MAX {
        let message = format!("the change has {bytes} bytes, at most {} fit in one", limits::ENTRY_BYTES_MAX);
        return Err(Refused::new(Reason::Capacity, format!("{message}; make it in several")));
    }
    propose_at(replica, command, place, deadline).await
}

async fn propose_at<R: Replica>(
    replica: &R,
    command: sluice_proto::raft::Command,
    place: Place,
    deadline: Instant,
) -> Result<Committed, Refused> {
    match place {
        Place::Here => propose::here(replica, command, deadline).await,
        Place::Anywhere => propose::anywhere(replica, command, deadline).await,
    }
}

/// Waits until this node's view holds everything that was committed before.
pub(crate) async fn barrier<R: Replica>(replica: &R, deadline: Instant) -> Result<(), Refused> {
    let waited = replica.read_barrier(crate::call::leave_by(deadline)).await;
    waited.map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))
}

/// The outcome of an earlier execution, if it is known.
fn known<T: sluice_state::Tables>(
    view: &View<T>,
    actor: &str,
    request: &RequestId,
) -> Result<Option<Result<Committed, Refused>>, Refused> {
    let id: [u8; 16] = match request.id.as_ref().try_into() {
        Ok(id) => id,
        Err(_) => return Ok(None),
    };
    let Some(row) = view.request(actor, &id) else { return Ok(None) };
    if row.hash != request.hash {
        let message = "this request id was used for another request; make a new one";
        return Err(Refused::new(Reason::RequestReused, message));
    }
    Ok(match row.outcome {
        Some(Outcome { kind: Some(outcome::Kind::Done(done)) }) => {
            Some(Ok(Committed { number: done.number, version: done.version, replayed: true }))
        }
        Some(Outcome { kind: Some(outcome::Kind::Rejected(rejected)) }) => Some(Err(rejected.into())),
        Some(Outcome { kind: None }) | None => None,
    })
}

/// Whether a refusal of apply means that the plan was made on a state that has changed since.
fn again(refused: &Refused, how: How, attempt: u32) -> bool {
    match (how.on_race, refused.reason) {
        (OnRace::Refuse, _) => false,
        (OnRace::Again, Reason::VersionChanged) => true,
        // What the plan saw has gone, or an upload was trimmed: once more; the plan then says what is missing.
        (OnRace::Again, Reason::NotFound) => attempt == 0,
        (OnRace::Again, _) => false,
    }
}

/// The request id of the `attempt`th try: the caller's, then ids of the same time made from it.
fn attempt_id(id: &[u8], attempt: u32) -> Vec<u8> {
    if attempt == 0 {
        return id.to_vec();
    }
    derived_id(id, b"attempt", u64::from(attempt))
}

/// A request id of the same time as `id`, made from it: UUIDv7 keeps its time in the first six bytes (RFC 9562, 5.7).
pub(crate) fn derived_id(id: &[u8], purpose: &[u8], number: u64) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("sluice derived request ids v1");
    hasher.update(id).update(purpose).update(&number.to_le_bytes());
    let mut derived = hasher.finalize().as_bytes()[..16].to_vec();
    let kept = id.len().min(6);
    derived[..kept].copy_from_slice(&id[..kept]);
    derived[6] = 0x70 | (derived[6] & 0x0f);
    derived[8] = 0x80 | (derived[8] & 0x3f);
    derived
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::new_request_id;

    #[test]
    fn derived_ids_are_uuids_of_version_7_and_of_the_same_time() {
        let id = new_request_id();
        let second = derived_id(&id, b"attempt", 1);
        assert_eq!(second[..6], id[..6]);
        assert_eq!(uuid::Uuid::from_slice(&second).unwrap().get_version_num(), 7);
        assert_ne!(second, derived_id(&id, b"attempt", 2));
        assert_eq!(attempt_id(&id, 0), id);
    }
}
