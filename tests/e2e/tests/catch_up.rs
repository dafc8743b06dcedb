//! Control nodes that were away, and data nodes that meet them.

use std::path::Path;

use sluice_e2e::{
    cluster::Cluster,
    fixture,
    follow::Observer,
    grpc::{change, made, new_key, read_key, request_id},
    http::get,
    node::DataNode,
    process::Pause,
    wait::eventually,
};
use sluice_proto::{model::Revision, sync::from_control};

/// More than the 256 entries that a log keeps beyond its snapshot.
const ENTRIES: usize = 400;
/// Together some 5 MiB of log, with a snapshot every one.
const ROUNDS: usize = 20;
const KEYS_A_ROUND: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_missed_more_than_the_log_keeps_catches_up_by_snapshot() {
    let mut cluster = Cluster::start(3, &["--raft-snapshot-log-bytes", "1MiB"]).await;
    let late = cluster.follower().await;
    let before = current_state(&cluster.data_dir(late));
    let held = gauge(&cluster, late, "sluice_raft_last_index").await;
    cluster.kill(late);
    let leader = cluster.leader().await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "mocked", &["/one"]), &[]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let small = (0..ENTRIES).map(|entry| {
        let url = cluster.url(leader);
        async move { change(&url, &request_id(), vec![new_key(&format!("small-{entry}"), "")]).await.unwrap() }
    });
    drop(futures_util::future::join_all(small).await);
    let mut last = String::new();
    for round in 0..ROUNDS {
        let keys = (0..KEYS_A_ROUND).map(|key| new_key(&format!("key-{round}-{key}"), &"x".repeat(1_000)));
        last = made(&change(&cluster.url(leader), &request_id(), keys.collect()).await.unwrap());
    }
    // Whoever leads then: none of them has what comes next in the log of the late one.
    for index in (0..3).filter(|index| *index != late) {
        eventually("a node has compacted its log", || async {
            let purged = gauge(&cluster, index, "sluice_raft_purged_index").await;
            if purged > held + 1.0 { Ok(()) } else { Err(format!("purged through {purged}")) }
        })
        .await;
    }
    cluster.restart(late);
    cluster.ready(late).await;
    assert_eq!(
        read_key(&cluster.url(late), &last).await.unwrap(),
        read_key(&cluster.url(leader), &last).await.unwrap()
    );
    assert_ne!(
        current_state(&cluster.data_dir(late)),
        before,
        "a snapshot takes the place of the state that was there"
    );

    let observer = observer(&cluster);
    let (theirs, ours) =
        (observer.snapshot(&cluster.url(leader)).await.unwrap(), observer.snapshot(&cluster.url(late)).await.unwrap());
    assert_eq!(theirs, ours, "revision, rows and digest of both are the same");
    assert!(ours.rows > (ENTRIES + ROUNDS * KEYS_A_ROUND) as u64, "{ours:?}");
    let status = cluster.cli_of(late).json(&["cluster", "status", "--stale"]);
    let number = ours.revision.unwrap().number;
    assert_eq!(status["revision"]["number"], number, "{status}");

    let data = cluster.data_node("data", &[late]);
    answers(&data, &fixture::route(&api, "prod", "/one"), 200).await;
}

/// What a node says of itself in its metrics.
async fn gauge(cluster: &Cluster, index: usize, name: &str) -> f64 {
    let page = get(cluster.http(index), "/metrics", &[]).await.unwrap();
    let text = String::from_utf8_lossy(page.body()).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("it is a metric");
    value.parse().expect("a gauge is a number")
}

/// Which folder holds the state in use.
fn current_state(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("raft/state/CURRENT")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_never_goes_back_to_what_a_lagging_control_node_holds() {
    let mut cluster = Cluster::start(3, &[]).await;
    let lagging = cluster.follower().await;
    let fresh: Vec<usize> = (0..3).filter(|index| *index != lagging).collect();
    let mut data = cluster.data_node("data", &fresh);
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "first", &["/one"]), &[]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let (one, two) = (fixture::route(&api, "prod", "/one"), fixture::route(&api, "prod", "/two"));
    answers(&data, &one, 200).await;
    cluster.kill(lagging);
    let cli = cluster.cli();
    let second = fixture::mock(&cluster.folder(""), "second", &["/two"]);
    drop(fixture::import(&cli, &second, &["--update", &api]));
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    answers(&data, &two, 200).await;
    let observer = observer(&cluster);
    let held = observer.snapshot(&cluster.url(fresh[0])).await.unwrap().revision.unwrap();
    assert_eq!(data.process.stop(), Some(0));

    fresh.iter().for_each(|index| cluster.pause(*index, Pause::Begin));
    cluster.restart(lagging);
    let data = cluster.data_node("data", &[lagging]);
    answers(&data, &two, 200).await;
    let answer = eventually("the lagging node refuses the stream", || async {
        match observer.first(&cluster.url(lagging), held.clone()).await {
            // Nothing listens yet: the node has not been asked.
            Err(status) if std::error::Error::source(&status).is_some() => Err(format!("{status:?}")),
            answer => Ok(answer),
        }
    })
    .await;
    assert!(matches!(answer, Err(_) | Ok(from_control::Kind::Behind(_))), "{answer:?}");
    assert_eq!(get(data.address, &two, &[]).await.unwrap().status(), 200, "the newest that was served stays served");

    fresh.iter().for_each(|index| cluster.pause(*index, Pause::End));
    cluster.ready(lagging).await;
    drop(fixture::import(
        &cluster.cli(),
        &fixture::mock(&cluster.folder(""), "third", &["/three"]),
        &["--update", &api],
    ));
    drop(cluster.cli().json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    answers(&data, &fixture::route(&api, "prod", "/three"), 200).await;

    let ahead = Revision { number: held.number + 1_000, ..held };
    let answer = observer.first(&cluster.url(lagging), ahead).await.unwrap();
    assert!(matches!(answer, from_control::Kind::Behind(_)), "{answer:?}");
}

fn observer(cluster: &Cluster) -> Observer {
    Observer::new(cluster.cli().json(&["cluster", "status"])["clusterId"].as_str().unwrap())
}

async fn answers(data: &DataNode, path: &str, status: u16) {
    eventually("the data node answers", || async {
        let answer = get(data.address, path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == status { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
