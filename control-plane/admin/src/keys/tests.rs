//! CSV imports over tables in memory.

use futures_util::stream;
use sluice_proto::{
    admin::{ImportCsvRequest, ImportCsvResult, ImportCsvStart, import_csv_reply, import_csv_request},
    model::UsagePlan,
};
use tokio::sync::mpsc;
use tonic::Request;

use crate::{
    call::{Call, new_request_id},
    keys::import::import,
    refused::Refused,
    replica::Replica as _,
    testing::{MemoryReplica, founded, id_of, put},
};

type Admin = crate::admin::Admin<MemoryReplica>;

async fn run(admin: &Admin, request_id: &[u8], text: &str) -> Result<ImportCsvResult, Refused> {
    let start = ImportCsvStart { request_id: request_id.to_vec(), size: text.len() as u64 };
    let chunks = text.as_bytes().chunks(1_000).map(|chunk| import_csv_request::Kind::Chunk(chunk.to_vec()));
    let messages: Vec<_> = std::iter::once(import_csv_request::Kind::Start(start))
        .chain(chunks)
        .map(|kind| Ok(ImportCsvRequest { kind: Some(kind) }))
        .collect();
    let (replies, mut received) = mpsc::channel(64);
    let drained = tokio::spawn(async move { while received.recv().await.is_some() {} });
    let place = admin.imports.admit().unwrap();
    let last = import(admin, &Call::of(&Request::new(())), stream::iter(messages), &replies, place).await;
    drop(replies);
    drained.await.unwrap();
    match last?.kind {
        Some(import_csv_reply::Kind::Result(result)) => Ok(result),
        other => panic!("expected a result, found {other:?}"),
    }
}

fn value(number: usize) -> String {
    format!("value-of-the-key-{number:06}")
}

#[tokio::test]
async fn thousands_of_keys_join_their_plan_a_thousand_a_commit() {
    let admin = founded();
    let plan = id_of(&admin.done(put(UsagePlan { name: "gold".into(), ..UsagePlan::default() })).await);
    let mut text = "name,key,enabled,usageplanIds\n".to_owned();
    for number in 0..2_500 {
        text.push_str(&format!("key{number},{},TRUE,{plan}\n", value(number)));
    }
    let index = admin.replica.log_index();
    let result = run(&admin, &new_request_id(), &text).await.unwrap();
    assert_eq!((result.created, result.unchanged, result.failed), (2_500, 0, 0));
    assert_eq!(admin.replica.log_index(), index + 3);
    let view = admin.replica.view();
    assert_eq!(crate::read::keys_of_plan(&view, &plan).count(), 2_500);
}

#[tokio::test]
async fn an_import_goes_on_where_an_earlier_one_stopped() {
    let admin = founded();
    let head = "name,key\n".to_owned();
    let line = |number: usize| format!("key{number},{}\n", value(number));
    let half: String = (0..500).map(line).collect();
    let whole: String = (0..1_500).map(line).collect();
    run(&admin, &new_request_id(), &(head.clone() + &half)).await.unwrap();
    let result = run(&admin, &new_request_id(), &(head.clone() + &whole)).await.unwrap();
    assert_eq!((result.created, result.unchanged), (1_000, 500));
    let id = new_request_id();
    run(&admin, &id, &(head.clone() + &whole)).await.unwrap();
    let index = admin.replica.log_index();
    let again = run(&admin, &id, &(head + &whole)).await.unwrap();
    assert_eq!((again.created, again.unchanged), (0, 1_500));
    assert_eq!(admin.replica.log_index(), index);
}

#[tokio::test]
async fn a_wrong_row_costs_only_itself() {
    let admin = founded();
    run(&admin, &new_request_id(), &format!("name,key\nalice,{}\n", value(1))).await.unwrap();
    let text = format!(
        "name,key,usageplanIds\nbob,{},\ncarol,{},nothere\ndave,short,\nerin,{},\n",
        value(1),
        value(2),
        value(3)
    );
    let result = run(&admin, &new_request_id(), &text).await.unwrap();
    assert_eq!((result.created, result.failed), (1, 3));
    let mut at: Vec<_> = result.diagnostics.iter().map(|one| one.at.as_str()).collect();
    at.sort_unstable();
    assert_eq!(at, ["lines[2].key", "lines[3].usageplanIds", "lines[4].key"]);
    assert!(!result.diagnostics.iter().any(|one| one.message.contains(&value(1))));
}

#[tokio::test]
async fn faults_of_rows_are_in_the_order_of_the_file() {
    let admin = founded();
    // The second is refused by what the cluster holds, the others by what they are.
    let text = format!("name,key,usageplanIds\nfirst,short,\nsecond,{},none\nthird,short,\n", value(1));
    let result = run(&admin, &new_request_id(), &text).await.unwrap();
    let places: Vec<_> = result.diagnostics.iter().map(|one| one.at.as_str()).collect();
    assert_eq!(places, ["lines[2].key", "lines[3].usageplanIds", "lines[4].key"]);
}
