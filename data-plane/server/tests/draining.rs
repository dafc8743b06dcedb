//! What a node still owes its clients when it is told to stop.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use std::net::TcpStream;

use rig::{Backend, Client, blocking, field, frames, node, settings, wait_until};

const HOST: &str = "pets.execute-api.localhost";

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_flight_is_received_to_its_end_and_answered() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    let mut client = blocking(move || {
        let mut client = Client::connect(address);
        let head = format!("POST /dev/x HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n");
        // The gateway asks for the body once a backend takes it: from then on the request is in flight.
        assert_eq!(client.request(&head).status, 100);
        assert!(client.send("four"));
        client
    })
    .await;
    let stopping = tokio::spawn(node.shutdown());
    blocking(move || {
        wait_until("no core accepts", || TcpStream::connect(address).is_err());
        assert!(client.send("more"));
        let answer = client.answer(true);
        assert_eq!((answer.status, field(&answer.head, "connection").as_deref()), (200, Some("close")));
        assert!(answer.body.ends_with("\nfourmore"), "{}", answer.body);
        assert!(client.is_closed());
    })
    .await;
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_stream_in_flight_is_answered_and_its_client_is_told_to_go() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    let (backend, mut wire) = blocking(move || {
        let mut wire = frames::Wire::connect(address);
        wire.get(HOST, "/dev/held");
        backend.wait_held();
        (backend, wire)
    })
    .await;
    let stopping = tokio::spawn(node.shutdown());
    blocking(move || {
        while wire.next().kind != frames::GOAWAY {}
        wait_until("no core accepts", || TcpStream::connect(address).is_err());
        backend.release();
        let (blocks, body) = wire.answer();
        assert!(blocks == 1 && body.starts_with(b"GET /base/held "), "{body:?}");
    })
    .await;
    stopping.await.unwrap();
}
