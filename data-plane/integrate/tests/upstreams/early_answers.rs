//! Answers that come before their request is whole.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Method;
use http_body_util::BodyExt as _;
use sluice_integrate::{Guard, RequestBody, UpstreamSettings};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{
    Backend, call, client_body, on_a_core, passing_time, proxy, text, until, upstreams, upstreams_with, whole,
};

/// Whole answers, in every framing that lets a connection live on.
const WHOLE: [(&str, &str); 3] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi"),
    ("HTTP/1.1 204 No Content\r\n\r\n", ""),
];

/// Something that shows whether a body is still wanted.
fn guarded() -> (Rc<()>, Option<Guard>) {
    let guard = Rc::new(());
    (Rc::clone(&guard), Some(Box::new(guard)))
}

#[test]
fn an_answer_that_declines_the_body_ends_it_and_both_connections() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, _client) = client_body("content-length: 4").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
            assert_eq!(peer.closed().await, b"");
        };
        let (wanted, guard) = guarded();
        let body = RequestBody::stream(incoming, 4, guard).unwrap();
        let (answer, ()) =
            tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (413, &b"no"[..]), "RFC 9112, 9.5");
        assert_eq!(answer.headers["connection"], "close", "RFC 9112, 9.6: the client's connection ends too");
        assert_eq!((upstreams.counters().open.get(), Rc::strong_count(&wanted)), (0, 1));
    });
}

#[test]
fn an_answer_is_read_though_the_backend_takes_no_more() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await;
            peer.shut_down().await;
            peer.closed().await;
        };
        let body = RequestBody::full(Bytes::from(vec![b'x'; 8_000_000]));
        let (answer, ()) =
            tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (413, &b"no"[..]), "RFC 9112, 9.5");
        assert!(!answer.headers.contains_key("connection"), "the client has sent all of it");
    });
}

#[test]
fn an_early_answer_is_whole_at_once_and_the_rest_of_the_request_follows() {
    on_a_core(async {
        for (response, expected) in WHOLE {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let (incoming, mut client) = client_body("content-length: 4").await;
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(response).await;
                peer
            };
            let (wanted, guard) = guarded();
            let body = RequestBody::stream(incoming, 4, guard).unwrap();
            let (answer, mut peer) =
                tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
            let answer = answer.unwrap();
            assert_eq!(answer.body, expected, "{response:?}: before the client has sent its body");
            assert!(!answer.headers.contains_key("connection"), "{response:?}");
            for piece in [b"bo", b"dy"] {
                client.write_all(piece).await.unwrap();
                assert_eq!(peer.bytes(2).await, piece, "{response:?}");
            }
            until("the connection is idle", || upstreams.counters().idle.get() == 1).await;
            assert_eq!(Rc::strong_count(&wanted), 1, "{response:?}: the body is through");
        }
    });
}

#[test]
fn the_rest_of_a_request_ends_with_its_backend() {
    on_a_core(async {
        for (response, expected) in WHOLE {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let (incoming, _client) = client_body("content-length: 4").await;
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(response).await;
                peer.shut_down().await;
                peer
            };
            let (wanted, guard) = guarded();
            let body = RequestBody::stream(incoming, 4, guard).unwrap();
            let (answer, _peer) =
                tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
            assert_eq!(answer.unwrap().body, expected, "{response:?}");
            until("the connection is closed", || upstreams.counters().open.get() == 0).await;
            assert_eq!(Rc::strong_count(&wanted), 1, "{response:?}: RFC 9112, 9.3: nobody reads the body");
        }
    });
}

#[test]
fn an_answer_that_says_close_is_whole_at_once_and_both_connections_end() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, _client) = client_body("transfer-encoding: chunked").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").await;
            peer
        };
        let (wanted, guard) = guarded();
        let body = RequestBody::stream(incoming, 4, guard).unwrap();
        let (answer, mut peer) =
            tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"hi"[..]));
        assert_eq!(answer.headers["connection"], "close", "RFC 9112, 9.6");
        assert_eq!(Rc::strong_count(&wanted), 1);
        peer.closed().await;
        assert_eq!(upstreams.counters().open.get(), 0);
    });
}

