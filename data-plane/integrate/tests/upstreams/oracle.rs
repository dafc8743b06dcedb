//! The codec against hyper's client: both get the same bytes, and must see the same response.
//!
//! Where the two differ on purpose, [`stricter`] says so; everything else that differs is a defect of ours.

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sluice_integrate::RequestBody;
use tokio::net::TcpStream;

use crate::harness::{Backend, call, on_a_core, proxy, upstreams, whole};

/// Status, body and number of trailers; `None` for any failure.
type Seen = Option<(u16, Bytes, usize)>;

fn head_line() -> impl Strategy<Value = String> {
    let version = prop_oneof![8 => Just("1.1"), 2 => Just("1.0")];
    let status = prop_oneof![8 => Just(200), 1 => Just(204), 1 => Just(304), 1 => Just(404), 1 => Just(503)];
    (version, status).prop_map(|(version, status)| format!("HTTP/{version} {status} Some Reason\r\n"))
}

fn interim() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just(""),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n"),
        1 => Just("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"),
    ]
}

fn field() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("X-A: b\r\n"),
        Just("Connection: close\r\n"),
        Just("Connection: keep-alive\r\n"),
        Just("Date: x\r\n"),
        Just("x-empty:\r\n"),
        Just("X-Spaces:   a b   \r\n"),
        Just("Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"),
    ]
}

/// Framing fields and the bytes of a body that may or may not fit them.
fn framed() -> impl Strategy<Value = (String, Vec<u8>)> {
    let data = || proptest::collection::vec(any::<u8>(), 0..40);
    let length = (data(), -2_i64..3).prop_map(|(data, off)| {
        let announced = (data.len() as i64 + off).max(0);
        (format!("Content-Length: {announced}\r\n"), data)
    });
    let exact = data().prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data));
    let twice = data().prop_map(|data| (format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", data.len()), data));
    let differing = data().prop_map(|data| (format!("Content-Length: {}\r\nContent-Length: 99\r\n", data.len()), data));
    let nothing = data().prop_map(|data| (String::new(), data));
    let chunked = (proptest::collection::vec(data(), 0..5), 0_usize..6).prop_map(|(chunks, ending)| {
        let mut body = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            body.extend_from_slice(
                format!("{:x}{}\r\n", chunk.len(), if ending == 1 { ";ext=1" } else { "" }).as_bytes(),
            );
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        let endings = ["0\r\n\r\n", "0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n", "000;x\r\n\r\n", "0\r\n", "zz\r\n"];
        body.extend_from_slice(endings[ending].as_bytes());
        ("Transfer-Encoding: chunked\r\n".to_owned(), body)
    });
    prop_oneof![3 => exact, 2 => length, 1 => twice, 1 => differing, 2 => nothing, 5 => chunked]
}

#[derive(Debug, Clone)]
struct Script {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
    method: Method,
}

fn script() -> impl Strategy<Value = Script> {
    let method = prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD)];
    let fields = proptest::collection::vec(field(), 0..4);
    let whole = (interim(), head_line(), fields, framed()).prop_map(|(interim, line, fields, (framing, body))| {
        let mut bytes = format!("{interim}{line}{}{framing}\r\n", fields.concat()).into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    });
    let damage = prop_oneof![
        3 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some),
    ];
    let truncation = prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    let cuts = proptest::collection::vec(1_usize..60, 1..4);
    (whole, damage, truncation, cuts, method).prop_map(|(mut bytes, damage, truncation, cuts, method)| {
        if let Some((at, byte)) = damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(at) = truncation {
            bytes.truncate(at.index(bytes.len()));
        }
        Script { bytes, cuts, method }
    })
}

/// Where this codec refuses what hyper takes: what RFC 9112 lets a gateway refuse, and what was not asked for.
fn stricter(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let codings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("transfer-encoding:")).collect();
    // 6.1: codings other than chunked were not offered.
    let other_coding = codings.iter().any(|coding| coding.trim() != "chunked");
    // 15.2.2: switching protocols was not asked for.
    let switched = text.lines().any(|line| line.starts_with("http/1.1 101") || line.starts_with("http/1.0 101"));
    // 6.3, 5: lengths that are invalid, or that differ, are an error also where no body can be.
    let lengths: Vec<Option<u64>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("content-length:"))
        .map(|length| length.trim().parse().ok())
        .collect();
    let bad_length = lengths.iter().any(|length| length.is_none() || *length != lengths[0]);
    other_coding || switched || bad_length
}

async fn serve(backend: &Backend, script: &Script) {
    let mut peer = backend.accept().await;
    peer.head().await;
    let mut rest = &script.bytes[..];
    for cut in script.cuts.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(*cut));
        peer.offer(piece).await;
        tokio::task::yield_now().await;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    peer.shut_down().await;
    peer.closed().await;
}

async fn ours(script: &Script) -> Seen {
    let backend = Backend::start().await;
    let proxy = proxy(backend.port);
    let ask = async {
        // Dropped at the end, so that the backend sees the connection close.
        let upstreams = upstreams();
        whole(call(&upstreams, &proxy, script.method.clone(), RequestBody::empty()).await).await
    };
    let (answer, ()) = tokio::join!(ask, serve(&backend, script));
    answer.ok().map(|whole| (whole.status.as_u16(), whole.body, whole.trailers.len()))
}

async fn hypers(script: &Script) -> Seen {
    let backend = Backend::start().await;
    let ask = async {
        let stream = TcpStream::connect(("127.0.0.1", backend.port)).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let request = http::Request::builder().method(script.method.clone()).uri("/").header("host", "x");
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
        let seen = match response {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.ok();
                body.map(|body| {
                    let trailers = body.trailers().map_or(0, http::HeaderMap::len);
                    (status, body.to_bytes(), trailers)
                })
            }
            Err(_) => None,
        };
        connection.abort();
        seen
    };
    let (seen, ()) = tokio::join!(ask, serve(&backend, script));
    seen
}

/// More by `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

#[test]
fn any_bytes_are_read_as_hyper_reads_them() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&script(), |script| {
        let seen = std::cell::Cell::new(None);
        on_a_core(async { seen.set(Some((ours(&script).await, hypers(&script).await))) });
        let (ours, hypers) = seen.take().expect("both were asked");
        if !(ours.is_none() && stricter(&script.bytes)) {
            prop_assert_eq!(ours, hypers, "{:?}", String::from_utf8_lossy(&script.bytes));
        }
        Ok(())
    });
    outcome.unwrap();
}
