//! `Keys.ImportCsv`: a thousand rows a commit.
//!
//! Promise: a row that is wrong costs only itself; sending the same file again goes on where the first stopped, since
//! keys that exist with the same value and name are left alone. Not one revision; AWS's import is not atomic either.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::Stream;
use sluice_model::limits::{DIAGNOSTICS_MAX, IMPORT_BYTES_MAX, KEY_IMPORT_ROWS};
use sluice_proto::{
    admin::{
        ImportCsvProgress, ImportCsvReply, ImportCsvRequest, ImportCsvResult, ImportCsvStart, import_csv_reply,
        import_csv_request,
    },
    model::Diagnostic,
    raft::{RequestId, Stamp},
};
use sluice_state::View;
use tokio::sync::mpsc;
use tonic::Status;

use crate::{
    admin::Admin,
    call::Call,
    commit::{Done, How, OnRace, Place, Weight, commit, derived_id},
    ids::Ids,
    imports,
    keys::{
        batch::{self, Told},
        csv::{self, KeyRow},
    },
    refused::{Reason, Refused, fault},
    replica::Replica,
};

/// Bytes of one entry of the log that the rows of one commit may fill: a row is at most about 1.5 KiB with its seal.
const BATCH_BYTES_MAX: usize = 256 * 1024;

type Replies = mpsc::Sender<Result<ImportCsvReply, Status>>;

/// Carries out one import; the last reply is returned, those before it go to `replies`.
pub(super) async fn import<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    mut requests: impl Stream<Item = Result<ImportCsvRequest, Status>> + Unpin,
    replies: &Replies,
    place: imports::Place,
) -> Result<ImportCsvReply, Refused> {
    let start = started(&mut requests).await?;
    let bytes = received(&mut requests).await?;
    let request = call.request_id_of(&start.request_id, blake3::hash(&bytes).as_bytes())?;
    // Held by the thread too, which may outlive the call.
    let reading = {
        let place = place.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            csv::read(&bytes)
        })
    };
    let read =
        reading.await.map_err(|error| Refused::new(Reason::Unavailable, format!("reading ended: {error}")))??;
    let mut result = ImportCsvResult::default();
    report(&mut result, read.faults);
    let mut rows_done = 0;
    for rows in batches(read.rows) {
        rows_done += rows.len() as u64;
        let told = commit_batch(admin, call, &request, rows.into()).await?;
        result.created += told.created;
        result.unchanged += told.unchanged;
        report(&mut result, told.faults);
        let progress = import_csv_reply::Kind::Progress(ImportCsvProgress { rows_done });
        // A caller that is gone hears nothing; the import is stopped where it was started.
        let _ = replies.send(Ok(ImportCsvReply { kind: Some(progress) })).await;
    }
    in_order(&mut result.diagnostics);
    crate::commit::barrier(&admin.replica, call.deadline).await?;
    result.revision = Some(admin.replica.view().revision().into());
    Ok(ImportCsvReply { kind: Some(import_csv_reply::Kind::Result(result)) })
}

/// Commits some rows. When apply refuses them all, each is tried by itself, so that only the wrong one is lost.
async fn commit_batch<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    request: &RequestId,
    rows: Arc<[KeyRow]>,
) -> Result<Told, Refused> {
    match commit_rows(admin, call, request, b"rows", rows.clone()).await {
        Err(refused) if is_of_a_row(&refused) => {
            let mut told = Told::default();
            for row in rows.iter() {
                match commit_rows(admin, call, request, b"row", Arc::from([row.clone()])).await {
                    Ok(one) => {
                        told.created += one.created;
                        told.unchanged += one.unchanged;
                        told.faults.extend(one.faults);
                    }
                    Err(refused) if is_of_a_row(&refused) => {
                        let at = format!("lines[{}]", row.line);
                        told.faults.push(fault(refused.reason.code(), at, refused.message, ""));
                    }
                    Err(refused) => return Err(refused),
                }
            }
            Ok(told)
        }
        other => other,
    }
}

