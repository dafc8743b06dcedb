//! The slow tier: what only many repetitions, or a build of its own, can show.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{
    cluster::Cluster,
    grpc::{change, made, new_key, read_key, request_id},
    process::Process,
    wait::eventually,
};

const NODES: usize = 3;
const KILLS: usize = 50;
const WRITERS: usize = 4;

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_no_acknowledged_write_and_make_none_twice() {
    let mut cluster = Cluster::start(NODES, &["--raft-snapshot-log-bytes", "1MiB"]).await;
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (acknowledged, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let urls: Vec<_> = (0..NODES).map(|index| cluster.url(index)).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(writer, urls.clone(), acknowledged.clone(), stop.clone())))
        .collect();
    for _ in 0..KILLS {
        let before = acknowledged.lock().unwrap().len();
        let victim = random.random_range(0..NODES);
        cluster.kill(victim);
        // Sometimes at once, so that a node dies amid its start or its catching up.
        if random.random_bool(0.5) {
            progress(&acknowledged, before).await;
        }
        cluster.restart(victim);
        progress(&acknowledged, before).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    eprintln!("{} acknowledged writes", acknowledged.len());
    assert!(acknowledged.len() > KILLS);
    for index in 0..NODES {
        cluster.ready(index).await;
        for (_, id) in &acknowledged {
            let read = eventually("the node reads", || async {
                match read_key(&cluster.url(index), id).await {
                    Err(status) if status.code() != tonic::Code::NotFound => Err(status),
                    read => Ok(read),
                }
            })
            .await;
            assert!(read.is_ok(), "node {index} has lost {id}: {read:?}");
        }
    }
    let keys = cluster.cli().with(&["--timeout", "60s"]).json(&["key", "list", "--all"]);
    let items = keys["items"].as_array().unwrap();
    let names: BTreeSet<_> = items.iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), items.len(), "a request that was sent again made its key twice");
    assert!(acknowledged.iter().all(|(name, _)| names.contains(name.as_str())));
}

/// Makes keys, each with one request id, at one node after the other until it is acknowledged.
async fn write(
    writer: usize,
    urls: Vec<String>,
    acknowledged: Arc<Mutex<Vec<(String, String)>>>,
    stop: Arc<AtomicBool>,
) {
    let mut turn = writer;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (name, id) = (format!("key-{writer}-{number}"), request_id());
        let reply = eventually("the write is acknowledged", || {
            turn += 1;
            let url = urls[turn % urls.len()].clone();
            let operations = vec![new_key(&name, &"x".repeat(1_000))];
            let id = id.clone();
            async move { change(&url, &id, operations).await }
        })
        .await;
        acknowledged.lock().unwrap().push((name, made(&reply)));
    }
}

async fn progress(acknowledged: &Mutex<Vec<(String, String)>>, before: usize) {
    eventually("writes go on", || async {
        let now = acknowledged.lock().unwrap().len();
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_what_it_says() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/demo.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg("--once").stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null());
    // What the build of the tests was told is not meant for the build of the demo.
    command.env_remove("SLUICE_CONTROL");
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let process = Process::adopt("demo.sh", child);
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut output, &mut text).map(|_| text)
    });
    let text = text.await.unwrap().unwrap();
    assert_eq!(process.wait(), Some(0), "{text}");
    assert!(text.contains("429"), "the tour shows a throttled request:\n{text}");
}
