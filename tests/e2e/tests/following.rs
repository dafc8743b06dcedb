//! A data node whose control nodes hang, die, lag and come back: it serves all the time, never goes back, and has the
//! newest when they do.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{cluster::Cluster, fixture, http::get, load::Load, node::DataNode, process::Pause, wait::eventually};
use tokio::{sync::Mutex, task::JoinHandle};

const NODES: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_serves_on_and_never_goes_back_whatever_its_control_nodes_do() {
    series(&[Trouble::Hangs, Trouble::Dies, Trouble::AllDie]).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_never_goes_back_in_a_long_series_of_troubles() {
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let all = [Trouble::Hangs, Trouble::Dies, Trouble::AllHang, Trouble::AllDie, Trouble::Lags];
    let troubles: Vec<_> = (0..40).map(|_| all[random.random_range(0..all.len())]).collect();
    series(&troubles).await;
}

/// What becomes of the control nodes of a data node.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The one that it follows hangs, and goes on when the node has left it.
    Hangs,
    /// The one that it follows dies, and is back at once.
    Dies,
    /// All hang for a while.
    AllHang,
    /// All die; the data node dies too, and serves again before any of them is back.
    AllDie,
    /// One was away, and is the only one to be reached when it is back, knowing less than the node.
    Lags,
}

async fn series(troubles: &[Trouble]) {
    let mut lab = Lab::start().await;
    for trouble in troubles {
        let held = lab.watch.last().await;
        match trouble {
            Trouble::Hangs => lab.hangs().await,
            Trouble::Dies => lab.dies().await,
            Trouble::AllHang => lab.all_hang().await,
            Trouble::AllDie => lab.all_die().await,
            Trouble::Lags => lab.lags().await,
        }
        lab.moves_beyond(held, trouble).await;
    }
    lab.end(troubles.len()).await;
}

struct Lab {
    cluster: Cluster,
    data: DataNode,
    load: Load,
    watch: Watch,
    path: String,
}

impl Lab {
    async fn start() -> Self {
        let cluster = Cluster::start(NODES, &[]).await;
        let cli = cluster.cli();
        let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "served", &["/one"]), &[]);
        drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
        let data = cluster.data_node("data", &[0, 1, 2]);
        let path = fixture::route(&api, "prod", "/one");
        let load = Load::start(&cluster.urls(), 2, "moves", 1);
        serves(&data, &path).await;
        Self { watch: Watch::start(&data, &path), cluster, data, load, path }
    }

    /// The control node that the data node follows.
    async fn followed(&self) -> usize {
        eventually("the data node follows a control node", || async {
            for index in 0..NODES {
                if gauge(self.cluster.http(index), "sluice_sync_sessions").await? > 0 {
                    return Ok(index);
                }
            }
            Err("none".to_owned())
        })
        .await
    }

    async fn hangs(&self) {
        let (followed, lost) = (self.followed().await, self.lost().await);
        self.cluster.pause(followed, Pause::Begin);
        eventually("the data node leaves a control node that hangs", || async {
            let now = self.lost().await;
            if now > lost { Ok(()) } else { Err(now) }
        })
        .await;
        self.moves_beyond(self.watch.last().await, &Trouble::Hangs).await;
        self.cluster.pause(followed, Pause::End);
    }

    async fn dies(&mut self) {
        let followed = self.followed().await;
        self.cluster.kill(followed);
        self.cluster.restart(followed);
    }

    async fn all_hang(&self) {
        let lost = self.lost().await;
        (0..NODES).for_each(|index| self.cluster.pause(index, Pause::Begin));
        eventually("the data node notices", || async {
            let now = self.lost().await;
            if now > lost { Ok(()) } else { Err(now) }
        })
        .await;
        (0..NODES).for_each(|index| self.cluster.pause(index, Pause::End));
    }

    async fn all_die(&mut self) {
        (0..NODES).for_each(|index| self.cluster.kill(index));
        let held = self.watch.pause().await;
        self.data.process.kill();
        self.data = self.cluster.data_node("data", &[0, 1, 2]);
        serves(&self.data, &self.path).await;
        let alone = gauge(self.data.operations, "sluice_revision_number").await.unwrap();
        assert_eq!(alone, held, "alone it serves what it served");
        self.watch.resume(&self.data).await;
        (0..NODES).for_each(|index| self.cluster.restart(index));
    }

    async fn lags(&mut self) {
        let lagging = self.cluster.follower().await;
        self.cluster.kill(lagging);
        let held = self.watch.last().await;
        self.moves_beyond(held, &Trouble::Lags).await;
        let fresh: Vec<usize> = (0..NODES).filter(|index| *index != lagging).collect();
        let lost = self.lost().await;
        fresh.iter().for_each(|index| self.cluster.pause(*index, Pause::Begin));
        self.cluster.restart(lagging);
        // It asks the one that lags too: it has no other.
        eventually("the data node looks for another control node", || async {
            let now = self.lost().await;
            if now > lost + 1 { Ok(()) } else { Err(now) }
        })
        .await;
        fresh.iter().for_each(|index| self.cluster.pause(*index, Pause::End));
    }

    async fn lost(&self) -> u64 {
        eventually("the data node counts", || gauge(self.data.operations, "sluice_follow_lost_total")).await
    }

    async fn moves_beyond(&self, held: u64, trouble: &Trouble) {
        eventually(&format!("after {trouble:?} the data node takes what is new"), || async {
            let now = self.watch.last().await;
            if now > held { Ok(()) } else { Err(now) }
        })
        .await;
    }

    async fn end(self, troubles: usize) {
        let expected = self.load.stop().await;
        for index in 0..NODES {
            self.cluster.ready(index).await;
        }
        let number = self.cluster.cli().json(&["cluster", "status"])["revision"]["number"].as_u64().unwrap();
        eventually("the data node has the newest", || async {
            let now = self.watch.last().await;
            if now == number { Ok(()) } else { Err(format!("{now} of {number}")) }
        })
        .await;
        let looks = self.watch.end().await;
        eprintln!(
            "{troubles} troubles, {} writes, revision {number}: {looks} looks at a revision that never fell, with a \
             request served each",
            expected.acknowledged()
        );
    }
}

