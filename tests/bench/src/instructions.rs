//! User instructions, counted by callgrind: repeatable whatever else the machine does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use sluice_e2e::{http::get, node::DataNode, process::program, wait::eventually};
use tempfile::TempDir;

use crate::rig::{Backend, Rig};

/// The two lengths whose difference is measured: start and idling cancel out.
const SHORT: u64 = 2_000;
const LONG: u64 = 22_000;
/// Route lookups that are measured.
const LOOKUPS: u64 = 100_000;

/// Prints instructions per proxied request, and what key, plan and throttle add.
pub(crate) async fn run() -> Result<()> {
    let backend = Backend::start()?;
    let rig = Rig::start(1, 1, &backend.url())?;
    let key = [format!("x-api-key: {}", rig.key)];
    let plain = per_request(&rig, "/plain", &[]).await?;
    let carried = per_request(&rig, "/plain", &key).await?;
    let keyed = per_request(&rig, "/keyed", &key).await?;
    println!("{:<58} {plain:>10.0}          goal <= 34000", "user instructions per proxied request");
    println!("{:<58} {:>10.0}", "added by a header x-api-key that no one looks at", carried - plain);
    println!("{:<58} {:>10.0}          goal <= 2500", "added by API key + plan + throttle", keyed - carried);
    Ok(())
}

async fn per_request(rig: &Rig, route: &str, headers: &[String]) -> Result<f64> {
    let short = counted(rig, route, headers, SHORT).await?;
    let long = counted(rig, route, headers, LONG).await?;
    Ok((long - short) as f64 / (LONG - SHORT) as f64)
}

/// Instructions of a data node that starts, serves `requests` and stops.
async fn counted(rig: &Rig, route: &str, headers: &[String], requests: u64) -> Result<u64> {
    let folder = TempDir::new()?;
    let out = folder.path().join("callgrind.out");
    let file = format!("--callgrind-out-file={}", out.display());
    let mut node =
        DataNode::start(&["valgrind", "--tool=callgrind", &file], &folder.path().join("node"), &rig.dev.ready.admin[0]);
    let address = node.address;
    let path = rig.path(route);
    let pairs: Vec<(&str, &str)> = headers.iter().filter_map(|line| line.split_once(": ")).collect();
    eventually("the data node under callgrind serves", || async {
        let answer = get(address, &path, &pairs).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    load(&format!("http://{address}{path}"), headers, requests)?;
    node.process.stop();
    collected(&out)
}

fn load(url: &str, headers: &[String], requests: u64) -> Result<()> {
    let mut command = Command::new("h2load");
    command.args(["--h1", "-t1", "-c32", "-m1", "-n", &requests.to_string()]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().context("h2load runs; install Debian's package nghttp2-client")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains(&format!("{requests} succeeded")), "h2load did not succeed:\n{text}");
    Ok(())
}

/// The total that callgrind wrote.
fn collected(out: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(out).with_context(|| format!("callgrind wrote {}", out.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    Ok(line.context("callgrind writes its totals")?.split_whitespace().next().unwrap_or_default().parse()?)
}

/// Prints instructions per route lookup in a small and a large API.
pub(crate) fn routes() -> Result<()> {
    let small = per_lookup(1_100)?;
    let large = per_lookup(100_000)?;
    println!("{:<58} {small:>10.0}", "user instructions per route lookup, 1,100 routes");
    println!("{:<58} {large:>10.0}          goal within 20 %", "user instructions per route lookup, 100,000 routes");
    println!("{:<58} {:>10.2} x", "100,000 / 1,100", large / small);
    Ok(())
}

fn per_lookup(routes: u64) -> Result<f64> {
    let folder = TempDir::new()?;
    let out: PathBuf = folder.path().join("callgrind.out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--toggle-collect=route_lookup::look_up*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program("route-lookup"))
        .args([routes.to_string(), LOOKUPS.to_string()])
        .status()?;
    ensure!(status.success(), "route-lookup under callgrind failed");
    Ok(collected(&out)? as f64 / LOOKUPS as f64)
}
