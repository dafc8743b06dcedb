//! How long a client waits for its next acknowledgement when the leader is killed, with three control nodes and the client
//! on this machine.

use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_e2e::{
    cluster::Cluster,
    grpc::{change_within, new_key, request_id},
};

use crate::{
    calibrate,
    report::{calibration, figure},
};

const NODES: usize = 3;
const KILLS: usize = 20;
/// How long the client waits for one node before it asks the next.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two tries, so that a node that refuses at once is not asked without pause.
const PAUSE: Duration = Duration::from_millis(5);
/// Before each kill, so that the last one is over for all.
const QUIET_WRITES: usize = 50;

/// Kills the leader so many times for each run and measures how long the client could not write.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let (mut halves, mut tails, mut worst, mut loops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        let mut gaps = series().await?;
        gaps.sort_by(f64::total_cmp);
        halves.push(gaps[gaps.len() / 2]);
        tails.push(gaps[(gaps.len() * 95).div_ceil(100) - 1]);
        worst.push(gaps[gaps.len() - 1]);
    }
    figure("killed leader: until the next acknowledged write, p50 of 20", "ms", &halves, "-");
    figure("killed leader: until the next acknowledged write, p95 of 20", "ms", &tails, "<= 3000");
    figure("killed leader: until the next acknowledged write, the longest of 20", "ms", &worst, "-");
    calibration(&loops);
    Ok(())
}

/// Milliseconds without an acknowledged write, for each kill.
async fn series() -> Result<Vec<f64>> {
    let mut cluster = Cluster::start(NODES, &[]).await;
    let urls = cluster.urls();
    let mut gaps = Vec::new();
    let mut client = Client { urls, next: 0 };
    for _ in 0..KILLS {
        for _ in 0..QUIET_WRITES {
            client.write().await;
        }
        let leader = cluster.leader().await;
        // The client talks to whichever node it likes; the gap is the longer when it is the one that dies.
        client.next = leader;
        let killed = Instant::now();
        cluster.kill(leader);
        client.write().await;
        gaps.push(killed.elapsed().as_secs_f64() * 1_000.0);
        cluster.restart(leader);
        cluster.ready(leader).await;
    }
    Ok(gaps)
}

/// A client that knows all nodes and goes to the next when one does not acknowledge.
struct Client {
    urls: Vec<String>,
    next: usize,
}

impl Client {
    /// One write until it is acknowledged, under one request id.
    async fn write(&mut self) {
        let id = request_id();
        loop {
            let url = &self.urls[self.next % self.urls.len()];
            if change_within(ATTEMPT, url, &id, vec![new_key("bench", "")]).await.is_ok() {
                return;
            }
            self.next += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
