//! Names of backends.

use sluice_compile::Scheme;
use sluice_integrate::FaultKind;

use crate::harness::{Backend, get, on_a_core, proxy_to, text, upstreams};

#[test]
fn every_address_of_a_name_is_tried_and_the_name_is_asked_once() {
    on_a_core(async {
        // Where localhost is also ::1, nothing listens there.
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy_to(Scheme::Http, "localhost", backend.port));
        for _ in 0..3 {
            let response = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
            let serve = async { backend.accept().await.answer(response).await };
            let (answer, head) = tokio::join!(get(&upstreams, &proxy), serve);
            assert_eq!(text(answer).await, Ok((200, "hi".to_owned())));
            assert!(head.contains(&format!("host: localhost:{}\r\n", backend.port)), "RFC 9110, 7.2");
        }
        assert_eq!((upstreams.counters().lookups.get(), upstreams.counters().opened.get()), (1, 3));
    });
}

#[test]
fn a_name_without_an_address_is_told_from_a_place_where_nothing_listens() {
    on_a_core(async {
        let upstreams = upstreams();
        // RFC 6761, 6.4: this name never has an address.
        let nowhere = proxy_to(Scheme::Http, "nowhere.invalid", 80);
        let (first, second) = tokio::join!(get(&upstreams, &nowhere), get(&upstreams, &nowhere));
        assert_eq!((first.unwrap_err().kind, second.unwrap_err().kind), (FaultKind::Resolve, FaultKind::Resolve));
        assert_eq!(get(&upstreams, &nowhere).await.unwrap_err().kind, FaultKind::Resolve);
        assert_eq!(upstreams.counters().lookups.get(), 1, "one question for those who ask at once or soon after");

        let port = Backend::start().await.port;
        let closed = proxy_to(Scheme::Http, "127.0.0.1", port);
        assert_eq!(get(&upstreams, &closed).await.unwrap_err().kind, FaultKind::Connect);
        assert_eq!((upstreams.counters().connect_failures.get(), upstreams.counters().faults.get()), (4, 4));
    });
}
