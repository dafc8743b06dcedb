//! Deadlines and silences.

use std::task::{Context, Waker};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use sluice_integrate::{FaultKind, RequestBody, Retry, UpstreamSettings};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::harness::{
    Backend, call, client_body, get, on_a_core, passing_time, proxy, text, upstreams, upstreams_with,
};

#[test]
fn a_response_head_has_the_integrations_time() {
    on_a_core(async {
        for partly in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"] {
            let backend = Backend::start().await;
            let upstreams = upstreams();
            let mut proxy = proxy(backend.port);
            proxy.timeout = Duration::from_millis(1_500);
            let started = Instant::now();
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(partly).await;
                passing_time(peer.closed()).await;
            };
            let ask = async {
                let fault = get(&upstreams, &proxy).await.unwrap_err();
                assert_eq!((fault.kind, fault.retry), (FaultKind::Timeout, Retry::Unsafe), "{partly:?}");
                assert!(started.elapsed() >= proxy.timeout);
            };
            tokio::join!(ask, serve);
            assert_eq!(upstreams.counters().open.get(), 0);
        }
    });
}

#[test]
fn the_integrations_time_ends_with_the_head() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        tokio::time::advance(proxy.timeout * 3).await;
        peer.send("i").await;
        assert_eq!(text(answer).await, Ok((200, "hi".to_owned())));
    });
}

#[test]
fn a_body_that_stops_is_a_fault() {
    on_a_core(async {
        for framing in ["Content-Length: 9", "Transfer-Encoding: chunked", "Connection: close"] {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n2\r\nhi")).await;
                peer
            };
            let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
            assert_eq!(passing_time(text(answer)).await, Err(FaultKind::Stalled), "{framing}");
            peer.closed().await;
            assert_eq!((upstreams.counters().open.get(), upstreams.counters().faults.get()), (0, 1), "{framing}");
        }
    });
}

/// Asks for the next frame, and does not wait for it.
macro_rules! asked {
    ($frame:ident) => {
        assert!($frame.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    };
}

#[test]
fn a_body_may_take_long_while_it_moves() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        let mut body = answer.unwrap().body;
        for _ in 0..6 {
            let mut frame = std::pin::pin!(body.frame());
            asked!(frame);
            tokio::time::advance(UpstreamSettings::default().body_stall * 3 / 4).await;
            peer.send("x").await;
            assert_eq!(frame.await.unwrap().unwrap().into_data().unwrap(), "x");
        }
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn a_client_that_reads_slowly_does_not_make_the_backend_stall() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        let mut body = answer.unwrap().body;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        // The client asks for more, the backend sends it, and the client takes it only much later.
        let mut frame = std::pin::pin!(body.frame());
        asked!(frame);
        peer.send("bc").await;
        peer.delivered().await;
        passing_time(tokio::time::sleep(UpstreamSettings::default().body_stall * 2)).await;
        assert_eq!(frame.await.unwrap().unwrap().into_data().unwrap(), "bc");
    });
}

#[test]
fn a_client_that_stops_sending_is_told_from_a_slow_backend() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, _client) = client_body("content-length: 4").await;
        let body = RequestBody::stream(incoming, 4, None).unwrap();
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            passing_time(peer.closed()).await;
        };
        let (answer, ()) =
            tokio::join!(async { text(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        assert_eq!(answer, Err(FaultKind::ClientStalled));

        let (incoming, _client) = client_body("content-length: 4").await;
        let body = RequestBody::stream(incoming, 4, None).unwrap();
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi").await;
            peer
        };
        let (answer, _peer) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
        assert_eq!(passing_time(text(answer)).await, Err(FaultKind::ClientStalled), "within an early answer");
    });
}

#[test]
fn connecting_has_a_time_of_its_own() {
    on_a_core(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // Fills the queue, so that the next connection gets no answer.
        let _waiting = TcpStream::connect(address).await.unwrap();
        let settings = UpstreamSettings { connect_within: Duration::from_secs(2), ..Default::default() };
        let upstreams = upstreams_with(settings);
        let fault = passing_time(get(&upstreams, &proxy(address.port()))).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (FaultKind::Connect, Retry::Safe));
        let mut short = proxy(address.port());
        short.timeout = Duration::from_millis(100);
        let fault = passing_time(get(&upstreams, &short)).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (FaultKind::Timeout, Retry::Safe), "the integration's time is shorter");
        assert_eq!(upstreams.counters().open.get(), 0);
    });
}
