//! Request bodies on their way to a backend.

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use sluice_integrate::{Call, FaultKind, Forwarded, RequestBody};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Backend, NoValues, call, client_body, now, on_a_core, proxy, text, upstreams};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn hi() -> Result<(u16, String), FaultKind> {
    Ok((200, "hi".to_owned()))
}

#[test]
fn each_body_is_framed_as_its_length_is_known() {
    on_a_core(async {
        let cases = [
            (
                "RFC 9110, 8.6: POST announces that it has none",
                Method::POST,
                RequestBody::empty(),
                Some("content-length: 0"),
                String::new(),
            ),
            ("RFC 9110, 8.6: GET does not", Method::GET, RequestBody::empty(), None, String::new()),
            (
                "RFC 9112, 6.2: a known length",
                Method::PUT,
                RequestBody::full(Bytes::from_static(b"abc")),
                Some("content-length: 3"),
                "abc".to_owned(),
            ),
            (
                "RFC 9112, 6.2: a long one",
                Method::PUT,
                RequestBody::full(Bytes::from(vec![b'x'; 300_000])),
                Some("content-length: 300000"),
                "x".repeat(300_000),
            ),
        ];
        for (section, method, body, framing, sent) in cases {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let serve = async {
                let mut peer = backend.accept().await;
                let head = peer.head().await;
                let framed = head
                    .lines()
                    .find(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding"));
                assert_eq!(framed, framing, "{section}");
                assert!(peer.bytes(sent.len()).await == sent.as_bytes(), "{section}");
                peer.send(OK).await;
            };
            let (answer, ()) = tokio::join!(call(&upstreams, &proxy, method, body), serve);
            assert_eq!(text(answer).await, hi(), "{section}");
            assert_eq!(upstreams.counters().idle.get(), 1, "{section}");
        }
    });
}

#[test]
fn a_body_streams_as_it_comes() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("transfer-encoding: chunked").await;
        let serve = async {
            let mut peer = backend.accept().await;
            assert!(peer.head().await.contains("transfer-encoding: chunked\r\n"), "RFC 9112, 7.1");
            client.write_all(b"3\r\nabc\r\n").await.unwrap();
            assert_eq!(peer.bytes(8).await, b"3\r\nabc\r\n", "it does not wait for more");
            let long = vec![b'x'; 5_000];
            client.write_all(b"1388\r\n").await.unwrap();
            client.write_all(&long).await.unwrap();
            client.write_all(b"\r\n0\r\n\r\n").await.unwrap();
            let sent = peer.bytes(6 + 5_000 + 2 + 5).await;
            assert!(sent.starts_with(b"1388\r\nxxxx") && sent.ends_with(b"xxxx\r\n0\r\n\r\n"));
            peer.send(OK).await;
        };
        let body = RequestBody::stream(incoming, 10_000, None).unwrap();
        let (answer, ()) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
        assert_eq!(text(answer).await, hi());
        assert_eq!(upstreams.counters().idle.get(), 1);
    });
}

#[test]
fn trailers_of_a_request_end_here() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("transfer-encoding: chunked\r\ntrailer: x-sum").await;
        client.write_all(b"3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            let whole = b"3\r\nabc\r\n0\r\n\r\n";
            assert_eq!(peer.bytes(whole.len()).await, whole, "RFC 9110, 6.5.1: they may be discarded");
            peer.send(OK).await;
            peer
        };
        let body = RequestBody::stream(incoming, 10, None).unwrap();
        let (answer, mut peer) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
        assert_eq!(text(answer).await, hi());
        drop(upstreams);
        assert_eq!(peer.closed().await, b"", "nothing followed");
    });
}

#[test]
fn fields_of_framing_and_expectations_are_the_gateways_own() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("expect", "100-continue"), ("content-length", "4"), ("te", "trailers"), ("upgrade", "h2c")]
        {
            headers.insert(name, value.parse().unwrap());
        }
        let (incoming, mut client) = client_body("content-length: 4").await;
        let call = Call {
            method: &Method::POST,
            headers: &headers,
            query: "a=1",
            body: RequestBody::stream(incoming, 4, None).unwrap(),
            values: &NoValues,
            api_id: "abc",
            trace_id: None,
            forwarded: Forwarded { address: "192.0.2.1", port: "80", proto: "http" },
            began: now(),
        };
        client.write_all(b"body").await.unwrap();
        let serve = async {
            let mut peer = backend.accept().await;
            let head = peer.head().await;
            assert!(head.starts_with("POST /?a=1 HTTP/1.1\r\n"), "{head}");
            assert_eq!(head.matches("content-length: 4\r\n").count(), 1, "RFC 9112, 6.2: {head}");
            assert!(!["expect", "te:", "upgrade"].iter().any(|name| head.contains(name)), "RFC 9110, 10.1.1: {head}");
            assert_eq!(peer.bytes(4).await, b"body");
            peer.send(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}")).await;
        };
        let (answer, ()) = tokio::join!(upstreams.call(&proxy, call), serve);
        assert_eq!(text(answer).await, hi());
    });
}

#[test]
fn both_directions_stream_at_once() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("transfer-encoding: chunked").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for _ in 0..20 {
                client.write_all(b"4\r\nping\r\n").await.unwrap();
                assert_eq!(peer.bytes(9).await, b"4\r\nping\r\n");
                peer.send("4\r\npong\r\n").await;
            }
            client.write_all(b"0\r\n\r\n").await.unwrap();
            assert_eq!(peer.bytes(5).await, b"0\r\n\r\n");
            peer.send("0\r\n\r\n").await;
            peer
        };
        let body = RequestBody::stream(incoming, 1_000, None).unwrap();
        let (answer, _peer) =
            tokio::join!(async { text(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        assert_eq!(answer, Ok((200, "pong".repeat(20))));
        assert_eq!(upstreams.counters().idle.get(), 1);
    });
}

#[test]
fn a_body_above_the_limit_is_the_clients_fault() {
    on_a_core(async {
        let (incoming, _client) = client_body("content-length: 11").await;
        assert_eq!(RequestBody::stream(incoming, 10, None).unwrap_err().kind, FaultKind::BodyTooLarge);

        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("transfer-encoding: chunked").await;
        client.write_all(b"b\r\nhello world\r\n").await.unwrap();
        let serve = async { backend.accept().await.closed().await };
        let body = RequestBody::stream(incoming, 10, None).unwrap();
        let (answer, sent) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
        assert_eq!(answer.unwrap_err().kind, FaultKind::BodyTooLarge);
        assert!(!sent.ends_with(b"0\r\n\r\n"), "the backend does not take it for whole");
    });
}

#[test]
fn a_client_that_goes_away_takes_the_request_with_it() {
    on_a_core(async {
        for framing in ["content-length: 10", "transfer-encoding: chunked"] {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let (incoming, mut client) = client_body(framing).await;
            let serve = async {
                let mut peer = backend.accept().await;
                peer.head().await;
                client.write_all(b"3\r\nabc\r\n").await.unwrap();
                peer.bytes(8).await;
                drop(client);
                assert_eq!(peer.closed().await, b"", "RFC 9112, 8: nothing that could be taken for its end");
            };
            let body = RequestBody::stream(incoming, 10, None).unwrap();
            let (answer, ()) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
            assert_eq!(answer.unwrap_err().kind, FaultKind::ClientGone, "{framing}");
        }
    });
}
