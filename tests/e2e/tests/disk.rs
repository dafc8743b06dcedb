//! A control node that cannot write stops rather than say what it does not keep; the others go on, and it comes back.

use sluice_e2e::{
    cluster::Cluster,
    grpc::{change, made, new_key, read_key, request_id},
    wait::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_whose_disk_is_full_stops_and_the_others_go_on_without_it() {
    let mut cluster = Cluster::start(3, &[]).await;
    let before = cluster.cli().json(&["key", "create", "before"]);
    let full = cluster.leader().await;
    let fine: Vec<usize> = (0..3).filter(|index| *index != full).collect();
    cluster.fill_disk(full);
    let id = request_id();
    let written = eventually("a write is acknowledged by the others", || {
        let (url, id) = (cluster.url(fine[0]), id.clone());
        async move { change(&url, &id, vec![new_key("after", "")]).await }
    })
    .await;
    let key = made(&written);
    let mut ended = || cluster.ended(full).ok_or("it runs");
    let status = eventually("the node that cannot write has stopped", || std::future::ready(ended())).await;
    assert_eq!(status.code(), Some(1), "it stops, though its last words cannot be written either: {status}");
    read_key(&cluster.url(fine[1]), &key).await.unwrap();

    cluster.kill(full);
    cluster.restart(full);
    cluster.ready(full).await;
    for id in [before["id"].as_str().unwrap(), &key] {
        read_key(&cluster.url(full), id).await.unwrap();
    }
    let keys = cluster.cli().json(&["key", "list", "--all"]);
    assert_eq!(
        keys["items"].as_array().map(Vec::len),
        Some(2),
        "a write that was asked for again was made once: {keys}"
    );
}
