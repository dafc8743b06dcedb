//! Answers that come before the client has sent its request: the client has them whole, and its connection or stream ends
//! in order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rig::script::{Then, hasty};
use rig::{Backend, Client, blocking, field, frames, get, node, settings};

/// Begins an upload of which only the first bytes are sent.
fn begin_upload(client: &mut Client, length: usize) {
    let head = "POST /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n";
    assert!(client.send(&format!("{head}Content-Length: {length}\r\n\r\nfour")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_the_whole_of_an_early_answer_before_it_has_sent_its_body() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let said = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let declined = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nhi";
    for (what, answer, then, status, close) in [
        ("it closes", plain, Then::Closes, 200, None),
        ("chunked, and it closes", chunked, Then::Closes, 200, None),
        ("it says close", said, Then::Keeps, 200, Some("close")),
        ("it says close, and closes", said, Then::Closes, 200, Some("close")),
        ("it declines", declined, Then::Keeps, 413, Some("close")),
    ] {
        let node = node(settings(), hasty(answer, then)).await;
        let address = node.http();
        blocking(move || {
            let mut client = Client::connect(address);
            begin_upload(&mut client, 1_000_000);
            let answer = client.answer(true);
            assert_eq!((answer.status, &*answer.body), (status, "hi"), "{what}");
            assert_eq!(field(&answer.head, "connection").as_deref(), close, "{what}: RFC 9112, 9.6");
            assert!(client.is_closed(), "{what}: RFC 9112, 9.3: nobody reads the rest");
        })
        .await;
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lives_on_when_the_rest_of_its_request_is_taken_after_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = node(settings(), listener.local_addr().unwrap()).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        begin_upload(&mut client, 8);
        let (mut backend, _) = listener.accept().unwrap();
        let mut seen = [0; 4_096];
        let mut head = String::new();
        while !head.ends_with("\r\n\r\nfour") {
            let count = backend.read(&mut seen).unwrap();
            head.push_str(std::str::from_utf8(&seen[..count]).unwrap());
        }
        backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!(client.answer(true).body, "hi");
        assert!(client.send("more"));
        backend.read_exact(&mut seen[..4]).unwrap();
        assert_eq!(&seen[..4], b"more");
        assert_eq!(client.request(&get("/mock")).body, "mock");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_everything_before_it_reads_finds_its_answer() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let head = "POST /nowhere HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n";
        for (what, request, status) in [
            ("refused by the gateway", format!("{head}Content-Length: 8000000\r\n\r\n"), 403),
            ("larger than a body may be", format!("{head}Content-Length: 20000000\r\n\r\n"), 413),
            ("not valid", "what is this\r\n\r\n".to_owned(), 400),
        ] {
            let mut client = Client::connect(address);
            // Both are far more than what the sockets hold, so that the node has closed its side long before the last byte.
            assert!(client.send(&request) && client.send(&"x".repeat(8_000_000)), "{what}: RFC 9112, 9.6: taken");
            assert_eq!(client.answer(true).status, status, "{what}");
            assert!(client.is_closed(), "{what}");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_request_that_is_sent_to_its_end_is_not_reset_behind_its_early_answer() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let declined = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let forbidden = r#"{"message":"Forbidden"}"#;
    for (answer, path, expected) in
        [(plain, "/dev/x", "hi"), (declined, "/dev/x", "hi"), (plain, "/elsewhere", forbidden)]
    {
        let node = node(settings(), hasty(answer, Then::Closes)).await;
        let address = node.http();
        blocking(move || {
            let mut wire = frames::Wire::connect(address);
            wire.begin_post("pets.execute-api.localhost", path);
            assert_eq!(wire.answer(), (1, expected.into()), "{path}");
            assert!(!wire.is_reset(), "{path}: a client that has read its answer's end may still be sending");
            wire.end_post(3);
            assert!(!wire.is_reset(), "{path}: there is nothing left to reset");
        })
        .await;
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_stream_whose_client_stays_silent_is_reset_without_error_behind_its_early_answer() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let declined = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let cases =
        [(plain, "/dev/x", "hi"), (declined, "/dev/x", "hi"), (plain, "/elsewhere", r#"{"message":"Forbidden"}"#)];
    // At once: each waits out the silence.
    let checks = cases.map(|(answer, path, expected)| async move {
        let node = node(settings(), hasty(answer, Then::Closes)).await;
        let address = node.http();
        blocking(move || {
            let mut wire = frames::Wire::connect(address);
            wire.begin_post("pets.execute-api.localhost", path);
            let (mut body, mut ended) = (Vec::new(), false);
            loop {
                let frame = wire.next();
                match frame.kind {
                    frames::DATA => {
                        body.extend_from_slice(&frame.payload);
                        ended = frame.flags & frames::END_STREAM != 0;
                    }
                    frames::RST_STREAM => {
                        assert_eq!((frame.stream, &*frame.payload), (1, &[0; 4][..]), "RFC 9113, 8.1: NO_ERROR");
                        break;
                    }
                    _ => {}
                }
            }
            assert_eq!((String::from_utf8(body).unwrap().as_str(), ended), (expected, true), "{path}");
        })
        .await;
        node.shutdown().await;
    });
    futures_util::future::join_all(checks).await;
}
