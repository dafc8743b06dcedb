//! Clusters of every size: members come and go while changes are made, and nothing that was acknowledged is lost.

use sluice_e2e::{
    cluster::Cluster,
    writer::{Writer, holds_keys},
};

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_from_one_to_seven_under_load_and_survives_three_kills() {
    let mut cluster = Cluster::founded(7, &[]).await;
    let writer = Writer::start(vec![cluster.url(0)]);
    for _ in 1..7 {
        let before = writer.acknowledged();
        cluster.grow().await;
        writer.goes_on(before).await;
    }
    let status = cluster.cli().json(&["cluster", "status"]);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(7), "{status}");
    let mut keys = writer.stop().await;

    for _ in 0..3 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
    }
    let made = cluster.cli().with(&["--timeout", "30s"]).json(&["key", "create", "with-four"]);
    keys.push(made["id"].as_str().unwrap().to_owned());
    let (fourth, left) = (cluster.leader().await, cluster.follower().await);
    cluster.kill(fourth);
    let output = cluster.cli().with(&["--timeout", "3s"]).run(&["key", "create", "with-three"]);
    assert_eq!(output.status.code(), Some(3), "three of seven cannot acknowledge: {output:?}");
    cluster.restart(fourth);
    cluster.ready(left).await;
    holds_keys(&cluster.url(left), &keys).await;
    cluster.ready(fourth).await;
    holds_keys(&cluster.url(fourth), &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_nodes_that_are_restarted_one_after_the_other_lose_no_change() {
    let mut cluster = Cluster::start(3, &[]).await;
    let writer = Writer::start((0..3).map(|index| cluster.url(index)).collect());
    for index in 0..3 {
        let before = writer.acknowledged();
        assert_eq!(cluster.stop(index), Some(0), "a control node stops cleanly");
        writer.goes_on(before).await;
        cluster.restart(index);
        cluster.ready(index).await;
    }
    let keys = writer.stop().await;
    for index in 0..3 {
        cluster.ready(index).await;
        holds_keys(&cluster.url(index), &keys).await;
    }
    let listed = cluster.cli().with(&["--timeout", "60s"]).json(&["key", "list", "--all"]);
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), keys.len(), "a request that was sent again made its key twice");
}
