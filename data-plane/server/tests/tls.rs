//! Clients over TLS: what is agreed on, which certificate they are shown, and what becomes of those that never finish.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rig::tls::{Certificates, TlsClient};
use rig::{Backend, Client, blocking, field, get, node, operations, settings, wait_until};
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use sluice_data::{DataNode, Settings};

/// Settings with these certificates.
fn with(certificates: &Certificates) -> Settings {
    let (tls_certificates, tls_keys) = certificates.files();
    Settings { tls_certificates, tls_keys, ..settings() }
}

/// Whether the page of metrics has this line.
fn says(operations_port: SocketAddr, line: &str) -> bool {
    operations(operations_port, "/metrics").body.lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_are_spoken_and_the_backend_is_told() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let node = node(with(&certificates), backend.address).await;
    let (http, https, ops) = (node.http(), node.https().unwrap(), node.operations());
    blocking(move || {
        for (version, expect) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
            let config = certificates.client(&[version], &["h2", "http/1.1"][1..]);
            let mut client = TlsClient::connect(&config, https, "gateway.test", b"").unwrap();
            assert_eq!(client.session().protocol_version(), Some(expect));
            assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
            for _ in 0..2 {
                let answer = client.request(&get("/x"));
                assert_eq!(answer.status, 200);
                assert_eq!(field(&answer.body, "x-forwarded-proto").as_deref(), Some("https"));
                assert_eq!(field(&answer.body, "x-forwarded-port"), Some(https.port().to_string()));
            }
        }
        assert_eq!(Client::connect(http).request(&get("/mock")).status, 200, "plaintext is served beside it");
        assert!(says(ops, "sluice_tls_handshakes_total 2"));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_what_alpn_agrees_on_and_nothing_else() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let node = node(with(&certificates), backend.address).await;
    let https = node.https().unwrap();
    let config = certificates.client(&[&TLS13], &["h2", "http/1.1"]);
    let socket = tokio::net::TcpStream::connect(https).await.unwrap();
    let name = ServerName::try_from("gateway.test").unwrap();
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = http::Request::get("https://pets.execute-api.localhost/dev/x").body(Empty::<Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("x-forwarded-proto: https"), "{body:?}");
    blocking(move || {
        let alone = certificates.client(&[&TLS13], &["http/1.1"]);
        let mut client = TlsClient::connect(&alone, https, "gateway.test", b"").unwrap();
        assert!(client.is_closed_after("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "who agreed on HTTP/1.1 speaks it");
        let unknown = certificates.client(&[&TLS13], &["spdy/1"]);
        assert!(TlsClient::connect(&unknown, https, "gateway.test", b"").is_err());
    })
    .await;
    node.shutdown().await;
    // GOAWAY ends the client's connection in order.
    drop(sender);
    driven.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["first.test", "second.test"]));
    let node = node(with(&certificates), backend.address).await;
    let https = node.https().unwrap();
    blocking(move || {
        let config = certificates.client(&[&TLS12, &TLS13], &[]);
        for name in ["first.test", "second.test"] {
            let mut client = TlsClient::connect(&config, https, name, b"").unwrap();
            assert_eq!(client.request(&get("/mock")).status, 200);
        }
        assert!(TlsClient::connect(&config, https, "third.test", b"").is_err(), "the first is not for that name");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let node = node(with(&certificates), backend.address).await;
    let (https, ops) = (node.https().unwrap(), node.operations());
    blocking(move || {
        let before = certificates.client(&[&TLS13], &[]);
        let mut open = TlsClient::connect(&before, https, "gateway.test", b"").unwrap();
        assert_eq!(open.request(&get("/mock")).status, 200);
        certificates.renew("gateway.test");
        let after = certificates.client(&[&TLS13], &[]);
        wait_until("the new one is shown", || TlsClient::connect(&after, https, "gateway.test", b"").is_ok());
        assert_eq!(open.request(&get("/mock")).status, 200);
        assert!(says(ops, "sluice_tls_reloads_total{kind=\"served\"} 1"));
        std::fs::write(certificates.key("gateway.test"), "half a k").unwrap();
        wait_until("the broken one is refused", || says(ops, "sluice_tls_reloads_total{kind=\"refused\"} 1"));
        assert!(TlsClient::connect(&after, https, "gateway.test", b"").is_ok(), "the one before it is still shown");
        let page = operations(ops, "/metrics").body;
        let expiry =
            page.lines().find(|line| line.starts_with("sluice_tls_certificate_expiry_timestamp_seconds{file="));
        assert!(expiry.is_some_and(|line| line.contains("gateway.test.crt")), "{page}");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_fail_or_never_end_are_closed_and_counted_and_silent_ones_are_no_failure() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let second = Duration::from_secs(1);
    let node = node(Settings { timeouts_handshake: second, ..with(&certificates) }, backend.address).await;
    let (https, ops) = (node.https().unwrap(), node.operations());
    blocking(move || {
        drop(Client::connect(https));
        let mut slow = Client::connect(https);
        // The start of a record that never comes.
        assert!(slow.send_bytes(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
        let mut plain = Client::connect(https);
        assert!(plain.send(&get("/mock")));
        wait_until("the one that is no TLS is counted", || says(ops, "sluice_handshakes_failed_total{kind=\"tls\"} 1"));
        assert!(slow.is_closed());
        let kind = "handshake_time";
        wait_until("the slow one is counted", || says(ops, &format!("sluice_bounds_hit_total{{kind=\"{kind}\"}} 1")));
        assert!(says(ops, "sluice_handshakes_failed_total{kind=\"tls\"} 1"), "the silent one is not counted");
        let config = certificates.client(&[&TLS13], &[]);
        assert!(TlsClient::connect(&config, https, "gateway.test", b"").is_ok());
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_in_beside_any_number_of_handshakes_that_never_end() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let few = Settings { limits_handshakes: 4, cores: Some(1), ..with(&certificates) };
    let node = node(few, backend.address).await;
    let (https, ops) = (node.https().unwrap(), node.operations());
    blocking(move || {
        let config = certificates.client(&[&TLS13], &[]);
        let mut silent: Vec<_> = (0..12).map(|_| Client::connect(https)).collect();
        let mut client = TlsClient::connect(&config, https, "gateway.test", b"").unwrap();
        assert_eq!(client.request(&get("/mock")).status, 200);
        assert!(silent[0].is_closed(), "the oldest made room");
        assert!(says(ops, "sluice_bounds_hit_total{kind=\"handshakes\"} 9"));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_finishes_what_is_in_flight_over_tls() {
    let (backend, certificates) = (Backend::start(), Certificates::new(&["gateway.test"]));
    let node = node(with(&certificates), backend.address).await;
    let https = node.https().unwrap();
    let config = certificates.client(&[&TLS13], &[]);
    let (sent, answered) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut client = TlsClient::connect(&config, https, "gateway.test", b"").unwrap();
        sent.send(client.request(&get("/held"))).unwrap();
    });
    let backend = blocking(move || {
        backend.wait_held();
        backend
    })
    .await;
    let stopping = tokio::spawn(node.shutdown());
    let answer = blocking(move || {
        wait_until("no core accepts", || std::net::TcpStream::connect(https).is_err());
        backend.release();
        answered.recv().unwrap()
    })
    .await;
    assert_eq!((answer.status, field(&answer.head, "connection").as_deref()), (200, Some("close")));
    stopping.await.unwrap();
    client.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_name_no_usable_certificate_are_refused_by_name() {
    let certificates = Certificates::new(&["gateway.test"]);
    let board = rig::board("127.0.0.1:1".parse().unwrap());
    let refused = async |settings: Settings| {
        DataNode::start_with(settings, Arc::clone(&board) as _).await.unwrap_err().to_string()
    };
    let said = refused(Settings { tls_keys: Vec::new(), ..with(&certificates) }).await;
    assert!(said.contains("tls.certificates names 1 files and tls.keys 0"), "{said}");
    std::fs::remove_file(certificates.key("gateway.test")).unwrap();
    let said = refused(with(&certificates)).await;
    assert!(said.contains("cannot read") && said.contains("gateway.test.key"), "{said}");
}
