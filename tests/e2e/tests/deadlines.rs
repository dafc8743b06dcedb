//! A call ends with its caller's time, with an answer of the cluster's: carried to a leader when there is one by then.

use std::{future::pending, time::Duration};

use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use sluice_e2e::{
    cluster::Cluster,
    grpc::{change, change_within, channel, made, new_key, read_key, request_id},
    process::Pause,
    wait::eventually,
};
use sluice_proto::admin::{
    ErrorDetails, ImportCsvRequest, ImportCsvStart, ImportRequest, ImportStart, import_csv_request, import_request,
};
use sluice_rpc::admin::{apis_client::ApisClient, keys_client::KeysClient};
use tonic::{Code, Request, Status, Streaming};

/// Longer than an election and the time in which a dead connection is noticed, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);
/// Of an import: nothing that it waits for ever comes.
const IMPORT_TIME: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_carries_a_call_to_the_next_leader_and_without_one_answers_in_time() {
    let mut cluster = Cluster::start(3, &[]).await;
    let (hanging, follower) = (cluster.leader().await, cluster.follower().await);
    cluster.pause(hanging, Pause::Begin);
    let carried = change_within(LONG, &cluster.url(follower), &request_id(), vec![new_key("carried", "")]).await;
    let key = made(&carried.expect("the next leader takes the call that the hanging one did not answer"));
    cluster.pause(hanging, Pause::End);
    eventually("every node has it", || async {
        for index in 0..3 {
            read_key(&cluster.url(index), &key).await?;
        }
        Ok::<_, Status>(())
    })
    .await;

    let (leader, last) = (cluster.leader().await, cluster.follower().await);
    (0..3).filter(|index| *index != last).for_each(|index| cluster.kill(index));
    let (id, url) = (request_id(), cluster.url(last));
    let refused = change_within(SHORT, &url, &id, vec![new_key("asked twice", "")]).await.unwrap_err();
    let details = ErrorDetails::decode(refused.details()).unwrap();
    assert!(
        ["unavailable", "outcome-unknown"].contains(&details.code.as_str()),
        "the node itself answers: {refused:?}"
    );
    let output = cluster.cli_of(last).with(&["--timeout", "1s"]).run(&["key", "list"]);
    assert_eq!(output.status.code(), Some(3), "a read is not answered from one node alone: {output:?}");
    let status = cluster.cli_of(last).json(&["cluster", "status", "--stale"]);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "{status}");

    cluster.restart(leader);
    cluster.ready(last).await;
    let first = change(&url, &id, vec![new_key("asked twice", "")]).await.unwrap();
    let again = change(&cluster.url(leader), &id, vec![new_key("asked twice", "")]).await.unwrap();
    assert_eq!(made(&first), made(&again), "asked again in another term, it is the same request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_file_never_ends_ends_with_its_deadline_and_changes_nothing() {
    let cluster = Cluster::start(1, &[]).await;
    let url = cluster.url(0);
    let start = ImportStart { request_id: request_id(), file_name: "api.yaml".into(), ..ImportStart::default() };
    let chunk = import_request::Kind::Chunk(b"openapi: 3.0.1\ninfo: {title: half}\npaths: {}\n".to_vec());
    let sent = stream::iter([import_request::Kind::Start(start), chunk]);
    let sent = sent.map(|kind| ImportRequest { kind: Some(kind) }).chain(stream::once(pending()));
    let replies = ApisClient::new(channel(&url)).import(timed(sent)).await.unwrap().into_inner();
    ended_in_time(replies).await;

    let start = ImportCsvStart { request_id: request_id(), ..ImportCsvStart::default() };
    let chunk = import_csv_request::Kind::Chunk(b"name,key\nalice,abcdefghij0123456789\n".to_vec());
    let sent = stream::iter([import_csv_request::Kind::Start(start), chunk]);
    let sent = sent.map(|kind| ImportCsvRequest { kind: Some(kind) }).chain(stream::once(pending()));
    let replies = KeysClient::new(channel(&url)).import_csv(timed(sent)).await.unwrap().into_inner();
    ended_in_time(replies).await;

    for noun in ["api", "key"] {
        assert_eq!(cluster.cli().json(&[noun, "list"])["items"], serde_json::json!([]), "{noun}");
    }
}

/// The caller's time is told to the node; nothing on the caller's side watches it once an answer has begun.
fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(IMPORT_TIME);
    request
}

async fn ended_in_time<T: std::fmt::Debug>(mut replies: Streaming<T>) {
    let ending = async {
        loop {
            match replies.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an import that was not received whole has no good end"),
                Err(status) => return status,
            }
        }
    };
    let status = tokio::time::timeout(LONG, ending).await.expect("the node ends the import");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("did not end before the deadline"), "{status:?}");
}
