//! CPU per proxied request: HTTP/1.1, keep-alive, 64 connections, an answer of 1 KB, each proxy on one core alone.

use std::process::Command;

use anyhow::{Context as _, Result};
use sluice_e2e::{http::get, node::DataNode, wait::eventually};
use tempfile::TempDir;

use crate::{
    calibrate, peers,
    report::{calibration, figure, median},
    rig::{Backend, LOAD_CORE, PROXY_CORE, Rig, cpu_ns, pin},
};

struct Subject {
    name: String,
    pid: u32,
    url: String,
    headers: Vec<String>,
    figures: Vec<f64>,
}

/// Measures Sluice and the peers in turn, `runs` times.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let backend = Backend::start()?;
    let peers = peers::start(backend.port)?;
    let rig = Rig::start(1, 1, &backend.url())?;
    // One traffic core, as each peer has one worker; the cluster's own processes stay off its core.
    for pid in rig.dev.ready.pids.values() {
        pin(*pid, LOAD_CORE)?;
    }
    let folder = TempDir::new()?;
    let node = DataNode::start(&["taskset", "-c", PROXY_CORE], &folder.path().join("node"), &rig.dev.ready.admin[0]);
    let (data, gateway) = (node.process.pid(), format!("http://{}", node.address));
    let mut subjects = vec![
        subject("sluice", data, format!("{gateway}{}", rig.path("/plain")), &[]),
        subject(
            "sluice, key + plan + throttle",
            data,
            format!("{gateway}{}", rig.path("/keyed")),
            &[format!("x-api-key: {}", rig.key)],
        ),
    ];
    for peer in &peers {
        subjects.push(subject(peer.name, peer.process.pid(), format!("http://127.0.0.1:{}/", peer.port), &[]));
    }
    for each in &subjects {
        answers(each).await;
    }
    let mut loops = Vec::new();
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        for each in &mut subjects {
            each.figures.push(measure(each)?);
        }
    }
    print(&subjects);
    calibration(&loops);
    Ok(())
}

fn subject(name: &str, pid: u32, url: String, headers: &[String]) -> Subject {
    Subject { name: name.to_owned(), pid, url, headers: headers.to_vec(), figures: Vec::new() }
}

async fn answers(subject: &Subject) {
    let rest = subject.url.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (address, path) = (sluice_e2e::http::address(host), format!("/{path}"));
    let headers: Vec<(&str, &str)> = subject.headers.iter().filter_map(|line| line.split_once(": ")).collect();
    eventually(&subject.name, || async {
        let answer = get(address, &path, &headers).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 && answer.body().len() == 1024 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

/// Microseconds of CPU per request: a second of warm-up, then two measured.
fn measure(subject: &Subject) -> Result<f64> {
    wrk(subject, "1s")?;
    let before = cpu_ns(subject.pid);
    let requests = wrk(subject, "2s")?;
    Ok((cpu_ns(subject.pid) - before) as f64 / 1_000.0 / requests as f64)
}

fn wrk(subject: &Subject, duration: &str) -> Result<u64> {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CORE, "wrk", "-t1", "-c64", "-d", duration]);
    for header in &subject.headers {
        command.args(["-H", header]);
    }
    let output = command.arg(&subject.url).output().context("wrk runs; install Debian's package wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{}: wrk saw errors:\n{text}",
        subject.name
    );
    let line = text.lines().find(|line| line.contains(" requests in ")).with_context(|| format!("wrk said {text}"))?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

fn print(subjects: &[Subject]) {
    for each in subjects {
        figure(&format!("CPU per proxied request: {}", each.name), "us", &each.figures, "-");
    }
    let of = |name: &str| subjects.iter().find(|each| each.name == name).map(|each| median(&each.figures));
    let Some(own) = of("sluice") else { return };
    for (peer, goal) in [("nginx", "<= 1.25"), ("haproxy", "-"), ("envoy", "<= 0.60")] {
        if let Some(other) = of(peer) {
            println!("{:<58} {:>10.2} x {:<30} goal {goal}", format!("sluice / {peer}"), own / other, "");
        }
    }
}
