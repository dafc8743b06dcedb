//! Which connections are used again, and what is sent a second time.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use sluice_integrate::{FaultKind, RequestBody, UpstreamSettings};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::harness::{
    Backend, call, client_body, get, on_a_core, passing_time, proxy, text, upstreams, upstreams_with,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn hi() -> Result<(u16, String), FaultKind> {
    Ok((200, "hi".to_owned()))
}

#[test]
fn one_connection_serves_requests_in_a_row() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            for _ in 0..5 {
                assert!(peer.answer(OK).await.starts_with("GET / HTTP/1.1\r\n"));
            }
        };
        let ask = async {
            for _ in 0..5 {
                assert_eq!(text(get(&upstreams, &proxy).await).await, hi());
            }
        };
        tokio::join!(serve, ask);
        let counters = upstreams.counters();
        assert_eq!((counters.opened.get(), counters.reused.get(), counters.retried.get()), (1, 4, 0));
        assert_eq!((counters.open.get(), counters.idle.get(), counters.faults.get()), (1, 1, 0));
    });
}

#[test]
fn requests_at_once_have_connections_of_their_own() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let (mut first, mut second) = (backend.accept().await, backend.accept().await);
            tokio::join!(first.head(), second.head());
            tokio::join!(first.send(OK), second.send(OK));
        };
        let (first, second, ()) = tokio::join!(get(&upstreams, &proxy), get(&upstreams, &proxy), serve);
        assert_eq!((text(first).await, text(second).await), (hi(), hi()));
        assert_eq!(upstreams.counters().idle.get(), 2);
    });
}

#[test]
fn idle_connections_are_bounded_in_number() {
    on_a_core(async {
        let backend = Backend::start().await;
        let settings = UpstreamSettings { idle_per_backend_max: 1, ..Default::default() };
        let (upstreams, proxy) = (upstreams_with(settings), proxy(backend.port));
        let serve = async {
            let (mut first, mut second) = (backend.accept().await, backend.accept().await);
            tokio::join!(first.answer(OK), second.answer(OK));
        };
        let (first, second, ()) = tokio::join!(get(&upstreams, &proxy), get(&upstreams, &proxy), serve);
        assert_eq!((text(first).await, text(second).await), (hi(), hi()));
        assert_eq!((upstreams.counters().idle.get(), upstreams.counters().open.get()), (1, 1));
        assert_eq!(upstreams.counters().unkept.get(), 1);
    });
}

#[test]
fn open_connections_are_bounded_in_number() {
    on_a_core(async {
        let backend = Backend::start().await;
        let settings = UpstreamSettings { connections_max: 1, ..Default::default() };
        let (upstreams, proxy) = (upstreams_with(settings), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            assert_eq!(get(&upstreams, &proxy).await.unwrap_err().kind, FaultKind::Exhausted);
            peer.send(OK).await;
        };
        let (answer, ()) = tokio::join!(get(&upstreams, &proxy), serve);
        assert_eq!(text(answer).await, hi());
        assert_eq!(upstreams.counters().faults_by_kind[FaultKind::Exhausted as usize].get(), 1);
    });
}

#[test]
fn idle_connections_are_closed_after_their_time() {
    on_a_core(async {
        let backend = Backend::start().await;
        let settings = UpstreamSettings { idle_for: Duration::from_secs(10), ..Default::default() };
        let (upstreams, proxy) = (upstreams_with(settings), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer(OK).await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        assert_eq!(text(answer).await, hi());
        let started = Instant::now();
        passing_time(peer.closed()).await;
        assert!(started.elapsed() > Duration::from_secs(10));
        let counters = upstreams.counters();
        assert_eq!((counters.open.get(), counters.idle.get(), counters.expired.get()), (0, 0, 1));
    });
}

#[test]
fn a_connection_that_the_backend_closed_while_idle_is_not_used() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        for round in 0..2 {
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(OK).await;
                peer
            };
            // Also POST: nothing of it is ever sent on the dead connection.
            let (answer, peer) = tokio::join!(call(&upstreams, &proxy, Method::POST, RequestBody::empty()), serve);
            assert_eq!(text(answer).await, hi(), "round {round}");
            drop(peer);
            while upstreams.counters().idle.get() > 0 {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        assert_eq!((upstreams.counters().expired.get(), upstreams.counters().retried.get()), (2, 0));
    });
}

