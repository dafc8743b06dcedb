//! Power cuts: killed nodes lose every byte that they had written and not synced. What was acknowledged stays.
//!
//! The cuts fall right behind the last acknowledgement, when nothing else can have synced what it was given for. That
//! these tests see a missing sync is itself a test: on disks whose syncs of the log do nothing, as if the program made
//! none, writes are lost.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{
    cluster::Cluster,
    load::{Expected, Load},
    power::Lost,
    process::skip,
};

const NODES: usize = 3;
const WRITERS: usize = 4;
const FLAGS: [&str; 2] = ["--raft-snapshot-log-bytes", "1MiB"];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_power_cut_was_synced() {
    cuts("what_was_acknowledged_before_a_power_cut_was_synced", 1).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn many_power_cuts_for_all_take_nothing_that_was_acknowledged() {
    cuts("many_power_cuts_for_all_take_nothing_that_was_acknowledged", 40).await;
}

async fn cuts(test: &str, rounds: u64) {
    let mut cluster = match Cluster::on_disks(NODES, &FLAGS).await {
        Ok(cluster) => cluster,
        Err(reason) => return skip(test, &reason),
    };
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut expected, mut lost) = (Expected::default(), Lost::default());
    for round in 0..rounds {
        let load = Load::start(&cluster.urls(), WRITERS, &format!("key-{round}"), random.random());
        load.reaches(random.random_range(20..600)).await;
        if round % 2 == 0 {
            // Nothing is under way: the cut falls behind the last acknowledgement.
            expected.add(load.stop().await);
            lost += cut(&mut cluster);
        } else {
            lost += cut(&mut cluster);
            expected.add(load.stop().await);
        }
        let faults = faults(&cluster, &expected).await;
        assert!(faults.is_empty(), "{} faults: {:?}", faults.len(), &faults[..faults.len().min(5)]);
    }
    eprintln!(
        "SEED={seed}: {rounds} power cuts for all {NODES} nodes took {} bytes of {} files, and none of {} acknowledged writes",
        lost.bytes,
        lost.files,
        expected.acknowledged()
    );
    assert!(lost.bytes > 0, "there was something to lose");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_synced_loses_acknowledged_writes_and_this_is_seen() {
    let mut cluster = match Cluster::on_disks(NODES, &FLAGS).await {
        Ok(cluster) => cluster,
        Err(reason) => return skip("a_log_that_is_not_synced_loses_acknowledged_writes_and_this_is_seen", &reason),
    };
    for index in 0..NODES {
        // The log of RocksDB's own, which is where the entries of Raft's are written first.
        cluster.ignore_syncs(index, "*/raft/log/*.log");
        cluster.stop(index);
        cluster.restart(index);
        cluster.ready(index).await;
    }
    let load = Load::start(&cluster.urls(), WRITERS, "key", 1);
    load.reaches(100).await;
    let expected = load.stop().await;
    cut(&mut cluster);
    let faults = faults(&cluster, &expected).await;
    assert!(faults.iter().any(|fault| fault.ends_with("is lost")), "a missing sync is seen: {faults:?}");
}

/// All nodes lose power, lose what was not synced, and start again.
fn cut(cluster: &mut Cluster) -> Lost {
    (0..NODES).for_each(|index| cluster.kill(index));
    let mut lost = Lost::default();
    for index in 0..NODES {
        lost += cluster.lose_unsynced(index);
        cluster.restart(index);
    }
    lost
}

/// What is wrong on any node.
async fn faults(cluster: &Cluster, expected: &Expected) -> Vec<String> {
    for index in 0..NODES {
        cluster.ready(index).await;
    }
    cluster.agree().await;
    let mut faults = Vec::new();
    for url in cluster.urls() {
        faults.extend(expected.faults(&url).await.unwrap());
    }
    faults
}
