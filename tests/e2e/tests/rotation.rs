//! The cluster key is rotated: with a node away, with a node that joins later, and with the leader killed in the middle.

use std::{fmt::Write as _, fs, process::Command};

use serde_json::Value;
use sluice_e2e::{
    cluster::Cluster,
    process::{Process, program},
    wait::eventually,
};

/// The ids in a control node's file of keys.
fn held(cluster: &Cluster, index: usize) -> Vec<String> {
    let text = fs::read_to_string(cluster.data_dir(index).join("cluster.key")).unwrap();
    text.lines().map(|line| line.split_once(':').unwrap().0.to_owned()).collect()
}

async fn holds_only(cluster: &Cluster, index: usize, key_id: &str) {
    eventually("the node holds the new key and no other", || async {
        let held = held(cluster, index);
        if held == [key_id.to_owned()] { Ok(()) } else { Err(held) }
    })
    .await;
}

fn import(cluster: &Cluster, count: usize) {
    let mut csv = "name,key\n".to_owned();
    (0..count).for_each(|row| writeln!(csv, "key-{row},{}", value_of(row)).unwrap());
    let file = cluster.folder("keys.csv");
    fs::write(&file, &csv).unwrap();
    let told = cluster.cli().with(&["--timeout", "60s"]).json(&["key", "import", file.to_str().unwrap()]);
    assert_eq!(told["created"], count, "{told}");
}

fn value_of(row: usize) -> String {
    format!("value-of-key-number-{row:06}")
}

fn values_are_there(cluster: &Cluster, index: usize, rows: &[usize]) {
    for row in rows {
        let key = cluster.cli_of(index).json(&["key", "get", &format!("key-{row}"), "--show-value"]);
        assert_eq!(key["value"], value_of(*row), "on node {index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_reaches_a_node_that_was_away_and_one_that_joins() {
    let mut cluster = Cluster::founded(4, &[]).await;
    for _ in 1..3 {
        cluster.grow().await;
    }
    import(&cluster, 1_500);
    let away = cluster.follower().await;
    cluster.kill(away);
    let rotated = cluster.cli().json(&["cluster", "rotate-key"]);
    let (key_id, without) = (rotated["rotated"]["keyId"].as_str().unwrap(), &rotated["rotated"]["nodesWithout"]);
    assert_eq!(
        (&rotated["rotated"]["oldKeyId"], without.as_array().unwrap().len()),
        (&Value::from("k1"), 1),
        "{rotated}"
    );
    for index in (0..3).filter(|index| *index != away) {
        holds_only(&cluster, index, key_id).await;
        values_are_there(&cluster, index, &[0, 999, 1_499]);
    }
    assert_eq!(held(&cluster, away), ["k1"]);
    cluster.restart(away);
    cluster.ready(away).await;
    holds_only(&cluster, away, key_id).await;
    values_are_there(&cluster, away, &[0, 1_499]);
    cluster.grow().await;
    assert_eq!(held(&cluster, 3), [key_id]);
    values_are_there(&cluster, 3, &[7]);
    let status = cluster.cli().json(&["cluster", "status"]);
    assert_eq!((&status["clusterKey"]["id"], &status["clusterKey"]["oldId"]), (&Value::from(key_id), &Value::Null));
    // Once more, with all of them there; what is made afterwards opens too.
    let again = cluster.cli().json(&["cluster", "rotate-key"]);
    let next = again["rotated"]["keyId"].as_str().unwrap();
    assert!(next.starts_with("k3-"), "{again}");
    for index in 0..4 {
        holds_only(&cluster, index, next).await;
    }
    let made = cluster.cli().json(&["key", "create", "later"]);
    let read = cluster.cli().json(&["key", "get", "later", "--show-value"]);
    assert_eq!(made["value"], read["value"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn a_rotation_whose_leader_is_killed_in_the_middle_comes_to_its_end() {
    const KEYS: usize = 8_000;
    let mut cluster = Cluster::start(3, &[]).await;
    import(&cluster, KEYS);
    let leader = cluster.leader().await;
    let mut command = Command::new(program("sluice"));
    command.env("SLUICE_CONTROL", (0..3).map(|index| cluster.url(index)).collect::<Vec<_>>().join(","));
    command.args(["-o", "json", "cluster", "rotate-key"]);
    let rotating = Process::start("rotate-key", &mut command, Some(cluster.folder("rotate.log")));
    eventually("the rotation has begun", || async {
        let status = cluster.cli().json(&["cluster", "status", "--stale"]);
        let key = &status["clusterKey"];
        if key["oldId"].is_string() || key["id"] != "k1" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    cluster.kill(leader);
    assert_eq!(rotating.wait(), Some(0), "{}", fs::read_to_string(cluster.folder("rotate.log")).unwrap());
    cluster.restart(leader);
    cluster.ready(leader).await;
    let status = cluster.cli().json(&["cluster", "status"]);
    let key_id = status["clusterKey"]["id"].as_str().unwrap().to_owned();
    assert!(key_id.starts_with("k2-") && status["clusterKey"]["oldId"].is_null(), "{status}");
    for index in 0..3 {
        holds_only(&cluster, index, &key_id).await;
        values_are_there(&cluster, index, &[0, KEYS / 2, KEYS - 1]);
    }
}
