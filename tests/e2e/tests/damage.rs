//! Files that are not as they were written: found, named, mended where the node can, and never served.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use sluice_e2e::{
    cluster::Cluster,
    fixture,
    follow::Observer,
    grpc::{change, new_key, request_id},
    http::get,
    node::DataNode,
    wait::eventually,
};
use sluice_proto::sync::SnapshotEnd;

/// Enough rows for several blocks of a file.
const KEYS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_last_good_copy_is_not_served_and_is_fetched_again() {
    let cluster = Cluster::start(1, &[]).await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "first", &["/one"]), &[]);
    let mut data = cluster.data_node("data", &[0]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let one = fixture::route(&api, "prod", "/one");
    answers(&data, &one).await;
    assert_eq!(data.process.stop(), Some(0));
    let base = cluster.folder("data").join("last-good.base");
    let good = fs::read(&base).unwrap();
    for place in [0, 40, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[place] ^= 0x10;
        fs::write(&base, &flipped).unwrap();
        let mut alone = DataNode::start(&[], &cluster.folder("data"), "http://127.0.0.1:1");
        eventually("the node says that it has nothing", || async {
            let ready = get(alone.operations, "/readyz", &[]).await.map_err(|error| error.to_string())?;
            if ready.status() == 503 { Ok(()) } else { Err(format!("{ready:?}")) }
        })
        .await;
        assert_ne!(get(alone.address, &one, &[]).await.unwrap().status(), 200, "flipped at {place}");
        alone.process.kill();
    }
    let log = fs::read_to_string(cluster.folder("data").with_extension("log")).unwrap();
    assert!(log.contains("last-good.base") && log.contains("is not served"), "{log}");
    let mut again = cluster.data_node("data", &[0]);
    answers(&again, &one).await;
    assert_eq!(again.process.stop(), Some(0));
    let alone = DataNode::start(&[], &cluster.folder("data"), "http://127.0.0.1:1");
    answers(&alone, &one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_made_again_and_a_damaged_log_is_named_and_refused() {
    let (mut cluster, expect) = filled().await;
    let damaged = cluster.follower().await;
    assert_eq!(cluster.stop(damaged), Some(0));
    let (folder, kept) = (cluster.data_dir(damaged), cluster.folder("kept"));
    copy(&folder, &kept);
    // A checkpoint shares files with the state: only what is not shared can be mended from it.
    for file in ["MANIFEST-", "CURRENT", ".log"] {
        let path = largest(&state_of(&folder), file).unwrap_or_else(|| panic!("the state has a file {file}"));
        flip(&path, 2);
        cluster.restart(damaged);
        assert_eq!(outcome(&mut cluster, damaged).await, None, "{}", path.display());
        same(&cluster, damaged, &expect, file).await;
        cluster.kill(damaged);
        put_back(&kept, &folder);
    }
    fs::write(folder.join("raft/state/CURRENT"), "state-999\n").unwrap();
    cluster.restart(damaged);
    assert_eq!(outcome(&mut cluster, damaged).await, None);
    same(&cluster, damaged, &expect, "raft/state/CURRENT").await;
    cluster.kill(damaged);
    put_back(&kept, &folder);

    let log = largest(&folder.join("raft/log"), ".log").expect("the log of raft has a log of RocksDB's");
    flip(&log, 1);
    cluster.restart(damaged);
    let status = outcome(&mut cluster, damaged).await.expect("a node with a damaged log does not start");
    assert_eq!(status.code(), Some(1));
    let said = last_words(&cluster, damaged);
    assert!(said.contains("raft/log is damaged") && said.contains("token create"), "{said}");
    put_back(&kept, &folder);
    cluster.restart(damaged);
    assert_eq!(outcome(&mut cluster, damaged).await, None, "with its own files it goes on");
    same(&cluster, damaged, &expect, "nothing").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn whichever_file_of_a_stopped_control_node_is_flipped_the_node_says_so_or_is_right() {
    let (mut cluster, expect) = filled().await;
    let damaged = cluster.follower().await;
    assert_eq!(cluster.stop(damaged), Some(0));
    let (folder, kept) = (cluster.data_dir(damaged), cluster.folder("kept"));
    copy(&folder, &kept);
    let (mut refused, mut right) = (Vec::new(), Vec::new());
    for path in files(&kept.join("raft")) {
        let name = path.strip_prefix(&kept).unwrap().to_owned();
        let file = name.file_name().unwrap().to_string_lossy().into_owned();
        // RocksDB's own diary, and a file that is only locked.
        if file.starts_with("LOG") || file == "LOCK" {
            continue;
        }
        for part in 0..4 {
            put_back(&kept, &folder);
            flip(&folder.join(&name), part);
            let what = format!("{} at {part} of 3", name.display());
            cluster.restart(damaged);
            match outcome(&mut cluster, damaged).await {
                None => {
                    same(&cluster, damaged, &expect, &what).await;
                    right.push(what);
                    cluster.kill(damaged);
                }
                Some(status) => {
                    let said = last_words(&cluster, damaged);
                    assert!(said.contains("raft/"), "{what}: {status}: {said}");
                    refused.push(what);
                    cluster.kill(damaged);
                }
            }
        }
    }
    assert!(right.len() > 4 && refused.len() > 1, "refused: {refused:#?}\nright: {right:#?}");
    eprintln!("refused: {refused:#?}\nright: {right:#?}");
}

/// Three control nodes with some keys and an API, each with a checkpoint; and what a data node is to be told.
async fn filled() -> (Cluster, SnapshotEnd) {
    let cluster = Cluster::start(3, &["--raft-snapshot-interval", "10s"]).await;
    let cli = cluster.cli();
    let api = fixture::import(&cli, &fixture::mock(&cluster.folder(""), "first", &["/one", "/two"]), &[]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let leader = cluster.leader().await;
    let keys = (0..KEYS).map(|key| new_key(&format!("key-{key}"), &"x".repeat(500)));
    drop(change(&cluster.url(leader), &request_id(), keys.collect()).await.unwrap());
    for index in 0..3 {
        let snapshots = cluster.data_dir(index).join("raft/snapshots");
        eventually("there is a checkpoint", || {
            let names = fs::read_dir(&snapshots).map(|found| found.flatten().collect::<Vec<_>>()).unwrap_or_default();
            let whole = names.iter().any(|entry| entry.file_name() != "building");
            std::future::ready(if whole { Ok(()) } else { Err(names) })
        })
        .await;
    }
    let expect = observer(&cluster).snapshot(&cluster.url(leader)).await.unwrap();
    (cluster, expect)
}

/// How a node that was started ends; none when it is ready.
async fn outcome(cluster: &mut Cluster, index: usize) -> Option<ExitStatus> {
    let address = cluster.http(index);
    eventually("the node is ready or has ended", || {
        let ended = cluster.ended(index);
        async move {
            match (ended, get(address, "/readyz", &[]).await) {
                (Some(status), _) => Ok(Some(status)),
                (None, Ok(answer)) if answer.status() == 200 => Ok(None),
                (None, other) => Err(format!("{other:?}")),
            }
        }
    })
    .await
}

/// What a node that ended said why.
fn last_words(cluster: &Cluster, index: usize) -> String {
    let log = fs::read_to_string(cluster.folder(&format!("control-{}.log", index + 1))).unwrap();
    let said = log.lines().rev().find(|line| line.starts_with("error: ") || line.starts_with("sluice: "));
    said.unwrap_or_default().to_owned()
}

fn observer(cluster: &Cluster) -> Observer {
    Observer::new(cluster.cli().json(&["cluster", "status"])["clusterId"].as_str().unwrap())
}

async fn same(cluster: &Cluster, index: usize, expect: &SnapshotEnd, what: &str) {
    let observer = observer(cluster);
    let found = eventually("the node streams", || async {
        observer.snapshot(&cluster.url(index)).await.map_err(|status| status.to_string())
    })
    .await;
    assert_eq!(found, *expect, "after damage to {what}: revision, rows and digest");
}

/// The folder of the state in use.
fn state_of(data_dir: &Path) -> PathBuf {
    let states = data_dir.join("raft/state");
    states.join(fs::read_to_string(states.join("CURRENT")).unwrap().trim())
}

/// The largest file whose name begins or ends so.
fn largest(folder: &Path, named: &str) -> Option<PathBuf> {
    let is_named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(named) || name.ends_with(named)
    };
    let found = files(folder).into_iter().filter(is_named);
    found.max_by_key(|path| fs::metadata(path).map_or(0, |data| data.len()))
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Changes one byte, so many thirds of the way into the file.
fn flip(path: &Path, third: usize) {
    let mut bytes = fs::read(path).unwrap();
    if let Some(place) = bytes.len().checked_sub(1) {
        bytes[place * third / 3] ^= 0x10;
    }
    // Another file than the one that a checkpoint may share.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
    }
}

fn put_back(kept: &Path, folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy(kept, folder);
}

async fn answers(node: &DataNode, path: &str) {
    eventually("the data node answers", || async {
        let answer = get(node.address, path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
