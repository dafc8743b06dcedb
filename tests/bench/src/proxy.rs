//! CPU per proxied request: HTTP/1.1, keep-alive, 64 connections, an answer of 1 KB, each proxy on one core alone.

use anyhow::Result;
use sluice_e2e::{http::get, node::DataNode, wait::eventually};
use tempfile::TempDir;

use crate::{
    calibrate,
    load::{cpu_per_request, wrk},
    peers,
    report::{calibration, figure, median},
    rig::{Backend, LOAD_CORE, PROXY_CORE, Rig, pin},
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
            each.figures.push(cpu_per_request(each.pid, |seconds| wrk(&each.url, &each.headers, seconds))?);
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
