//! CPU per proxied request over TLS: HTTP/1.1 with 64 connections kept alive, HTTP/2 with 16 connections of 10 streams, an
//! answer of 1 KB, each proxy on one core alone. All speak TLS 1.3 with the same certificate (ECDSA, P-256).

use anyhow::Result;
use sluice_e2e::{
    node::{DataNode, free_address},
    tls::Authority,
    wait::eventually,
};
use tempfile::TempDir;

use crate::{
    calibrate,
    load::{cpu_per_request, h2load, wrk},
    peers::{self, Pair},
    report::{calibration, figure, median},
    rig::{Backend, LOAD_CORE, PROXY_CORE, Rig, path_text, pin},
};

struct Subject {
    name: &'static str,
    pid: u32,
    url: String,
    http1: Vec<f64>,
    http2: Vec<f64>,
}

/// Measures Sluice and the peers in turn, `runs` times.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let folder = TempDir::new()?;
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    Authority::new().issue("localhost", &certificate, &key);
    let backend = Backend::start()?;
    let peers = peers::start_tls(backend.port, &Pair { certificate: &certificate, key: &key })?;
    let rig = Rig::start(1, 1, &backend.url())?;
    for pid in rig.dev.ready.pids.values() {
        pin(*pid, LOAD_CORE)?;
    }
    let https = free_address();
    let flags = [
        ["--drain-delay", "0s"],
        ["--listen-https", &https.to_string()],
        ["--tls-certificates", path_text(&certificate)?],
        ["--tls-keys", path_text(&key)?],
    ];
    let starter = ["taskset", "-c", PROXY_CORE];
    let node = DataNode::with(&starter, &folder.path().join("node"), &rig.dev.ready.admin[0], flags.as_flattened());
    let subject = |name, pid, url| Subject { name, pid, url, http1: Vec::new(), http2: Vec::new() };
    let mut subjects = vec![subject("sluice", node.process.pid(), format!("https://{https}{}", rig.path("/plain")))];
    for peer in &peers {
        subjects.push(subject(peer.name, peer.process.pid(), format!("https://127.0.0.1:{}/", peer.port)));
    }
    for each in &subjects {
        eventually(each.name, || async { wrk(&each.url, &[], 1).map_err(|error| error.to_string()) }).await;
    }
    let mut loops = Vec::new();
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        for each in &mut subjects {
            each.http1.push(cpu_per_request(each.pid, |seconds| wrk(&each.url, &[], seconds))?);
            each.http2.push(cpu_per_request(each.pid, |seconds| h2load(&each.url, seconds))?);
        }
    }
    print("HTTP/1.1", &subjects, |subject| &subject.http1);
    print("HTTP/2 x 10", &subjects, |subject| &subject.http2);
    calibration(&loops);
    Ok(())
}

fn print(what: &str, subjects: &[Subject], figures: fn(&Subject) -> &Vec<f64>) {
    for each in subjects {
        figure(&format!("CPU per request over TLS, {what}: {}", each.name), "us", figures(each), "-");
    }
    let [own, peers @ ..] = subjects else { return };
    for peer in peers {
        let goal = if peer.name == "nginx" { "<= 1.10" } else { "-" };
        let ratio = median(figures(own)) / median(figures(peer));
        println!("{:<58} {ratio:>10.2} x {:<30} goal {goal}", format!("{what}: sluice / {}", peer.name), "");
    }
}
