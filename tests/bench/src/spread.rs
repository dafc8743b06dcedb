//! How connections lie on the cores of a data node: 8 and 1,000 of them, opened one right after another.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result};
use sluice_e2e::{http::get, node::DataNode, wait::eventually};
use tempfile::TempDir;

use crate::{
    rig::{Backend, Rig},
    sockets::raise_descriptors,
};

const CORES: usize = 4;

/// Prints the connections of each core, and how many of them the kernel had given to another.
pub(crate) async fn run() -> Result<()> {
    raise_descriptors()?;
    let backend = Backend::start()?;
    let rig = Rig::start(1, 1, &backend.url())?;
    for count in [8, 1_000] {
        let folder = TempDir::new()?;
        let (data_dir, cores) = (folder.path().join("node"), CORES.to_string());
        let flags = ["--drain-delay", "0s", "--cores", &cores];
        let node = DataNode::with(&[], &data_dir, &rig.dev.ready.admin[0], &flags);
        eventually("the data node is ready", || async {
            let answer = get(node.operations, "/readyz", &[]).await.map_err(|error| error.to_string())?;
            if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
        })
        .await;
        let clients = (0..count).map(|_| TcpStream::connect(node.address)).collect::<Result<Vec<_>, _>>()?;
        let seen = eventually("every connection is taken", || async {
            let seen = spread(node.operations).await.map_err(|error| error.to_string())?;
            if seen.by_core.iter().sum::<u64>() == count { Ok(seen) } else { Err(format!("{:?}", seen.by_core)) }
        })
        .await;
        let cores: Vec<String> = seen.by_core.iter().map(u64::to_string).collect();
        println!(
            "{:<58} {}   ({} handed over)",
            format!("{count} connections on {CORES} cores"),
            cores.join(" "),
            seen.handed
        );
        drop(clients);
    }
    Ok(())
}

struct Spread {
    by_core: Vec<u64>,
    handed: u64,
}

async fn spread(operations: SocketAddr) -> Result<Spread> {
    let page = get(operations, "/metrics", &[]).await?;
    let page = String::from_utf8_lossy(page.body()).into_owned();
    let values = |name: &str| {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect::<Vec<u64>>()
    };
    let handed = values("sluice_connections_handed_total").first().copied();
    Ok(Spread { by_core: values("sluice_core_connections{"), handed: handed.context("a node counts what it handed")? })
}
