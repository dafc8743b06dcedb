//! What a node's HTTP engines must not be made to send or to take, seen through its sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rig::{Backend, Client, blocking, field, get, node, settings};
use sluice_data::Settings;

/// The status, the announced length and the body of an HTTP/2 exchange.
type Seen = (u16, Option<String>, Bytes);

#[tokio::test(flavor = "multi_thread")]
async fn http2_responses_that_must_have_no_body_have_none() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let socket = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let driven = tokio::spawn(connection);
    let exchange = async |method: Method, path: &str, overriding: &str| -> Seen {
        let uri = format!("http://pets.execute-api.localhost/dev{path}");
        let request = Request::builder().method(method).uri(uri).header("x-http-method-override", overriding);
        let answer = sender.clone().send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let length = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        (answer.status().as_u16(), length, answer.into_body().collect().await.unwrap().to_bytes())
    };
    assert_eq!(exchange(Method::HEAD, "/", "").await, (403, Some("42".into()), Bytes::new()), "the gateway's own");
    let (status, length, body) = exchange(Method::HEAD, "/x", "").await;
    assert!((status, body.len()) == (200, 0) && length.is_some_and(|length| length != "0"), "the backend's");
    let (status, length, body) = exchange(Method::HEAD, "/x", "GET").await;
    assert!((status, body.len()) == (200, 0) && length.is_some_and(|length| length != "0"), "a GET's");
    let (status, length, body) = exchange(Method::GET, "/x", "HEAD").await;
    assert_eq!((status, length.filter(|length| length != "0"), body.len()), (200, None, 0), "a HEAD's, for GET");
    node.shutdown().await;
    drop(sender);
    driven.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_coding_that_is_not_undone_is_refused() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let request = |coding: &str| {
            format!(
                "POST /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            )
        };
        for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked", "chunked\r\nTransfer-Encoding: chunked"] {
            assert_eq!(Client::connect(address).request(&request(coding)).status, 400, "{coding}");
        }
        let mut client = Client::connect(address);
        let taken = client.request(&request("Chunked"));
        assert_eq!((taken.status, field(&taken.body, "transfer-encoding").as_deref()), (200, Some("chunked")));
        assert_eq!(client.request(&get("/mock")).status, 200, "and the connection lives on");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_takes_nothing_of_its_response_is_dropped() {
    let backend = Backend::start();
    let settings = Settings { timeouts_send: std::time::Duration::from_secs(1), ..settings() };
    let node = node(settings, backend.address).await;
    let socket = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(0);
    let (mut sender, connection) = client.handshake::<_, Empty<Bytes>>(TokioIo::new(socket)).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = Request::get("http://pets.execute-api.localhost/dev/x").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    // The answer's body is not read: the connection ends all the same, and not because the client lets go of it.
    let ended = tokio::time::timeout(rig::PATIENCE, driven).await.expect("the node drops the connection");
    drop((answer, sender, ended));
    node.shutdown().await;
}