#[test]
fn an_answer_that_says_close_takes_the_request_while_it_streams() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("content-length: 4").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsa").await;
            client.write_all(b"body").await.unwrap();
            assert_eq!(peer.bytes(4).await, b"body");
            peer.send("id").await;
            peer
        };
        let body = RequestBody::stream(incoming, 4, None).unwrap();
        let (answer, _peer) =
            tokio::join!(async { text(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        assert_eq!(answer, Ok((200, "said".to_owned())));
        assert_eq!(upstreams.counters().open.get(), 0);
    });
}

#[test]
fn a_client_that_does_not_send_the_rest_holds_nothing_for_ever() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, _client) = client_body("content-length: 4").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer(WHOLE[0].0).await;
            peer
        };
        let (wanted, guard) = guarded();
        let body = RequestBody::stream(incoming, 4, guard).unwrap();
        let (answer, mut peer) =
            tokio::join!(async { text(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        assert_eq!(answer, Ok((200, "hi".to_owned())));
        assert_eq!(Rc::strong_count(&wanted), 2, "the rest is waited for");
        passing_time(peer.closed()).await;
        assert_eq!((upstreams.counters().open.get(), Rc::strong_count(&wanted)), (0, 1));
    });
}

#[test]
fn a_client_that_dribbles_the_rest_has_its_time_in_all() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("content-length: 1000").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer(WHOLE[0].0).await;
            peer
        };
        let (wanted, guard) = guarded();
        let body = RequestBody::stream(incoming, 1_000, guard).unwrap();
        let (answer, mut peer) =
            tokio::join!(async { text(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
        assert_eq!(answer, Ok((200, "hi".to_owned())));
        for _ in 0..3 {
            client.write_all(b"x").await.unwrap();
            assert_eq!(peer.bytes(1).await, b"x");
            assert_eq!(Rc::strong_count(&wanted), 2, "within its time");
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        peer.closed().await;
        assert_eq!((upstreams.counters().open.get(), Rc::strong_count(&wanted)), (0, 1));
    });
}

#[test]
fn a_client_that_dribbles_while_its_answer_streams_loses_the_request_and_not_the_answer() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let (incoming, mut client) = client_body("content-length: 1000").await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsa").await;
            peer
        };
        let (wanted, guard) = guarded();
        let body = RequestBody::stream(incoming, 1_000, guard).unwrap();
        let (answer, mut peer) = tokio::join!(call(&upstreams, &proxy, Method::POST, body), serve);
        let mut body = answer.unwrap().body;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "sa");
        let answering = async {
            for _ in 0..3 {
                client.write_all(b"x").await.unwrap();
                assert_eq!(peer.bytes(1).await, b"x");
                tokio::time::advance(Duration::from_secs(10)).await;
            }
            until("the rest is given up", || Rc::strong_count(&wanted) == 1).await;
            peer.send("id").await;
        };
        let (frame, ()) = tokio::join!(body.frame(), answering);
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "id");
        peer.closed().await;
        assert_eq!(upstreams.counters().open.get(), 0);
    });
}

#[test]
fn a_core_finishes_so_many_requests_behind_their_answers_and_can_wait_for_them() {
    on_a_core(async {
        let backend = Backend::start().await;
        let settings = UpstreamSettings { remainders_max: 1, ..UpstreamSettings::default() };
        let (upstreams, proxy) = (upstreams_with(settings), proxy(backend.port));
        upstreams.no_remainder().await;
        let mut kept = Vec::new();
        for connection in [None, Some("close")] {
            let (incoming, client) = client_body("content-length: 4").await;
            let body = RequestBody::stream(incoming, 4, None).unwrap();
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(WHOLE[0].0).await;
                peer
            };
            let (answer, peer) =
                tokio::join!(async { whole(call(&upstreams, &proxy, Method::POST, body).await).await }, serve);
            let answer = answer.unwrap();
            assert_eq!(answer.headers.get("connection").map(|value| value.to_str().unwrap()), connection);
            kept.push((client, peer));
        }
        assert_eq!(upstreams.counters().remainders_refused.get(), 1);
        kept.pop().unwrap().1.closed().await;
        assert_eq!(upstreams.no_remainder().now_or_never(), None, "one is under way");
        let (mut client, mut peer) = kept.pop().unwrap();
        client.write_all(b"body").await.unwrap();
        assert_eq!(peer.bytes(4).await, b"body");
        upstreams.no_remainder().await;
        assert_eq!(upstreams.counters().idle.get(), 1);
    });
}
