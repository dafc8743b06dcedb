//! A control node whose disk fills refuses what would not fit, and heals when there is room; one that cannot write stops
//! rather than say what it does not keep; the others go on, and it comes back.

use sluice_e2e::{
    cluster::Cluster,
    follow::Observer,
    grpc::{change, made, new_key, read_key, request_id},
    process::skip,
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

/// A disk on which two databases, with what they write ahead, and a ballast have room.
const DISK: u64 = 384 << 20;
const RESERVE: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_lets_deletes_pass_and_heals_without_a_restart() {
    const NAME: &str = "a_full_disk_refuses_changes_lets_deletes_pass_and_heals_without_a_restart";
    let mut cluster = match Cluster::on_volumes(3, DISK, &["--disk-reserve", "64MiB"]).await {
        Ok(cluster) => cluster,
        Err(reason) => return skip(NAME, &reason),
    };
    let keys: Vec<String> = (0..4)
        .map(|index| cluster.cli().json(&["key", "create", &format!("before-{index}")]))
        .map(|made| made["id"].as_str().unwrap().to_owned())
        .collect();
    let leader = cluster.leader().await;
    let followers: Vec<usize> = (0..3).filter(|index| *index != leader).collect();

    // One follower of two: the others are a majority.
    cluster.volume(followers[0]).fill("filler", RESERVE / 2);
    written(&cluster, "with-a-minority-full").await;

    // A majority: refused, at whichever node, and deletes pass.
    cluster.volume(followers[1]).fill("filler", RESERVE / 2);
    refused(&cluster, &[followers[0] + 1, followers[1] + 1]).await;
    let elsewhere = cluster.cli_of(followers[0]).refused(1, &["key", "create", "refused"]);
    assert_eq!(elsewhere["error"]["code"], "disk-full", "{elsewhere}");
    drop(cluster.cli().json(&["key", "delete", &keys[0], "--yes"]));
    let status = cluster.cli().json(&["cluster", "status"]);
    assert_eq!(status["warnings"][0]["code"], "disk-full", "{status}");

    // Room heals it, and no one was restarted.
    followers.iter().for_each(|index| cluster.volume(*index).clear("filler"));
    written(&cluster, "healed").await;

    // The leader alone is enough.
    cluster.volume(leader).fill("filler", RESERVE / 2);
    refused(&cluster, &[leader + 1]).await;
    drop(cluster.cli().json(&["key", "delete", &keys[1], "--yes"]));

    // Not a byte more: the ballast is given up, and the node starts on what that leaves.
    cluster.kill(leader);
    cluster.volume(leader).fill("more", 0);
    assert!(cluster.volume(leader).path("ballast").exists(), "there is a ballast to give up");
    cluster.restart(leader);
    cluster.ready(leader).await;
    // By now there may be another: opening its databases gave the node back what they had reserved to write ahead.
    assert!(cluster.log(leader).contains("the ballast is given up"), "{}", cluster.log(leader));
    cluster.volume(leader).clear("more");
    cluster.volume(leader).clear("filler");
    written(&cluster, "at-the-end").await;

    let listed = cluster.cli().json(&["key", "list", "--all"]);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 5, "two of four were deleted, three made: {names:?}");
    same_everywhere(&cluster).await;
}

/// A change is acknowledged, now or when the disk has been looked at again.
async fn written(cluster: &Cluster, name: &str) {
    eventually("a change is taken", || async {
        let output = cluster.cli().run(&["key", "create", name]);
        if output.status.success() { Ok(()) } else { Err(output) }
    })
    .await;
}

/// A change is refused for want of disk, and the refusal names these nodes.
async fn refused(cluster: &Cluster, nodes: &[usize]) {
    let names = nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    eventually("changes are refused", || async {
        let output = cluster.cli().run(&["-o", "json", "plan", "create", "refused"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            // Not seen yet.
            let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            drop(cluster.cli().json(&["plan", "delete", made["id"].as_str().unwrap_or_default(), "--yes"]));
        }
        let is_named = said.contains(&format!("node {names} ")) || said.contains(&format!("nodes {names} "));
        if output.status.code() == Some(1) && said.contains("disk-full") && is_named { Ok(()) } else { Err(said) }
    })
    .await;
}

/// All control nodes hold the same.
async fn same_everywhere(cluster: &Cluster) {
    let status = cluster.cli().json(&["cluster", "status"]);
    let observer = Observer::new(status["clusterId"].as_str().unwrap());
    eventually("all nodes hold the same", || async {
        let mut digests = Vec::new();
        for index in 0..3 {
            let end = observer.snapshot(&cluster.url(index)).await.map_err(|status| status.to_string())?;
            digests.push((end.revision, end.digest));
        }
        if digests.windows(2).all(|pair| pair[0] == pair[1]) { Ok(()) } else { Err(format!("{digests:?}")) }
    })
    .await;
}
