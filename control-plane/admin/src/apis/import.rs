//! `Apis.Import`: an API description to an API, as one revision.
//!
//! Received, inflated and parsed on the node that took the call, on a blocking thread; checked as a whole; uploaded in
//! pieces that no one sees; then one change replaces the API's parts. Promise: a file with an error changes nothing.

use std::sync::Arc;

use futures_util::Stream;
use sluice_model::limits::IMPORT_BYTES_MAX;
use sluice_openapi::Options;
use sluice_proto::{
    admin::{ImportProgress, ImportReply, ImportRequest, ImportResult, ImportStart, import_reply, import_request},
    model::Diagnostic,
    raft::{ReplaceParts, RowChange, Stamp, row_change},
};
use sluice_state::{Tables, View};
use tokio::sync::mpsc;
use tonic::Status;

use crate::{
    admin::Admin,
    apis::inflate::{inflated, too_large},
    call::Call,
    commit::{Done, How, Intent, OnRace, Place, Weight, barrier, commit},
    contents::{Contents, Owner, Parts, merged, settled},
    ids::Ids,
    imports,
    plan::seconds,
    read,
    refused::{Reason, Refused},
    replica::Replica,
};

/// A progress message is sent for about this many received bytes.
const PROGRESS_BYTES: u64 = 1024 * 1024;

type Replies = mpsc::Sender<Result<ImportReply, Status>>;

/// How an update treats what the file does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Overwrite,
    Merge,
}

/// A parsed file, with what the caller said about it.
struct Parsed {
    contents: Contents,
    warnings: Vec<Diagnostic>,
    api_id: String,
    /// Update this API; none creates one.
    update: Option<Mode>,
    /// The name that the caller gave.
    name: Option<String>,
}

/// What a plan of an import tells.
struct Told {
    result: ImportResult,
}

/// Carries out one import; the last reply is returned, those before it go to `replies`.
pub(super) async fn import<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    mut requests: impl Stream<Item = Result<ImportRequest, Status>> + Unpin,
    replies: &Replies,
    place: imports::Place,
) -> Result<ImportReply, Refused> {
    let start = started(&mut requests).await?;
    let bytes = received(&mut requests, start.size, replies).await?;
    let hash = blake3::hash(&[&prost::Message::encode_to_vec(&start)[..], blake3::hash(&bytes).as_bytes()].concat());
    let request = call.request_id_of(&start.request_id, hash.as_bytes())?;
    let ids = Ids::of_request(&call.actor, &request.id);
    barrier(&admin.replica, call.deadline).await?;
    let (api_id, update) = target(admin, &start, &mut ids.clone())?;
    let size = bytes.len() as u64;
    // Held by the thread too, which may outlive the call.
    let reading = {
        let place = place.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            parse(bytes, start, api_id, update)
        })
    };
    let parsed =
        reading.await.map_err(|error| Refused::new(Reason::Unavailable, format!("parsing ended: {error}")))??;
    tell(replies, "parsed", size, size).await;

    let parsed = Arc::new(parsed);
    let plan = {
        let parsed = parsed.clone();
        move |view: View<R::Tables>, stamp: &Stamp, attempt| {
            let _place = &place;
            let mut ids = ids.clone();
            // The first id was the API's.
            ids.api(|_| false);
            planned(&view, &parsed, stamp, attempt, &mut ids)
        }
    };
    let how = How { place: Place::Anywhere, weight: Weight::Heavy, on_race: OnRace::Again };
    let uploaded = {
        let replies = replies.clone();
        // A message that does not fit is left out: the next one says more.
        move |done: usize, total: usize| drop(replies.try_send(Ok(progress("uploaded", done as u64, total as u64))))
    };
    let done = commit(&admin.replica, call, request, how, plan, &uploaded).await?;
    let result = match done {
        Done::Committed(Told { result }, committed) => {
            ImportResult { revision: Some(admin.revision(committed.number)), ..result }
        }
        Done::Nothing(Told { result }) => {
            ImportResult { revision: Some(admin.replica.view().revision().into()), ..result }
        }
        Done::Replayed(committed) => {
            barrier(&admin.replica, call.deadline).await?;
            let contents = Contents::load(&admin.replica.view(), &parsed.api_id).unwrap_or_default();
            let revision = Some(admin.revision(committed.number));
            ImportResult { revision, ..result_of(&contents, parsed.warnings.clone()) }
        }
    };
    Ok(ImportReply { kind: Some(import_reply::Kind::Result(result)) })
}

async fn started(
    requests: &mut (impl Stream<Item = Result<ImportRequest, Status>> + Unpin),
) -> Result<ImportStart, Refused> {
    match imports::next(requests).await? {
        Some(ImportRequest { kind: Some(import_request::Kind::Start(start)) }) => Ok(start),
        Some(_) | None => Err(Refused::invalid("start", "expected the start of an import first", "")),
    }
}

