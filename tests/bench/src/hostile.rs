//! An ordinary client beside hostile ones: its failures, and its p99 before and meanwhile.
//!
//! The hostile ones are another process, at the lowest priority: on two cores they would otherwise take from node and client
//! what they take from nobody on a machine of their own.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use sluice_e2e::http::address;

use crate::{
    calibrate,
    report::{calibration, figure, quantile},
    rig::{Backend, Rig},
    taken::flood::Aim,
};

/// Connections of the ordinary client, and the pause between two requests of one.
const CONNECTIONS: usize = 8;
const PACE: Duration = Duration::from_millis(4);
/// How long each attack is looked at, and how long it may take to be under way.
const WATCHED: Duration = Duration::from_secs(4);
const UNDER_WAY: Duration = Duration::from_millis(500);
/// Connections that do nothing, or little.
const IDLE: usize = 1_000;
const SLOW: usize = 300;

/// Attacks beside the floods.
const OTHERS: [&str; 3] = ["idle connections", "slow heads", "slow bodies"];

/// Measures the client alone, then beside each attack.
pub(crate) async fn run(runs: usize) -> Result<()> {
    let backend = Backend::start()?;
    let rig = Rig::start(1, 1, &backend.url())?;
    let node = address(&rig.dev.ready.gateway[0]);
    let aim = aim(&rig.path("/plain"));
    let names: Vec<&str> = aim.floods().iter().map(|flood| flood.name).chain(OTHERS).collect();
    let (mut loops, mut failures) = (Vec::new(), 0);
    let mut before = Vec::new();
    let mut during = vec![Vec::new(); names.len()];
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        for (name, during) in names.iter().zip(&mut during) {
            let alone = watched(node, &aim.quick)?;
            let attack = Attack::start(name, node, &aim.quick)?;
            std::thread::sleep(UNDER_WAY);
            let beside = watched(node, &aim.quick)?;
            drop(attack);
            failures += alone.failures + beside.failures;
            before.push(alone.p99_ms);
            during.push(beside.p99_ms);
        }
    }
    figure("p99 of an ordinary client alone", "ms", &before, "-");
    for (name, during) in names.iter().zip(&during) {
        figure(&format!("p99 beside: {name}"), "ms", during, "<= alone + 3");
    }
    println!("{:<58} {failures:>10} {:<40} goal 0", "failed requests", "");
    calibration(&loops);
    rig.dev.stop();
    Ok(())
}

fn aim(path: &str) -> Aim {
    Aim { host: "localhost".to_owned(), quick: path.to_owned(), held: path.to_owned() }
}

/// Attacks until the process is ended.
pub(crate) fn pour(arguments: &[String]) -> Result<()> {
    let [name, node, path] = arguments else { anyhow::bail!("usage: sluice-bench pour NAME ADDRESS PATH") };
    let node: SocketAddr = node.parse()?;
    let mut floods = aim(path).floods().into_iter();
    match (floods.find(|flood| flood.name == name.as_str()), name.as_str()) {
        (Some(flood), _) => loop {
            let _end = flood.pour(node);
        },
        (None, "idle connections") => hold(node, IDLE, &get(path), ""),
        (None, "slow heads") => hold(node, SLOW, &format!("GET {path} HTTP/1.1\r\nX: "), "a"),
        (None, "slow bodies") => {
            let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
            hold(node, SLOW, &head, "a")
        }
        (None, other) => anyhow::bail!("there is no attack {other}"),
    }
}

/// Keeps so many connections that have said `first` and go on with `drop`.
fn hold(node: SocketAddr, count: usize, first: &str, drop: &str) -> Result<()> {
    let mut held: Vec<TcpStream> = Vec::new();
    loop {
        held.retain_mut(|socket| socket.write_all(drop.as_bytes()).is_ok());
        while held.len() < count {
            let mut socket = TcpStream::connect(node)?;
            socket.write_all(first.as_bytes())?;
            held.push(socket);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A process that attacks until this is dropped.
struct Attack(Child);

impl Attack {
    fn start(name: &str, node: SocketAddr, path: &str) -> Result<Self> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).args(["pour", name, &node.to_string(), path]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Ok(Self(child.context("nice is part of coreutils")?))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Seen {
    p99_ms: f64,
    failures: usize,
}

/// What an ordinary client meets for a while.
fn watched(node: SocketAddr, path: &str) -> Result<Seen> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, request) = (Arc::clone(&stop), get(path));
            std::thread::spawn(move || client(node, &request, &stop))
        })
        .collect();
    std::thread::sleep(WATCHED);
    stop.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    let mut failures = 0;
    for client in clients {
        match client.join() {
            Ok(Ok(times)) => seen.extend(times),
            _ => failures += 1,
        }
    }
    ensure!(!seen.is_empty(), "no request was answered");
    Ok(Seen { p99_ms: quantile(&seen, 0.99), failures })
}

/// Asks until it is told to stop; the times in milliseconds.
fn client(node: SocketAddr, request: &str, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut socket = TcpStream::connect(node)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut times, mut room) = (Vec::new(), [0; 8 * 1024]);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        socket.write_all(request.as_bytes())?;
        let mut read = socket.read(&mut room)?;
        ensure!(room.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&room[..read]));
        // The backend's answer is 1 KB of this.
        while !room[..read].ends_with(b"xxxx") {
            let more = socket.read(&mut room)?;
            ensure!(more > 0, "the answer is cut off");
            read = more;
        }
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        std::thread::sleep(PACE);
    }
    Ok(times)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