async fn serves(data: &DataNode, path: &str) {
    eventually("the data node serves", || async {
        let answer = get(data.address, path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

/// Looks at a data node all the time: its revision never falls, it is ready, and every request is answered.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

struct Seen {
    /// Clients' port and that of operations; none while the node is away.
    node: Option<(SocketAddr, SocketAddr)>,
    path: String,
    revision: u64,
    looks: u64,
}

impl Watch {
    fn start(data: &DataNode, path: &str) -> Self {
        let node = Some((data.address, data.operations));
        let seen = Arc::new(Mutex::new(Seen { node, path: path.to_owned(), revision: 0, looks: 0 }));
        let stop = Arc::<AtomicBool>::default();
        let (shared, told) = (seen.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                shared.lock().await.look().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { seen, stop, task }
    }

    /// The revision that was seen last.
    async fn last(&self) -> u64 {
        assert!(!self.task.is_finished(), "the watch has said what is wrong");
        self.seen.lock().await.revision
    }

    /// Looks away; returns the revision that was seen last.
    async fn pause(&self) -> u64 {
        let mut seen = self.seen.lock().await;
        seen.node = None;
        seen.revision
    }

    /// Looks again: what it saw before still counts.
    async fn resume(&self, data: &DataNode) {
        self.seen.lock().await.node = Some((data.address, data.operations));
    }

    /// How often it has looked.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the watch has said what is wrong");
        self.seen.lock().await.looks
    }
}

impl Seen {
    async fn look(&mut self) {
        let Some((address, operations)) = self.node else { return };
        let revision = gauge(operations, "sluice_revision_number").await.unwrap();
        assert!(revision >= self.revision, "the revision went back from {} to {revision}", self.revision);
        assert_eq!(get(operations, "/readyz", &[]).await.unwrap().status(), 200);
        assert_eq!(get(address, &self.path, &[]).await.unwrap().status(), 200);
        self.revision = revision;
        self.looks += 1;
    }
}

/// What a node says of itself in its metrics.
async fn gauge(operations: SocketAddr, name: &str) -> Result<u64, String> {
    let page = get(operations, "/metrics", &[]).await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(page.body()).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.ok_or(format!("{name} is not on the page"))
}
