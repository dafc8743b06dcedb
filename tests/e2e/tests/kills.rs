//! Control nodes are killed, one after the other and all at once, under a stream of writes: what was acknowledged is on
//! every node, once, and all nodes have the same state.

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{
    cluster::Cluster,
    load::{Expected, Load},
};

const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_few_kills_lose_no_acknowledged_write_and_make_none_twice() {
    series(4, 100, 8).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_under_twenty_thousand_writes_lose_none_and_make_none_twice() {
    series(200, 20_000, 8).await;
}

/// So many kills under at least so many writes, spread evenly: the leader and any node in turn, and in the end all.
async fn series(kills: u64, writes: u64, writers: usize) {
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(NODES, &["--raft-snapshot-log-bytes", "1MiB"]).await;
    let (load, began) = (Load::start(&cluster.urls(), writers, "key", seed), Instant::now());
    let mut leaders = 0;
    for kill in 0..kills {
        let leader = cluster.leader().await;
        let victim = if kill % 2 == 0 { leader } else { random.random_range(0..NODES) };
        leaders += u64::from(victim == leader);
        let before = load.acknowledged();
        cluster.kill(victim);
        // Sometimes at once, so that a node dies amid its start or its catching up.
        if random.random_bool(0.5) {
            load.reaches(before + 1).await;
        }
        cluster.restart(victim);
        load.reaches((kill + 1) * writes / kills).await;
        if (kill + 1) % 20 == 0 {
            eprintln!("{} kills, {} writes, {:.0} s", kill + 1, load.acknowledged(), began.elapsed().as_secs_f64());
        }
    }
    let expected = load.stop().await;
    let writing = began.elapsed();
    checked(&cluster, &expected).await;
    (0..NODES).for_each(|index| cluster.kill(index));
    (0..NODES).for_each(|index| cluster.restart(index));
    let after = checked(&cluster, &expected).await;
    assert!(expected.acknowledged() >= writes);
    eprintln!(
        "SEED={seed}: {kills} kills ({leaders} of the leader), {} acknowledged writes in {:.0} s; \
         3 nodes hold the same {} rows at index {}",
        expected.acknowledged(),
        writing.as_secs_f64(),
        after.rows,
        after.applied_index
    );
}

/// Every node holds what is expected in its own state, and all have the same.
async fn checked(cluster: &Cluster, expected: &Expected) -> sluice_proto::admin::StateDigest {
    for index in 0..NODES {
        cluster.ready(index).await;
    }
    let state = cluster.agree().await;
    for index in 0..NODES {
        let faults = expected.faults(&cluster.url(index)).await.unwrap();
        assert!(
            faults.is_empty(),
            "node {index}: {} faults, the first {:?}",
            faults.len(),
            &faults[..faults.len().min(5)]
        );
    }
    state
}
