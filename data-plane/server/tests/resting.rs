//! Connections that are idle for a while: they hold no buffers, and go on where they were.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::net::SocketAddr;
use std::time::Duration;

use rig::tls::{Certificates, TlsClient};
use rig::{Backend, Client, blocking, field, get, node, operations, settings, wait_until};
use rustls::version::{TLS12, TLS13};
use sluice_data::Settings;

/// How many connections rest.
fn resting(ops: SocketAddr) -> usize {
    let page = operations(ops, "/metrics").body;
    page.lines().find_map(|line| line.strip_prefix("sluice_connections_resting ")?.parse().ok()).unwrap()
}

fn wait_resting(ops: SocketAddr, count: usize) {
    wait_until("the idle ones rest", || resting(ops) == count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rested_serves_the_next_request_as_if_it_had_not() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let (tls_certificates, tls_keys) = certificates.files();
    let node = node(Settings { tls_certificates, tls_keys, ..settings() }, backend.address).await;
    let (http, https, ops) = (node.http(), node.https().unwrap(), node.operations());
    blocking(move || {
        let mut plain = Client::connect(http);
        let connect =
            |version| TlsClient::connect(&certificates.client(&[version], &[]), https, "gateway.test", b"").unwrap();
        let mut sealed = [connect(&TLS12), connect(&TLS13)];
        for round in 0..2 {
            assert_eq!(plain.request(&get("/x")).status, 200, "{round}");
            for client in &mut sealed {
                assert_eq!(client.request(&get("/x")).status, 200, "{round}");
            }
            wait_resting(ops, 3);
        }
        let body = "POST /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nContent-Length: 5\r\n\r\nhello";
        let answer = plain.request(body);
        assert!(answer.body.ends_with("\nhello"), "{}", answer.body);
        assert_eq!(resting(ops), 2, "behind a body it does not rest");
        drop(sealed);
        wait_resting(ops, 0);
        assert_eq!(plain.request(&get("/mock")).status, 200);
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_a_request_behind_another_is_not_lost_by_a_rest() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    blocking(move || {
        let (first, second) = (get("/one"), get("/two"));
        let mut client = Client::connect(http);
        assert!(client.send(&format!("{first}{}", &second[..20])));
        assert!(client.answer(true).body.starts_with("GET /base/one "));
        // One that is idle from now on tells when that one has been considered, too.
        let mut later = Client::connect(http);
        assert_eq!(later.request(&get("/mock")).status, 200);
        wait_resting(ops, 1);
        let answer = client.request(&second[20..]);
        assert!(answer.body.starts_with("GET /base/two "), "{}", answer.body);
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rests_ends_with_its_time_and_with_its_node() {
    let backend = Backend::start();
    let idle = Settings { timeouts_idle: Duration::from_secs(3), ..settings() };
    let node = node(idle, backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    blocking(move || {
        let mut client = Client::connect(http);
        assert_eq!(client.request(&get("/mock")).status, 200);
        wait_resting(ops, 1);
        assert!(client.is_closed());
        wait_resting(ops, 0);
        let page = operations(ops, "/metrics").body;
        assert!(page.contains("sluice_bounds_hit_total{kind=\"idle_time\"} 1"), "{page}");
    })
    .await;
    let mut client = blocking(move || {
        let mut client = Client::connect(http);
        assert_eq!(client.request(&get("/mock")).status, 200);
        wait_resting(ops, 1);
        client
    })
    .await;
    node.shutdown().await;
    blocking(move || assert!(client.is_closed())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_wakes_while_the_node_drains_is_answered_and_told_to_go() {
    let backend = Backend::start();
    let slow = Settings { drain_delay: Duration::from_secs(2), ..settings() };
    let node = node(slow, backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    let mut client = blocking(move || {
        let mut client = Client::connect(http);
        assert_eq!(client.request(&get("/mock")).status, 200);
        wait_resting(ops, 1);
        client
    })
    .await;
    let stopping = tokio::spawn(node.shutdown());
    blocking(move || {
        wait_until("readiness fails", || operations(ops, "/readyz").status == 503);
        let answer = client.request(&get("/mock"));
        assert_eq!((answer.status, field(&answer.head, "connection").as_deref()), (200, Some("close")));
    })
    .await;
    stopping.await.unwrap();
}
