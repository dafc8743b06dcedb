//! PROXY headers: whose are believed, what follows from them, and what comes behind them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::num::NonZeroU32;
use std::time::Duration;

use rig::tls::{Certificates, TlsClient};
use rig::{Backend, Client, blocking, field, get, node, operations, settings, wait_until};
use rustls::version::TLS13;
use sluice_data::{DataNode, Settings};

const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

/// Version 2, of the same client and port.
fn binary() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0x01, 0xBB];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C", &addresses[..]].concat()
}

/// Settings with a proxy on loopback.
fn behind_a_proxy() -> Settings {
    Settings { proxy_protocol: true, trusted_proxies: vec!["127.0.0.0/8".to_owned()], ..settings() }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_trusted_proxy_names_is_the_client_of_every_request() {
    let backend = Backend::start();
    let node = node(behind_a_proxy(), backend.address).await;
    let address = node.http();
    blocking(move || {
        for header in [LINE.as_bytes().to_vec(), binary()] {
            let mut client = Client::connect(address);
            assert!(client.send_bytes(&[&header[..], get("/x").as_bytes()].concat()));
            let first = client.answer(true);
            for answer in [first, client.request(&get("/y"))] {
                assert_eq!(answer.status, 200);
                assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
                assert_eq!(field(&answer.body, "x-forwarded-port").as_deref(), Some("443"));
                assert_eq!(field(&answer.body, "x-forwarded-proto").as_deref(), Some("http"));
            }
        }
        for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let mut client = Client::connect(address);
            assert!(client.send_bytes(&[header, get("/x").as_bytes()].concat()));
            let answer = client.answer(true);
            assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("127.0.0.1"), "the proxy itself");
            assert_eq!(field(&answer.body, "x-forwarded-port"), Some(address.port().to_string()));
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_byte_by_byte_is_read_and_tls_begins_behind_it() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let (tls_certificates, tls_keys) = certificates.files();
    let node = node(Settings { tls_certificates, tls_keys, ..behind_a_proxy() }, backend.address).await;
    let (http, https) = (node.http(), node.https().unwrap());
    blocking(move || {
        for header in [LINE.as_bytes().to_vec(), binary()] {
            let mut slow = Client::connect(http);
            for byte in &header {
                assert!(slow.send_bytes(std::slice::from_ref(byte)));
            }
            let answer = slow.request(&get("/x"));
            assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
            let config = certificates.client(&[&TLS13], &[]);
            let mut client = TlsClient::connect(&config, https, "gateway.test", &header).unwrap();
            let answer = client.request(&get("/x"));
            assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
            assert_eq!(field(&answer.body, "x-forwarded-proto").as_deref(), Some("https"));
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_without_a_header_is_closed_and_counted_and_one_that_never_ends_has_its_time() {
    let backend = Backend::start();
    let settings = Settings { timeouts_handshake: Duration::from_secs(1), ..behind_a_proxy() };
    let node = node(settings, backend.address).await;
    let (address, ops) = (node.http(), node.operations());
    blocking(move || {
        drop(Client::connect(address));
        let mut slow = Client::connect(address);
        assert!(slow.send("PROXY TCP4 192.0.2.7"));
        let mut without = Client::connect(address);
        assert!(without.send(&get("/mock")));
        assert!(without.is_closed() && slow.is_closed());
        let page = || operations(ops, "/metrics").body;
        let has = |line: &str| page().lines().any(|found| found == line);
        wait_until("the one that took too long is counted", || {
            has("sluice_bounds_hit_total{kind=\"handshake_time\"} 1")
        });
        assert!(has("sluice_handshakes_failed_total{kind=\"proxy_protocol\"} 1"), "{}", page());
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_a_stranger_is_never_believed() {
    let backend = Backend::start();
    let strangers = Settings { trusted_proxies: vec!["192.0.2.0/24".to_owned()], ..behind_a_proxy() };
    for settings in [strangers, settings()] {
        let node = node(settings, backend.address).await;
        let address = node.http();
        blocking(move || {
            assert_eq!(Client::connect(address).request(&format!("{LINE}{}", get("/mock"))).status, 400);
            let answer = Client::connect(address).request(&get("/x"));
            assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        })
        .await;
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_an_address_are_those_of_whom_the_proxy_names() {
    let backend = Backend::start();
    let one = NonZeroU32::MIN;
    let rate = Settings { limits_connection_rate: one, limits_connection_burst: one, ..behind_a_proxy() };
    let at_once = Settings { limits_address_connections: 1, ..behind_a_proxy() };
    for (settings, kind) in [(rate, "connection_rate"), (at_once, "address_connections")] {
        let node = node(settings, backend.address).await;
        let (address, ops) = (node.http(), node.operations());
        blocking(move || {
            let connect = |client: u8| {
                let mut socket = Client::connect(address);
                assert!(socket.send(&format!("PROXY TCP4 192.0.2.{client} 198.51.100.1 50000 443\r\n")));
                socket
            };
            let mut first = connect(1);
            assert_eq!(first.request(&get("/mock")).status, 200);
            assert!(connect(1).is_closed(), "{kind}");
            assert_eq!(connect(2).request(&get("/mock")).status, 200, "{kind}: another client");
            let page = operations(ops, "/metrics").body;
            assert!(page.contains(&format!("sluice_bounds_hit_total{{kind=\"{kind}\"}} 1")), "{page}");
        })
        .await;
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_headers_without_a_trusted_proxy_are_refused_at_the_start() {
    let settings = Settings { trusted_proxies: Vec::new(), ..behind_a_proxy() };
    let board = rig::board("127.0.0.1:1".parse().unwrap());
    let said = DataNode::start_with(settings, board).await.unwrap_err().to_string();
    assert!(said.contains("trusted_proxies"), "{said}");
}
