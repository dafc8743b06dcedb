//! Clients that go away: their exchange ends, and its connection is not used again.

use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::harness::{Backend, get, on_a_core, proxy, upstreams};

#[test]
fn dropping_a_call_closes_its_connection() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            peer
        };
        let mut peer = tokio::select! {
            _ = get(&upstreams, &proxy) => unreachable!("the backend does not answer"),
            peer = serve => peer,
        };
        assert_eq!(peer.closed().await, b"");
        assert_eq!((upstreams.counters().open.get(), upstreams.counters().idle.get()), (0, 0));
    });
}

#[test]
fn dropping_a_body_before_its_end_closes_its_connection() {
    on_a_core(async {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhi",
        ] {
            let backend = Backend::start().await;
            let (upstreams, proxy) = (upstreams(), proxy(backend.port));
            let serve = async {
                let mut peer = backend.accept().await;
                peer.answer(response).await;
                peer
            };
            let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
            let mut body = answer.unwrap().body;
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
            drop(body);
            assert_eq!(peer.closed().await, b"");
            assert_eq!((upstreams.counters().open.get(), upstreams.counters().idle.get()), (0, 0), "{response:?}");
        }
    });
}

#[test]
fn an_engine_that_does_not_ask_after_the_last_byte_still_gives_the_connection_back() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let serve = async {
            let mut peer = backend.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(get(&upstreams, &proxy), serve);
        let mut body = answer.unwrap().body;
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
        assert_eq!(body.size_hint().exact(), Some(2));
        peer.send("ho").await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ho");
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(upstreams.counters().idle.get(), 1);
    });
}
