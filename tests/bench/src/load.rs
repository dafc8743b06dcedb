//! Load on a proxy from the core beside it, and what a request costs the proxy.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::rig::{LOAD_CORE, cpu_ns};

/// Microseconds of CPU of a process per request: a second of warm-up, then two measured.
pub(crate) fn cpu_per_request(pid: u32, load: impl Fn(u64) -> Result<u64>) -> Result<f64> {
    load(1)?;
    let before = cpu_ns(pid);
    let requests = load(2)?;
    Ok((cpu_ns(pid) - before) as f64 / 1_000.0 / requests as f64)
}

/// HTTP/1.1 with 64 connections; how many requests were answered.
pub(crate) fn wrk(url: &str, headers: &[String], seconds: u64) -> Result<u64> {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CORE, "wrk", "-t1", "-c64", "-d", &format!("{seconds}s")]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().context("wrk runs; install Debian's package wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{url}: wrk saw errors:\n{text}");
    let line = text.lines().find(|line| line.contains(" requests in ")).with_context(|| format!("wrk said {text}"))?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

/// HTTP/2 with 16 connections of 10 streams; how many requests were answered.
pub(crate) fn h2load(url: &str, seconds: u64) -> Result<u64> {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CORE, "h2load", "-t1", "-c16", "-m10", "-D", &seconds.to_string()]);
    let output = command.arg(url).output().context("h2load runs; install Debian's package nghttp2-client")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("Application protocol: h2"), "{url}: HTTP/2 was not agreed on:\n{text}");
    let line =
        text.lines().find(|line| line.starts_with("requests: ")).with_context(|| format!("h2load said {text}"))?;
    let count = |what: &str| {
        let words = line.split(", ").find(|words| words.ends_with(what));
        words.and_then(|words| words.split_whitespace().next()?.parse::<u64>().ok())
    };
    let (succeeded, failed) = (count("succeeded"), count("failed"));
    ensure!(failed == Some(0), "{url}: requests failed:\n{text}");
    succeeded.with_context(|| format!("h2load said {text}"))
}
