//! `key create`: durable writes a second, and what each costs, with three control nodes and the client on this machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use sluice_e2e::dev::Dev;
use sluice_proto::{
    admin::{ChangeRequest, Operation, Put, operation},
    model::{ApiKey, Document, document},
};
use sluice_rpc::admin::config_client::ConfigClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    calibrate,
    change::leader,
    report::{calibration, figure},
    rig::cpu_ns,
};

/// The data node, which `sluice dev` does not go without.
const FOLLOWER: &str = "data-1";
const IN_FLIGHT: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);

/// Measures creating keys at the leader.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let folder = TempDir::new()?;
    let dev = Dev::start(3, 1, &folder.path().join("data"));
    let channel = leader(&dev).await?;
    let (mut rates, mut costs, mut follows, mut loops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        load(&channel, WARM_UP).await?;
        let (before, followed) = (cpu(&dev), cpu_ns(dev.pid(FOLLOWER)));
        let start = Instant::now();
        let written = load(&channel, MEASURED).await?;
        rates.push(written as f64 / start.elapsed().as_secs_f64());
        costs.push((cpu(&dev) - before) as f64 / 1_000.0 / written as f64);
        follows.push((cpu_ns(dev.pid(FOLLOWER)) - followed) as f64 / 1_000.0 / written as f64);
    }
    figure("key create, 64 in flight: durable writes a second", "/s", &rates, ">= 3000");
    figure("key create: CPU per write, three control nodes and client", "us", &costs, "<= 500");
    figure("key create: CPU per write of a data node that follows", "us", &follows, "-");
    calibration(&loops);
    dev.stop();
    Ok(())
}

/// CPU of the control nodes and of this client.
fn cpu(dev: &Dev) -> u64 {
    let nodes = dev.ready.pids.iter().filter(|(name, _)| *name != FOLLOWER);
    nodes.map(|(_, pid)| cpu_ns(*pid)).sum::<u64>() + cpu_ns(std::process::id())
}

async fn load(channel: &Channel, duration: Duration) -> Result<usize> {
    let end = Instant::now() + duration;
    let written = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for _ in 0..IN_FLIGHT {
        let (mut client, written) = (ConfigClient::new(channel.clone()), Arc::clone(&written));
        writers.push(tokio::spawn(async move {
            while Instant::now() < end {
                client.change(create()).await?;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), tonic::Status>(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    Ok(written.load(Ordering::Relaxed))
}

fn create() -> ChangeRequest {
    let key = ApiKey { name: "bench".to_owned(), ..Default::default() };
    let document = Some(Document { kind: Some(document::Kind::ApiKey(key)) });
    let put = operation::Kind::Put(Put { document, expected_version: Some(0) });
    let request_id = uuid::Uuid::now_v7().as_bytes().to_vec();
    ChangeRequest { request_id, operations: vec![Operation { kind: Some(put) }] }
}
