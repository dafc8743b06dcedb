//! 100,000 API keys by CSV: committed and served; and what one costs in a data node's memory.

use std::{fmt::Write as _, fs, process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};
use sluice_e2e::{http::get, wait::eventually};
use tempfile::TempDir;

use crate::{
    calibrate,
    change::{count_keys, leader},
    report::{calibration, figure},
    rig::{Backend, Rig, path_text},
};

const KEYS: usize = 100_000;

/// Imports the keys into a cluster of three control nodes and one data node, a new cluster a run.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let backend = Backend::start()?;
    let (mut seconds, mut bytes, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        let rig = Rig::start(3, 1, &backend.url())?;
        let measured = once(&rig).await?;
        seconds.push(measured.seconds);
        bytes.push(measured.bytes_per_key);
    }
    figure("100,000 API keys by CSV, committed and served", "s", &seconds, "<= 30");
    figure("memory per key in a data node, trimmed (resident)", "bytes", &bytes, "<= 250");
    calibration(&loops);
    Ok(())
}

struct Measured {
    seconds: f64,
    bytes_per_key: f64,
}

async fn once(rig: &Rig) -> Result<Measured> {
    let folder = TempDir::new()?;
    let file = folder.path().join("keys.csv");
    let cli = rig.dev.cli();
    let plans = cli.json(&["plan", "list"]);
    let plan = plans["items"][0]["id"].as_str().context("the rig made a plan")?.to_owned();
    fs::write(&file, csv(&plan)?)?;
    let data = rig.dev.pid("data-1");
    let before = settled(rig, data)?;
    let start = Instant::now();
    drop(cli.json(&["key", "import", path_text(&file)?]));
    let last = value(KEYS - 1);
    let (gateway, path) = (rig.dev.gateway(0), rig.path("/keyed"));
    eventually("the last key is served", || async {
        let answer = get(gateway, &path, &[("x-api-key", &last)]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    let seconds = start.elapsed().as_secs_f64();
    let count = count_keys(leader(&rig.dev).await?).await?;
    ensure!(count == KEYS + 1, "{count} keys are stored, not {}", KEYS + 1);
    let grown = settled(rig, data)?.saturating_sub(before);
    Ok(Measured { seconds, bytes_per_key: grown as f64 / KEYS as f64 })
}

/// Resident bytes of a data node that has just served: its allocator gives freed memory back while it is used.
fn settled(rig: &Rig, data: u32) -> Result<u64> {
    let url = format!("http://{}{}", rig.dev.gateway(0), rig.path("/plain"));
    let output = Command::new("wrk").args(["-t1", "-c32", "-d4s", &url]).output();
    let output = output.context("wrk runs; install Debian's package wrk")?;
    ensure!(output.status.success(), "wrk failed:\n{}", String::from_utf8_lossy(&output.stderr));
    resident(data)
}

fn csv(plan: &str) -> Result<String> {
    let mut text = String::from("name,key,description,enabled,usageplanIds\n");
    for index in 0..KEYS {
        writeln!(text, "customer-{index},{},,true,{plan}", value(index))?;
    }
    Ok(text)
}

fn value(index: usize) -> String {
    format!("bench-key-{index:030}")
}

/// Bytes of a process that are in memory and its own.
fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = text
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kilobytes.sum::<u64>() * 1024)
}
