//! A control node ends by itself between two steps of its disk, as by a power cut there: what was acknowledged stays, is
//! applied once, and the node has the state of the others when it is back.
//!
//! Programs of a release build have no such points: these tests are skipped with them.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{
    cluster::Cluster,
    http::get,
    load::{Expected, Load},
    process::{program, skip},
    wait::eventually,
};

const NODES: usize = 3;
const WRITERS: usize = 8;
/// Writes within which a point is met: some 1,000 make a megabyte of log.
const WRITES_MAX: u64 = 10_000;

/// How a node comes to pass a point.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Every write passes it, of a node that has just come back.
    Following,
    /// The same of a node that leads, as far as an election can be steered.
    Leading,
    /// The log has to grow by a megabyte before each.
    Growing,
    /// An election passes it: the leader is killed.
    Electing,
    /// The node has been away for longer than the log of the others goes back.
    Receiving,
    /// The node has led alone, and has entries that the others overrule.
    Overruled,
}

/// Every point that a node has, with the ways there: a point that it does not know refuses to start.
const POINTS: [(&str, Way); 16] = [
    ("append-before-sync", Way::Following),
    ("append-after-sync", Way::Following),
    ("append-after-sync", Way::Leading),
    ("apply-before-write", Way::Following),
    ("apply-before-write", Way::Leading),
    ("apply-after-write", Way::Following),
    ("apply-after-write", Way::Leading),
    ("vote-before-sync", Way::Electing),
    ("vote-after-sync", Way::Electing),
    ("truncate-after-sync", Way::Overruled),
    ("checkpoint-before-name", Way::Growing),
    ("checkpoint-after-name", Way::Growing),
    ("purge-after-sync", Way::Growing),
    ("snapshot-received", Way::Receiving),
    ("snapshot-before-switch", Way::Receiving),
    ("snapshot-after-switch", Way::Receiving),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_between_append_and_apply_loses_nothing_and_applies_nothing_twice() {
    ends_at(&POINTS[4..6], 1).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_end_at_every_step_of_its_disk_many_times() {
    ends_at(&POINTS, 3).await;
}

async fn ends_at(points: &[(&str, Way)], rounds: usize) {
    let help = std::process::Command::new(program("sluice-control")).args(["--fail-point", "none"]).output().unwrap();
    if !String::from_utf8_lossy(&help.stderr).contains("append-after-sync") {
        return skip("fail_points", "the programs are a release build, which has no fail points");
    }
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut lab = Lab {
        cluster: Cluster::start(NODES, &["--raft-snapshot-log-bytes", "1MiB"]).await,
        random: StdRng::seed_from_u64(seed),
        expected: Expected::default(),
    };
    for round in 0..rounds {
        for (point, way) in points {
            let load = Load::start(&lab.cluster.urls(), WRITERS, &format!("{point}-{round}"), lab.random.random());
            lab.end_at(point, *way, &load).await;
            lab.expected.add(load.stop().await);
            lab.check(point).await;
            eprintln!("{point} ({way:?}): {} acknowledged writes", lab.expected.acknowledged());
        }
    }
    eprintln!(
        "SEED={seed}: {} ways to end, {rounds} times each, {} acknowledged writes",
        points.len(),
        lab.expected.acknowledged()
    );
}

struct Lab {
    cluster: Cluster,
    random: StdRng,
    expected: Expected,
}

impl Lab {
    /// Lets a node come to the point, waits until it has ended there, and starts it again.
    async fn end_at(&mut self, point: &str, way: Way, load: &Load) {
        let mut victim = self.random.random_range(0..NODES);
        let mut passes = 1;
        match way {
            Way::Following => passes = self.random.random_range(1..=20),
            Way::Leading => passes = self.random.random_range(200..=400),
            Way::Growing | Way::Electing => {}
            Way::Receiving => self.outgrow(victim, load).await,
            Way::Overruled => victim = self.overrule().await,
        }
        let armed = format!("{point}@{passes}");
        self.cluster.kill(victim);
        self.cluster.restart_with(victim, &["--fail-point", &armed]);
        if matches!(way, Way::Leading | Way::Electing) {
            self.depose(victim).await;
        }
        let begun = load.acknowledged();
        let status = loop {
            if let Some(status) = self.cluster.ended(victim) {
                break status;
            }
            // As long as that takes on a busy machine: it is the writes that bring it there.
            let now = load.acknowledged();
            assert!(now < begun + WRITES_MAX, "node {victim} does not end at {armed} in {WRITES_MAX} writes");
            load.reaches(now + 1).await;
        };
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{armed}: {status}");
        self.cluster.kill(victim);
        self.cluster.restart(victim);
        self.cluster.ready(victim).await;
    }

    /// Kills whoever leads, if it is not this node, so that there is an election in which this node has a voice.
    async fn depose(&mut self, victim: usize) {
        let http = self.cluster.http(victim);
        let mut ended = || self.cluster.ended(victim).is_some();
        eventually("the node is ready, or has ended already", || {
            let ended = ended();
            async move {
                let answer = get(http, "/readyz", &[]).await;
                if ended || answer.as_ref().is_ok_and(|answer| answer.status() == 200) { Ok(()) } else { Err(answer) }
            }
        })
        .await;
        let leader = self.cluster.leader().await;
        if leader != victim {
            self.cluster.kill(leader);
            // Back only when the others have a leader, or none of them can: then it is needed.
            let others = self.cluster.cli();
            let _ = others.run(&["--timeout", "3s", "cluster", "status"]);
            self.cluster.restart(leader);
        }
    }

    /// Keeps a node away until the others have dropped what it would need of their log.
    async fn outgrow(&mut self, away: usize, load: &Load) {
        let held = self.index(away, "sluice_raft_last_index").await.unwrap();
        self.cluster.kill(away);
        let begun = load.acknowledged();
        for other in (0..NODES).filter(|other| *other != away) {
            while self.index(other, "sluice_raft_purged_index").await.unwrap() <= held + 1.0 {
                let now = load.acknowledged();
                assert!(now < begun + WRITES_MAX, "node {other} keeps its log for {WRITES_MAX} writes");
                load.reaches(now + 10).await;
            }
        }
    }

    /// Lets a leader write what nobody else has, and the others go on without it. Returns the one that led.
    async fn overrule(&mut self) -> usize {
        let leader = self.cluster.leader().await;
        let others: Vec<usize> = (0..NODES).filter(|other| *other != leader).collect();
        others.iter().for_each(|other| self.cluster.kill(*other));
        // Twice: what is counted first may not be on disk yet.
        for _ in 0..2 {
            eventually("the leader writes what is not committed", || async {
                let last = self.index(leader, "sluice_raft_last_index").await?;
                let committed = self.index(leader, "sluice_raft_committed_index").await?;
                if last > committed { Ok(()) } else { Err(format!("{last} and {committed}")) }
            })
            .await;
        }
        self.cluster.kill(leader);
        others.iter().for_each(|other| self.cluster.restart(*other));
        for other in others {
            self.cluster.ready(other).await;
        }
        leader
    }

    /// What a node says of its log.
    async fn index(&self, node: usize, name: &str) -> Result<f64, String> {
        let page = get(self.cluster.http(node), "/metrics", &[]).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(page.body()).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or(format!("{name} is not on the page"))
    }

    /// Every node holds what was acknowledged, once, and all have the same state.
    async fn check(&self, point: &str) {
        for node in 0..NODES {
            self.cluster.ready(node).await;
        }
        self.cluster.agree().await;
        for node in 0..NODES {
            let faults = self.expected.faults(&self.cluster.url(node)).await.unwrap();
            assert!(faults.is_empty(), "{point}, node {node}: {faults:?}");
        }
    }
}
