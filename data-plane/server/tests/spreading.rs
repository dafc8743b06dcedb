//! How connections lie on the cores of a node, whatever the kernel chose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::net::SocketAddr;

use rig::{Backend, Client, blocking, get, node, operations, settings, wait_until};
use sluice_data::Settings;

const CORES: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    OneByOne,
    AtOnce,
}

/// Open connections by core.
fn spread(ops: SocketAddr) -> Vec<usize> {
    let page = operations(ops, "/metrics").body;
    let lines = page.lines().filter_map(|line| line.strip_prefix("sluice_core_connections{")?.split_once("} "));
    lines.map(|(_, count)| count.parse().unwrap()).collect()
}

async fn check(connections: usize, pace: Pace, most: usize) {
    let backend = Backend::start();
    let cores = Some(u16::try_from(CORES).unwrap());
    let node = node(Settings { cores, ..settings() }, backend.address).await;
    let (address, ops) = (node.http(), node.operations());
    blocking(move || {
        let taken = |count| wait_until("all are taken", || spread(ops).iter().sum::<usize>() == count);
        let mut clients = Vec::new();
        for count in 1..=connections {
            clients.push(Client::connect(address));
            if pace == Pace::OneByOne {
                taken(count);
            }
        }
        taken(connections);
        let counts = spread(ops);
        assert_eq!(counts.len(), CORES);
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= most, "{counts:?}");
        for client in &mut clients {
            assert_eq!(client.request(&get("/mock")).status, 200);
        }
        drop(clients);
        wait_until("none is left", || spread(ops).iter().all(|count| *count == 0));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_connections_are_even_over_four_cores() {
    check(8, Pace::OneByOne, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_are_within_an_eighth_of_the_mean() {
    raise_descriptors();
    // Cores that accept at the same moment may choose the same one.
    check(1_000, Pace::AtOnce, 1_000 / CORES / 8 + CORES).await;
}

/// The clients are in this process too, and each of them holds a socket twice.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}
