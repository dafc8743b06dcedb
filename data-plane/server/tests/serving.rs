//! A node on loopback, seen through its sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rig::{Backend, Client, blocking, field, get, node, operations, settings, wait_until};
use sluice_data::{DataNode, PathAddresses, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_reach_the_backend_with_what_they_carry() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        let first = client.request(
            "POST /dev/a%20b/c?x=1&x=2 HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nX-Own: yes\r\nConnection: keep-alive, x-hop\r\nX-Hop: no\r\nX-Forwarded-For: 192.0.2.7\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert_eq!(first.status, 200);
        assert!(first.body.starts_with("POST /base/a%20b/c?x=1&x=2 HTTP/1.1\n"), "{}", first.body);
        assert!(first.body.ends_with("\nhello"), "{}", first.body);
        assert_eq!(field(&first.body, "x-own").as_deref(), Some("yes"));
        assert_eq!(field(&first.body, "x-hop"), None);
        assert_eq!(field(&first.body, "x-forwarded-for").as_deref(), Some("192.0.2.7, 127.0.0.1"));
        assert_eq!(field(&first.body, "x-forwarded-port"), Some(address.port().to_string()));
        assert_eq!(field(&first.body, "x-forwarded-proto").as_deref(), Some("http"));
        assert!(field(&first.body, "x-amzn-trace-id").is_some_and(|id| id.starts_with("Root=1-")));
        assert!(field(&first.head, "x-amzn-requestid").is_some_and(|id| id.len() == 36));
        let second = client.request(&get("/mock"));
        assert_eq!((second.status, second.body.as_str()), (200, "mock"));
        assert_ne!(field(&first.head, "x-amzn-requestid"), field(&second.head, "x-amzn-requestid"));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let socket = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = |path: &str| {
        http::Request::get(format!("http://pets.execute-api.localhost/dev{path}")).body(Empty::<Bytes>::new()).unwrap()
    };
    let mut clone = sender.clone();
    let (proxied, mocked) = tokio::join!(sender.send_request(request("/x")), clone.send_request(request("/mock")));
    let body = proxied.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"GET /base/x HTTP/1.1\n"), "{body:?}");
    assert_eq!(mocked.unwrap().into_body().collect().await.unwrap().to_bytes(), "mock");
    node.shutdown().await;
    // GOAWAY ends the client's connection in order.
    drop((sender, clone));
    driven.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_fails_readiness_first_and_finishes_what_is_in_flight() {
    let backend = Backend::start();
    let settings = Settings { drain_delay: Duration::from_secs(1), ..settings() };
    let node = node(settings, backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    let (mut busy, mut idle) = blocking(move || {
        assert_eq!(operations(ops, "/readyz").status, 200);
        assert_eq!(operations(ops, "/healthz").status, 200);
        let (mut busy, mut idle) = (Client::connect(http), Client::connect(http));
        busy.send(&get("/held"));
        assert_eq!(idle.request(&get("/mock")).status, 200);
        (busy, idle)
    })
    .await;
    let backend = blocking(move || {
        backend.wait_held();
        backend
    })
    .await;
    let stopping = tokio::spawn(node.shutdown());
    blocking(move || {
        wait_until("readiness fails", || operations(ops, "/readyz").status == 503);
        let late = Client::connect(http).request(&get("/mock"));
        assert_eq!((late.status, field(&late.head, "connection").as_deref()), (200, Some("close")));
        assert!(idle.is_closed(), "an idle connection is closed when accepting ends");
        wait_until("no core accepts", || std::net::TcpStream::connect(http).is_err());
        backend.release();
        assert_eq!(busy.answer(true).status, 200);
    })
    .await;
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_above_10_mib_are_refused_announced_or_not() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let head = "POST /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n";
        let announced = Client::connect(address).request(&format!("{head}Content-Length: 10485761\r\n\r\n"));
        assert_eq!((announced.status, announced.body.as_str()), (413, r#"{"message":"Request Too Long"}"#));
        let mut chunked = Client::connect(address);
        chunked.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        for _ in 0..11 {
            if !chunked.send(&chunk) {
                break;
            }
        }
        assert_eq!(chunked.answer(true).status, 413);
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_valid_are_refused() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let (address, ops) = (node.http(), node.operations());
    blocking(move || {
        let host = "Host: pets.execute-api.localhost\r\n";
        let big = "x".repeat(10_240);
        let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
        for (what, request, expect) in [
            ("no host", "GET /dev/mock HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("two hosts", format!("GET /dev/mock HTTP/1.1\r\n{host}{host}\r\n"), 400),
            ("a host that is none", "GET /dev/mock HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
            ("no path", format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 400),
            ("a large head", format!("GET /dev/mock HTTP/1.1\r\n{host}x-big: {big}\r\n\r\n"), 431),
            ("many fields", format!("GET /dev/mock HTTP/1.1\r\n{host}{many}\r\n"), 431),
            ("no http", "hello\r\n\r\n".to_owned(), 400),
        ] {
            assert_eq!(Client::connect(address).request(&request).status, expect, "{what}");
        }
        let line = "sluice_bounds_hit_total{kind=\"head_bytes\"} 2";
        wait_until("both large heads are counted", || operations(ops, "/metrics").body.contains(line));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_is_counted() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    blocking(move || {
        let mut client = Client::connect(http);
        client.send(&get("/held"));
        backend.wait_held();
        client.hang_up();
        let line = "sluice_requests_total{api_id=\"pets\",stage=\"dev\",status=\"hung_up\"} 1";
        wait_until("it is counted", || operations(ops, "/metrics").body.contains(line));
        backend.release();
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options_go_to_the_backend_where_the_api_has_them() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        let head = client.request("HEAD /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n\r\n");
        assert_eq!(head.status, 200);
        assert!(field(&head.head, "content-length").is_some_and(|length| length != "0"), "{}", head.head);
        let options = client.request("OPTIONS /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n\r\n");
        assert!(options.body.starts_with("OPTIONS /base/x"), "{}", options.body);
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn path_addresses_are_for_whom_the_setting_says() {
    let backend = Backend::start();
    let get = "GET /_aws/execute-api/pets/dev/mock HTTP/1.1\r\nHost: localhost\r\n";
    for (path_addresses, trusted, forwarded, expect) in [
        (PathAddresses::Loopback, None, "", 200),
        (PathAddresses::Off, None, "", 403),
        (PathAddresses::Loopback, Some("127.0.0.0/8"), "X-Forwarded-For: 192.0.2.1\r\n", 403),
        (PathAddresses::On, Some("127.0.0.0/8"), "X-Forwarded-For: 192.0.2.1\r\n", 200),
        (PathAddresses::Loopback, None, "X-Forwarded-For: 192.0.2.1\r\n", 200),
    ] {
        let trusted_proxies = trusted.map(str::to_owned).into_iter().collect();
        let node = node(Settings { path_addresses, trusted_proxies, ..settings() }, backend.address).await;
        let address = node.http();
        let status = blocking(move || Client::connect(address).request(&format!("{get}{forwarded}\r\n")).status).await;
        assert_eq!(status, expect, "{path_addresses:?} {forwarded:?}");
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_and_an_idle_connection_are_closed() {
    let backend = Backend::start();
    let short = Duration::from_secs(1);
    let node = node(Settings { timeouts_head: short, timeouts_idle: short, ..settings() }, backend.address).await;
    let address = node.http();
    blocking(move || {
        let (mut slow, mut idle, mut silent) =
            (Client::connect(address), Client::connect(address), Client::connect(address));
        slow.send("GET /dev/mock HTTP/1.1\r\nHost:");
        assert_eq!(idle.request(&get("/mock")).status, 200);
        assert!(slow.is_closed() && idle.is_closed() && silent.is_closed());
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_connects_too_often_is_refused_and_counted() {
    let backend = Backend::start();
    let one = NonZeroU32::MIN;
    let settings = Settings { limits_connection_rate: one, limits_connection_burst: one, ..settings() };
    let node = node(settings, backend.address).await;
    let (http, ops) = (node.http(), node.operations());
    blocking(move || {
        let mut first = Client::connect(http);
        assert_eq!(first.request(&get("/mock")).status, 200);
        let refused = (0..20).map(|_| Client::connect(http)).any(|mut client| client.is_closed());
        assert!(refused, "one of twenty connections in a second is refused");
        let page = operations(ops, "/metrics").body;
        let refusals = page.lines().find_map(|line| line.strip_prefix("sluice_throttled_total{kind=\"connection\"} "));
        assert!(refusals.is_some_and(|count| count != "0"), "{page}");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_bound_are_closed() {
    let backend = Backend::start();
    let node = node(Settings { limits_connections: 1, cores: Some(1), ..settings() }, backend.address).await;
    let (address, ops) = (node.http(), node.operations());
    blocking(move || {
        let mut first = Client::connect(address);
        assert_eq!(first.request(&get("/mock")).status, 200);
        assert!(Client::connect(address).is_closed());
        let page = operations(ops, "/metrics").body;
        assert!(page.contains("sluice_bounds_hit_total{kind=\"connections\"} 1"), "{page}");
        assert_eq!(first.request(&get("/mock")).status, 200);
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_in_order_behind_the_last_request_that_it_may_have() {
    let backend = Backend::start();
    let node = node(Settings { limits_requests: 2, ..settings() }, backend.address).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        let (first, last) = (client.request(&get("/mock")), client.request(&get("/mock")));
        assert_eq!((first.status, field(&first.head, "connection")), (200, None));
        assert_eq!((last.status, field(&last.head, "connection").as_deref()), (200, Some("close")));
        assert!(client.is_closed());
    })
    .await;
    node.shutdown().await;
    let node = rig::node(Settings { limits_requests: 1, ..settings() }, backend.address).await;
    let address = node.http();
    blocking(move || {
        let mut wire = rig::frames::Wire::connect(address);
        wire.get("pets.execute-api.localhost", "/dev/mock");
        let mut kinds = Vec::new();
        while !kinds.contains(&rig::frames::GOAWAY) || !kinds.contains(&rig::frames::DATA) {
            kinds.push(wire.next().kind);
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_live_in_one_process_and_a_taken_port_is_named() {
    let backend = Backend::start();
    let (one, other) = (node(settings(), backend.address).await, node(settings(), backend.address).await);
    let taken = Settings { listen_http: one.http(), ..settings() };
    let refused = DataNode::start_with(taken, rig::board(backend.address)).await.unwrap_err().to_string();
    assert!(refused.contains(&one.http().to_string()), "{refused}");
    let (first, second, ops) = (one.http(), other.http(), other.operations());
    blocking(move || {
        assert_eq!(Client::connect(first).request(&get("/mock")).status, 200);
        let page = operations(ops, "/metrics").body;
        assert!(!page.contains("sluice_requests_total{api_id=\"pets\""), "{page}");
        assert_eq!(Client::connect(second).request(&get("/mock")).status, 200);
    })
    .await;
    one.shutdown().await;
    other.shutdown().await;
}