#[test]
fn a_connection_on_which_the_backend_spoke_while_idle_is_not_used() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer(OK).await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        assert_eq!(text(answer).await, hi());
        peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await;
        while upstreams.counters().idle.get() > 0 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let (answer, ()) = tokio::join!(get(&upstreams, &proxy), async {
            backend.accept().await.answer(OK).await;
        });
        assert_eq!(text(answer).await, hi(), "RFC 9112, 9.2: a response without a request is not valid");
        peer.closed().await;
    });
}

/// What the second request on a connection is, which the backend reads and then closes.
enum Second {
    Plain(Method),
    Whole(Method),
    Streamed(Method),
}

#[test]
fn what_died_with_an_idle_connection_is_sent_again_only_where_that_is_harmless() {
    let sent_again = || hi();
    let given_up = || Err(FaultKind::Reset);
    let cases = [
        ("RFC 9110, 9.2.2: GET", Second::Plain(Method::GET), sent_again()),
        ("RFC 9110, 9.2.2: HEAD", Second::Plain(Method::HEAD), Ok((200, String::new()))),
        ("RFC 9110, 9.2.2: DELETE", Second::Plain(Method::DELETE), sent_again()),
        ("RFC 9110, 9.2.2: PUT with a body that is there", Second::Whole(Method::PUT), sent_again()),
        ("RFC 9112, 9.3.1: PUT with a body that is gone", Second::Streamed(Method::PUT), given_up()),
        ("RFC 9110, 9.2.2: POST without a body", Second::Plain(Method::POST), given_up()),
        ("RFC 9110, 9.2.2: POST with a body", Second::Whole(Method::POST), given_up()),
        ("RFC 5789, 2: PATCH", Second::Streamed(Method::PATCH), given_up()),
    ];
    on_a_core(async {
        for (section, second, expected) in cases {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(OK).await;
                peer.head().await;
                drop(peer);
                let mut peer = backend.accept().await;
                let head = peer.head().await;
                if head.contains("content-length: 5000") {
                    assert_eq!(peer.bytes(5_000).await, [b'x'; 5_000], "{section}: the body is whole the second time");
                }
                let answer = if head.starts_with("HEAD") { "HTTP/1.1 200 OK\r\n\r\n" } else { OK };
                peer.send(answer).await;
            };
            let ask = async {
                assert_eq!(text(get(&upstreams, &proxy).await).await, hi(), "{section}");
                let (method, body) = match second {
                    Second::Plain(method) => (method, RequestBody::empty()),
                    Second::Whole(method) => (method, RequestBody::full(Bytes::from(vec![b'x'; 5_000]))),
                    Second::Streamed(method) => {
                        let (incoming, mut client) = client_body("content-length: 4").await;
                        client.write_all(b"body").await.unwrap();
                        (method, RequestBody::stream(incoming, 100, None).unwrap())
                    }
                };
                assert_eq!(text(call(&upstreams, &proxy, method, body).await).await, expected, "{section}");
            };
            tokio::select! { biased; () = ask => {}, () = async { serve.await; std::future::pending().await } => {} }
            let retried = u64::from(expected.is_ok());
            assert_eq!(
                (upstreams.counters().retried.get(), upstreams.counters().reused.get()),
                (retried, 1),
                "{section}"
            );
        }
    });
}

#[test]
fn nothing_is_sent_again_once_a_response_has_begun_or_on_a_new_connection() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            backend.accept().await.head().await;
            let mut peer = backend.accept().await;
            peer.answer(OK).await;
            peer.answer("HTTP/1.1 2").await;
        };
        let ask = async {
            assert_eq!(get(&upstreams, &proxy).await.unwrap_err().kind, FaultKind::Reset, "a new connection");
            assert_eq!(text(get(&upstreams, &proxy).await).await, hi());
            assert_eq!(
                get(&upstreams, &proxy).await.unwrap_err().kind,
                FaultKind::Reset,
                "RFC 9112, 9.3.1: a byte of it came"
            );
        };
        tokio::join!(serve, ask);
        assert_eq!((upstreams.counters().retried.get(), upstreams.counters().faults.get()), (0, 2));
    });
}