async fn received(
    requests: &mut (impl Stream<Item = Result<ImportRequest, Status>> + Unpin),
    size: u64,
    replies: &Replies,
) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let mut told = 0;
    while let Some(request) = imports::next(requests).await? {
        let Some(import_request::Kind::Chunk(chunk)) = request.kind else {
            return Err(Refused::invalid("chunk", "expected a piece of the file, found something else", ""));
        };
        if bytes.len() + chunk.len() > IMPORT_BYTES_MAX {
            return Err(too_large(IMPORT_BYTES_MAX));
        }
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 >= told + PROGRESS_BYTES {
            told = bytes.len() as u64;
            tell(replies, "received", told, size.max(told)).await;
        }
    }
    Ok(bytes)
}

/// The API that the import makes or updates.
fn target<R: Replica>(admin: &Admin<R>, start: &ImportStart, ids: &mut Ids) -> Result<(String, Option<Mode>), Refused> {
    let view = admin.replica.view();
    let mode = match start.mode.as_deref() {
        None | Some("overwrite" | "") => Mode::Overwrite,
        Some("merge") => Mode::Merge,
        Some(other) => {
            let message = format!("expected merge or overwrite, found `{other}`");
            return Err(Refused::invalid("mode", message, ""));
        }
    };
    match &start.api_id {
        Some(id) if read::api_exists(&view, id) => Ok((id.clone(), Some(mode))),
        Some(id) => Err(Refused::not_found(format!("api {id} does not exist"))),
        None if start.mode.is_some() => {
            Err(Refused::invalid("mode", "a mode is for an update, and no api was named", "name the api"))
        }
        // Not one that exists, but one that a first execution of this request made is the same again.
        None => Ok((ids.api(|_| false), None)),
    }
}

fn parse(bytes: Vec<u8>, start: ImportStart, api_id: String, update: Option<Mode>) -> Result<Parsed, Refused> {
    let (text, file_name) = inflated(bytes, &start.file_name, IMPORT_BYTES_MAX)?;
    let name = start.name.filter(|name| !name.is_empty());
    let options = Options { api_id: &api_id, name: name.as_deref(), backend: start.backend.as_deref() };
    let mut imported = sluice_openapi::read(&text, &file_name, &options)
        .map_err(|diagnostics| Refused::faults(diagnostics.into_messages()))?;
    let warnings = std::mem::take(&mut imported.warnings).into_messages();
    Ok(Parsed { contents: imported.into(), warnings, api_id, update, name })
}

/// The import as rows: the API's contents settled against what is there.
fn planned<T: Tables>(
    view: &View<T>,
    parsed: &Parsed,
    stamp: &Stamp,
    attempt: u32,
    ids: &mut Ids,
) -> Result<Intent<Told>, Refused> {
    let present = Contents::load(view, &parsed.api_id);
    match (&parsed.update, &present) {
        (Some(_), None) => return Err(Refused::not_found(format!("api {} does not exist", parsed.api_id))),
        (None, Some(_)) => return Err(Refused::conflict(format!("api {} exists already", parsed.api_id))),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let owner = Owner { api_id: parsed.api_id.clone(), now: seconds(stamp.time_ms) };
    let mut contents = settled(parsed.contents.clone(), present.as_ref(), &owner, ids);
    if let (Some(Mode::Merge), Some(present)) = (parsed.update, present) {
        contents = merged(present, contents);
        parsed.name.iter().for_each(|name| name.clone_into(&mut contents.rest_api.name));
    }
    contents.rest_api.warnings = parsed.warnings.iter().map(|one| format!("{}: {}", one.at, one.message)).collect();
    contents.rest_api.warnings.truncate(WARNINGS_KEPT_MAX);
    let mut warnings = parsed.warnings.clone();
    warnings.extend(contents.checked(view)?);
    let parts = Parts::of(contents.entries())?;
    let replace = ReplaceParts {
        api_id: parsed.api_id.clone(),
        name: contents.rest_api.name.clone(),
        parts: parts.digest_bytes(),
        expected_version: Some(read::api_version(view, &parsed.api_id).unwrap_or(0)),
    };
    let uploads = if attempt == 0 { parts.missing(view) } else { parts.all() };
    let rows = vec![RowChange { kind: Some(row_change::Kind::ReplaceParts(replace)) }];
    Ok(Intent { uploads, rows, told: Told { result: result_of(&contents, warnings) } })
}

/// Warnings kept with the API; all of them are in the answer to the import.
const WARNINGS_KEPT_MAX: usize = 100;

fn result_of(contents: &Contents, diagnostics: Vec<Diagnostic>) -> ImportResult {
    let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
    ImportResult {
        api_id: contents.rest_api.id.clone(),
        name: contents.rest_api.name.clone(),
        revision: None,
        resources: count(contents.resources.len()),
        methods: count(contents.methods.len()),
        models: count(contents.models.len()),
        diagnostics,
    }
}

fn progress(phase: &str, done: u64, total: u64) -> ImportReply {
    let progress = ImportProgress { phase: phase.to_owned(), done, total };
    ImportReply { kind: Some(import_reply::Kind::Progress(progress)) }
}

async fn tell(replies: &Replies, phase: &str, done: u64, total: u64) {
    // A caller that is gone hears nothing; the import notices elsewhere.
    let _ = replies.send(Ok(progress(phase, done, total))).await;
}
