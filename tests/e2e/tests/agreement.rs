//! Control nodes answer as one: a request has one outcome, a write is seen everywhere, and nothing acknowledged is lost.

use sluice_e2e::{
    cluster::Cluster,
    grpc::{change, made, new_key, read_key, request_id},
    wait::eventually,
};
use sluice_proto::admin::{ChangeReply, ErrorDetails};

const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn three_control_nodes_answer_as_one_and_lose_nothing() {
    let mut cluster = Cluster::start(NODES, &[]).await;
    let mut keys = writes_are_seen_on_every_node_at_once(&cluster).await;
    let (id, first) = a_repeated_request_has_one_outcome(&cluster).await;
    keys.push(made(&first));

    let leader = cluster.leader().await;
    cluster.kill(leader);
    let other = cluster.follower().await;
    let after = eventually("the next leader answers", || change_once(cluster.url(other), &id)).await;
    assert_eq!((&after.results, &after.revision), (&first.results, &first.revision), "a new leader knows the outcome");
    assert_eq!(named(&cluster, "once"), 1);

    (0..NODES).for_each(|index| cluster.kill(index));
    (0..NODES).for_each(|index| cluster.restart(index));
    for index in 0..NODES {
        cluster.ready(index).await;
        for key in &keys {
            read_key(&cluster.url(index), key).await.unwrap();
        }
    }
    let after = eventually("the restarted cluster answers", || change_once(cluster.url(other), &id)).await;
    assert_eq!(after.results, first.results, "outcomes survive a power cut");
    assert_eq!(cluster.cli().json(&["key", "list", "--all"])["items"].as_array().map(Vec::len), Some(keys.len()));
}

/// A read of another node, asked only after a write was acknowledged, is never too early.
async fn writes_are_seen_on_every_node_at_once(cluster: &Cluster) -> Vec<String> {
    let mut keys = Vec::new();
    for turn in 0..30 {
        let operations = vec![new_key(&format!("key-{turn}"), "")];
        let reply = change(&cluster.url(turn % NODES), &request_id(), operations).await.unwrap();
        let key = made(&reply);
        for index in 0..NODES {
            let read = read_key(&cluster.url(index), &key).await;
            assert!(read.is_ok(), "written through node {}, read from node {index}: {read:?}", turn % NODES);
        }
        keys.push(key);
    }
    keys
}

async fn a_repeated_request_has_one_outcome(cluster: &Cluster) -> (Vec<u8>, ChangeReply) {
    let id = request_id();
    let leader = cluster.leader().await;
    let first = change_once(cluster.url(leader), &id).await.unwrap();
    for index in 0..NODES {
        let again = change_once(cluster.url(index), &id).await.unwrap();
        assert_eq!((again.results, again.revision), (first.results.clone(), first.revision.clone()), "node {index}");
    }
    assert_eq!(named(cluster, "once"), 1);
    let follower = cluster.follower().await;
    let other = change(&cluster.url(follower), &id, vec![new_key("another", "")]).await.unwrap_err();
    assert_eq!(other.code(), tonic::Code::FailedPrecondition, "{other:?}");
    let details: ErrorDetails = prost_details(&other);
    assert!(!details.code.is_empty(), "{other:?}");
    assert_eq!(named(cluster, "another"), 0, "a refused request does nothing");
    (id, first)
}

async fn change_once(url: String, id: &[u8]) -> Result<ChangeReply, tonic::Status> {
    change(&url, id, vec![new_key("once", "")]).await
}

fn named(cluster: &Cluster, name: &str) -> usize {
    let keys = cluster.cli().json(&["key", "list", "--all"]);
    keys["items"].as_array().unwrap().iter().filter(|key| key["name"] == name).count()
}

fn prost_details(status: &tonic::Status) -> ErrorDetails {
    prost::Message::decode(status.details()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_control_nodes_survive_two_kills_and_refuse_to_guess_after_a_third() {
    let mut cluster = Cluster::start(5, &[]).await;
    drop(cluster.cli().json(&["key", "create", "before"]));
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let second = cluster.leader().await;
    cluster.kill(second);
    let made = cluster.cli().with(&["--timeout", "30s"]).json(&["key", "create", "with-three"]);
    let third = cluster.follower().await;
    cluster.kill(third);
    let output = cluster.cli().with(&["--timeout", "3s"]).run(&["key", "create", "with-two"]);
    assert_eq!(output.status.code(), Some(3), "two of five cannot acknowledge: {output:?}");
    cluster.restart(second);
    cluster.ready(second).await;
    let value = cluster.cli().with(&["--timeout", "30s"]).json(&["key", "get", made["id"].as_str().unwrap()]);
    assert_eq!(value["name"], "with-three");
}