/// Whether a refusal is about rows: not about the cluster, the deadline or the request.
fn is_of_a_row(refused: &Refused) -> bool {
    matches!(
        refused.reason,
        Reason::Conflict | Reason::NotFound | Reason::Referenced | Reason::Invalid | Reason::VersionChanged
    )
}

async fn commit_rows<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    request: &RequestId,
    purpose: &[u8],
    rows: Arc<[KeyRow]>,
) -> Result<Told, Refused> {
    let first = rows.first().map_or(0, |row| row.line);
    let id = derived_id(&request.id, purpose, first);
    let ids = Ids::of_request(&call.actor, &id);
    let request = RequestId { id: id.into(), hash: request.hash.clone() };
    let how = How { place: Place::Anywhere, weight: Weight::Heavy, on_race: OnRace::Again };
    // What the last plan said: a replay is told what the first execution would have been told.
    let last: Arc<Mutex<Told>> = Arc::default();
    let plan = {
        let (tools, rows, last) = (admin.tools.clone(), rows.clone(), last.clone());
        move |view: View<R::Tables>, stamp: &Stamp, _| {
            let intent = batch::plan(view, &tools, &mut ids.clone(), stamp, &rows)?;
            last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&intent.told);
            Ok(intent)
        }
    };
    match commit(&admin.replica, call, request, how, plan, &|_, _| {}).await? {
        Done::Committed(told, _) | Done::Nothing(told) => Ok(told),
        Done::Replayed(_) => {
            let planned = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let known = rows.len() as u64 - planned.faults.len().min(rows.len()) as u64;
            // They are there, made by an earlier execution of this import.
            Ok(Told { created: 0, unchanged: known, faults: planned.faults })
        }
    }
}

async fn started(
    requests: &mut (impl Stream<Item = Result<ImportCsvRequest, Status>> + Unpin),
) -> Result<ImportCsvStart, Refused> {
    match imports::next(requests).await? {
        Some(ImportCsvRequest { kind: Some(import_csv_request::Kind::Start(start)) }) => Ok(start),
        Some(_) | None => Err(Refused::invalid("start", "expected the start of an import first", "")),
    }
}

async fn received(
    requests: &mut (impl Stream<Item = Result<ImportCsvRequest, Status>> + Unpin),
) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    while let Some(request) = imports::next(requests).await? {
        let Some(import_csv_request::Kind::Chunk(chunk)) = request.kind else {
            return Err(Refused::invalid("chunk", "expected a piece of the file, found something else", ""));
        };
        if bytes.len() + chunk.len() > IMPORT_BYTES_MAX {
            let message = format!("expected at most {IMPORT_BYTES_MAX} bytes, found more");
            return Err(Refused::invalid("file", message, "split the file"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Rows in commits: a thousand each, fewer where they are large.
fn batches(rows: Vec<KeyRow>) -> Vec<Vec<KeyRow>> {
    let mut batches: Vec<Vec<KeyRow>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let size = row.name.len()
            + row.value.len()
            + row.description.as_ref().map_or(0, String::len)
            + row.plan_ids.iter().map(|id| 2 * id.len() + 64).sum::<usize>();
        match batches.last_mut() {
            Some(batch) if batch.len() < KEY_IMPORT_ROWS && bytes + size <= BATCH_BYTES_MAX => {
                batch.push(row);
                bytes += size;
            }
            _ => {
                bytes = size;
                batches.push(vec![row]);
            }
        }
    }
    batches
}

/// By line: faults of the file are found before those of what the cluster holds.
fn in_order(diagnostics: &mut [Diagnostic]) {
    let line = |one: &Diagnostic| {
        let number = one.at.strip_prefix("lines[")?.split(']').next()?;
        number.parse::<u64>().ok()
    };
    diagnostics.sort_by_key(line);
}

/// Counts faults, and lists as many as are allowed.
fn report(result: &mut ImportCsvResult, faults: Vec<Diagnostic>) {
    result.failed += faults.len() as u64;
    let room = DIAGNOSTICS_MAX.saturating_sub(result.diagnostics.len());
    result.diagnostics.extend(faults.into_iter().take(room));
}
