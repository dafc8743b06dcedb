//! Clusters of every size: members come and go while changes are made, and nothing that was acknowledged is lost.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use sluice_e2e::{
    cluster::Cluster,
    grpc::{change, made, new_key, read_key, request_id},
    wait::eventually,
};
use tokio::task::JoinHandle;

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
    holds(&cluster, left, &keys).await;
    holds(&cluster, fourth, &keys).await;
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
        holds(&cluster, index, &keys).await;
    }
    let listed = cluster.cli().with(&["--timeout", "60s"]).json(&["key", "list", "--all"]);
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), keys.len(), "a request that was sent again made its key twice");
}

async fn holds(cluster: &Cluster, index: usize, keys: &[String]) {
    cluster.ready(index).await;
    for key in keys {
        let read = eventually("the node reads", || async {
            match read_key(&cluster.url(index), key).await {
                Err(status) if status.code() != tonic::Code::NotFound => Err(status),
                read => Ok(read),
            }
        })
        .await;
        assert!(read.is_ok(), "node {index} has lost {key}: {read:?}");
    }
}

/// Makes keys one after the other, each with one request id, at one node after the other until it is acknowledged.
struct Writer {
    keys: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(urls: Vec<String>) -> Self {
        let (keys, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (kept, told) = (keys.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut turn = 0;
            while !told.load(Ordering::Relaxed) {
                let id = request_id();
                let reply = eventually("the write is acknowledged", || {
                    turn += 1;
                    let (url, id) = (urls[turn % urls.len()].clone(), id.clone());
                    async move { change(&url, &id, vec![new_key("one", "")]).await }
                })
                .await;
                kept.lock().unwrap().push(made(&reply));
            }
        });
        Self { keys, stop, task }
    }

    fn acknowledged(&self) -> usize {
        self.keys.lock().unwrap().len()
    }

    async fn goes_on(&self, before: usize) {
        eventually("changes are made", || async {
            let now = self.acknowledged();
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
    }

    async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let keys = self.keys.lock().unwrap();
        keys.clone()
    }
}
