//! Imports over tables in memory.

use futures_util::stream;
use sluice_proto::{
    admin::{ImportReply, ImportRequest, ImportResult, ImportStart, ListRoutesRequest, import_reply, import_request},
    model::Kind,
};
use sluice_rpc::admin::apis_server::Apis as _;
use tokio::sync::mpsc;
use tonic::{Request, Status};

use crate::{
    apis::import::import,
    call::{Call, new_request_id},
    refused::Refused,
    testing::{MemoryReplica, deploy, founded, patch},
};

type Admin = crate::admin::Admin<MemoryReplica>;

const PETS: &str = r#"{
  "openapi": "3.0.1", "info": {"title": "pets", "version": "1"},
  "paths": {
    "/pets": {"get": {"operationId": "listPets", "responses": {"200": {"description": "ok"}}}},
    "/pets/{id}": {"get": {"responses": {"200": {"description": "ok"}}}, "delete": {"responses": {"204": {"description": "gone"}}}}
  }
}"#;

fn start() -> ImportStart {
    ImportStart {
        request_id: new_request_id(),
        file_name: "pets.json".into(),
        backend: Some("http://127.0.0.1:9000".into()),
        ..ImportStart::default()
    }
}

async fn run(admin: &Admin, start: ImportStart, file: &[u8]) -> Result<(ImportResult, Vec<String>), Refused> {
    let chunks = file.chunks(100).map(|chunk| import_request::Kind::Chunk(chunk.to_vec()));
    let messages: Vec<Result<ImportRequest, Status>> = std::iter::once(import_request::Kind::Start(start))
        .chain(chunks)
        .map(|kind| Ok(ImportRequest { kind: Some(kind) }))
        .collect();
    let (replies, mut received) = mpsc::channel(64);
    let call = Call::of(&Request::new(()));
    let last = import(admin, &call, stream::iter(messages), &replies, admin.imports.admit().unwrap()).await?;
    drop(replies);
    let mut phases = Vec::new();
    while let Some(Ok(ImportReply { kind: Some(import_reply::Kind::Progress(progress)) })) = received.recv().await {
        phases.push(progress.phase);
    }
    match last.kind {
        Some(import_reply::Kind::Result(result)) => Ok((result, phases)),
        other => panic!("expected a result, found {other:?}"),
    }
}

async fn routes(admin: &Admin, api_id: &str) -> Vec<String> {
    let request = ListRoutesRequest { api_id: api_id.into(), ..ListRoutesRequest::default() };
    let page = Admin::list_routes(admin, Request::new(request)).await.unwrap().into_inner();
    page.items.into_iter().map(|line| format!("{} {}", line.http_method, line.path)).collect()
}

#[tokio::test]
async fn an_import_makes_an_api_that_can_be_deployed() {
    let admin = founded();
    let (result, phases) = run(&admin, start(), PETS.as_bytes()).await.unwrap();
    assert_eq!((result.name.as_str(), result.resources, result.methods), ("pets", 3, 3));
    assert!(phases.contains(&"parsed".to_owned()) && phases.contains(&"uploaded".to_owned()));
    assert_eq!(routes(&admin, &result.api_id).await, ["GET /pets", "DELETE /pets/{id}", "GET /pets/{id}"]);
    admin.done(deploy(&result.api_id, "prod")).await;
}

#[tokio::test]
async fn a_compressed_file_is_the_same_import() {
    let admin = founded();
    let file = zstd::stream::encode_all(PETS.as_bytes(), 1).unwrap();
    let start = ImportStart { file_name: "pets.json.zst".into(), ..start() };
    assert_eq!(run(&admin, start, &file).await.unwrap().0.methods, 3);
}

#[tokio::test]
async fn a_file_with_an_error_changes_nothing_and_names_its_place() {
    let admin = founded();
    let broken = PETS.replace("\"/pets/{id}\"", "\"pets/{id}\"");
    let refused = run(&admin, start(), broken.as_bytes()).await.unwrap_err();
    assert!(!refused.diagnostics.is_empty());
    assert!(refused.diagnostics.iter().all(|one| !one.at.is_empty()), "{:?}", refused.diagnostics);
    assert_eq!(admin.replica.log_index(), 1);
}

#[tokio::test]
async fn the_same_import_again_is_a_replay() {
    let admin = founded();
    let start = start();
    let (first, _) = run(&admin, start.clone(), PETS.as_bytes()).await.unwrap();
    let index = admin.replica.log_index();
    let (second, _) = run(&admin, start, PETS.as_bytes()).await.unwrap();
    assert_eq!((second.api_id, second.methods), (first.api_id, first.methods));
    assert_eq!(admin.replica.log_index(), index);
}

#[tokio::test]
async fn an_update_keeps_ids_and_overwrites_or_merges() {
    let admin = founded();
    let (first, _) = run(&admin, start(), PETS.as_bytes()).await.unwrap();
    let api = first.api_id.clone();
    let pets = resource_id(&admin, &api, "/pets").await;
    let cats = PETS.replace("/pets", "/cats").replace("\"pets\"", "\"cats\"");
    let merge = ImportStart { api_id: Some(api.clone()), mode: Some("merge".into()), ..start() };
    let (merged, _) = run(&admin, merge, cats.as_bytes()).await.unwrap();
    assert_eq!((merged.name.as_str(), merged.methods), ("pets", 6));
    assert_eq!(resource_id(&admin, &api, "/pets").await, pets);
    let overwrite = ImportStart { api_id: Some(api.clone()), ..start() };
    let (over, _) = run(&admin, overwrite, PETS.as_bytes()).await.unwrap();
    assert_eq!(over.methods, 3);
    assert_eq!(resource_id(&admin, &api, "/pets").await, pets);
    let nothere = ImportStart { api_id: Some("nothere".into()), ..start() };
    assert_eq!(run(&admin, nothere, PETS.as_bytes()).await.unwrap_err().reason.code(), "not-found");
}

async fn resource_id(admin: &Admin, api: &str, path: &str) -> String {
    let view = crate::replica::Replica::view(&admin.replica);
    let all = crate::read::all_of_api::<sluice_proto::model::Resource, _>(&view, api);
    all.into_iter().find(|one| one.document.path == path).unwrap().document.id
}

#[tokio::test]
async fn an_import_that_meets_an_edit_is_planned_again() {
    let admin = founded();
    let (first, _) = run(&admin, start(), PETS.as_bytes()).await.unwrap();
    let api = first.api_id.clone();
    let (other, edited) = (admin.clone(), api.clone());
    admin.replica.before_next(move || {
        let tools = &other.tools;
        let view = crate::replica::Replica::view(&other.replica);
        let stamp = sluice_proto::raft::Stamp { actor: "other".into(), ..Default::default() };
        let edit = patch(Kind::RestApi, &[&edited], &[("replace", "description", "x")]);
        let mut ids = crate::ids::Ids::of_request("other", b"1");
        let planned = crate::plan::plan(&view.0, tools, &mut ids, &stamp, &[edit]).unwrap();
        let rows = planned.into_iter().flat_map(|one| one.rows).collect();
        other.replica.apply(&crate::propose::change(stamp, rows));
    });
    let update = ImportStart { api_id: Some(api), mode: Some("merge".into()), ..start() };
    let cats = PETS.replace("/pets", "/cats");
    assert_eq!(run(&admin, update, cats.as_bytes()).await.unwrap().0.methods, 6);
}
