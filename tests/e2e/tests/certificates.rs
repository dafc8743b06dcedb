//! Certificates over real processes: renewed while everything runs, and after a time in which nothing did.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use sluice_e2e::{
    certified::Certified,
    fixture::{import, mock, route},
    http::get,
    wait::eventually,
};
use sluice_identity::Identity;

/// What a node shows, as its file says.
fn shown(folder: PathBuf) -> Vec<u8> {
    let inside = folder.join("identity/node.pem");
    fs::read(if inside.is_file() { inside } else { folder.join("node.pem") }).unwrap()
}

/// Waits until every file has changed so many times.
async fn renewed(folders: &[PathBuf], times: usize) {
    for _ in 0..times {
        let before: Vec<_> = folders.iter().cloned().map(shown).collect();
        eventually("every node has a new certificate", || async {
            let changed =
                folders.iter().cloned().map(shown).zip(&before).filter(|(now, before)| now != *before).count();
            if changed == folders.len() { Ok(()) } else { Err(changed) }
        })
        .await;
    }
}

/// Requests to data nodes until it is told to stop; counts those that were answered otherwise than 200.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(cluster: &Certified, path: &str, data: usize) -> Self {
        let (stop, failed, served) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let targets: Vec<_> = (0..data).map(|index| cluster.gateway(index)).collect();
        let path = path.to_owned();
        let (stopped, bad, good) = (stop.clone(), Arc::clone(&failed), Arc::clone(&served));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                for target in &targets {
                    let answer = get(*target, &path, &[]).await;
                    let count: &AtomicUsize =
                        if answer.is_ok_and(|answer| answer.status() == 200) { &good } else { &bad };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { stop, failed, served, task }
    }

    /// How many were served, and how many were not.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        (self.served.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_the_node_serves_and_its_stream_does_not_end() {
    let cluster = Certified::start(1, 1, &["--certificate-lifetime", "8s"]).await;
    let cli = cluster.cli();
    let file = mock(cluster.folder(), "pets", &["/pets"]);
    let api = import(&cli, &file, &[]);
    drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));
    let load = Load::start(&cluster, &route(&api, "prod", "/pets"), 1);
    let id = cluster.data_id(0);
    let before = cli.json(&["node", "get", &id])["certificateExpiresDate"].as_u64().unwrap();
    renewed(&[cluster.control_dir(0), cluster.data_dir(0)], 1).await;
    let after = cli.json(&["node", "get", &id])["certificateExpiresDate"].as_u64().unwrap();
    assert!(after > before, "{before} then {after}");
    let status = cli.json(&["cluster", "status"]);
    assert!(status["members"][0]["certificateExpiresDate"].as_u64().unwrap() >= before, "{status}");
    let metrics = get(cluster.operations(0), "/metrics", &[]).await.unwrap();
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    assert!(metrics.contains("sluice_certificate_renewals_total{kind=\"renewed\"}"), "{metrics}");
    assert!(metrics.contains("sluice_certificate_expires_seconds"), "{metrics}");
    // One stream from the beginning on: none of its certificates ended it.
    let log = cluster.logged("data-1");
    assert_eq!(log.matches("control node followed").count(), 1, "{log}");
    let (served, failed) = load.end().await;
    assert!(served > 0 && failed == 0, "{served} served, {failed} failed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn a_cluster_lives_through_many_certificates_under_load() {
    let cluster = Certified::start(3, 2, &["--certificate-lifetime", "12s"]).await;
    let cli = cluster.cli();
    let file = mock(cluster.folder(), "pets", &["/pets"]);
    let api = import(&cli, &file, &[]);
    drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));
    let load = Load::start(&cluster, &route(&api, "prod", "/pets"), 2);
    let folders: Vec<_> =
        (0..3).map(|index| cluster.control_dir(index)).chain((0..2).map(|index| cluster.data_dir(index))).collect();
    let writing = AtomicBool::new(true);
    let written = async {
        let mut written = 0;
        while writing.load(Ordering::Relaxed) {
            let cli = cli.clone();
            let name = format!("key-{written}");
            tokio::task::spawn_blocking(move || drop(cli.json(&["key", "create", &name]))).await.unwrap();
            written += 1;
        }
        written
    };
    let renewals = async {
        renewed(&folders, 4).await;
        writing.store(false, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(written, renewals);
    // A deployment reaches both data nodes over the streams that they opened with their first certificates.
    let deployed = cli.text(&["api", "deploy", &api, "--stage", "prod"]);
    let (served, failed) = load.end().await;
    assert!(served > 0 && failed == 0, "{served} served, {failed} failed");
    assert!(written > 0, "{deployed}");
    for name in ["data-1", "data-2"] {
        let log = cluster.logged(name);
        assert_eq!(log.matches("control node followed").count(), 1, "{log}");
    }
    // No leader was lost for it.
    assert_eq!(cli.json(&["cluster", "status"])["term"], 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn control_nodes_whose_certificates_expired_while_all_were_off_start_and_a_data_node_says_what_to_do() {
    let mut cluster = Certified::start(3, 1, &["--certificate-lifetime", "8s"]).await;
    let id = cluster.data_id(0);
    assert_eq!(cluster.stop_data(0), Some(0));
    for index in 0..3 {
        cluster.kill_control(index);
    }
    let until = |folder: PathBuf| {
        let identity = Identity::load(&folder).unwrap().unwrap();
        identity.credentials().unwrap().validity().until
    };
    let control = (0..3).map(|index| cluster.control_dir(index).join("identity"));
    let last = control.chain([cluster.data_dir(0)]).map(until).max().unwrap();
    eventually("all certificates have expired", || async { SystemTime::now().duration_since(last) }).await;
    for index in 0..3 {
        cluster.restart_control(index);
    }
    cluster.states("voter", 3).await;
    assert!(cluster.logged("control-1").contains("the certificate had expired"));
    cluster.restart_data(0);
    let words = format!("sluice node remove {id}");
    eventually("the data node says what to do", || async {
        let log = cluster.logged("data-1");
        if log.contains(&words) && log.contains("--role data") { Ok(()) } else { Err(log) }
    })
    .await;
}
