//! What data nodes do for clients beyond plain proxying: answers of their own, HTTP/2, https backends, a clean end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_e2e::{
    backend::{Backend, Seen},
    dev::Dev,
    fixture,
    http::get,
    node::DataNode,
    wait::eventually,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_mocks_speaks_http_2_and_trusts_only_the_certificates_it_was_given() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let mock = fixture::import(&cli, &fixture::mock(folder.path(), "mocked", &["/made-up"]), &[]);
    drop(cli.json(&["api", "deploy", &mock, "--stage", "prod"]));
    let made_up = fixture::route(&mock, "prod", "/made-up");
    let answer = get(dev.gateway(0), &made_up, &[]).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, br#"{"path":"/made-up"}"#.as_slice()));
    assert_eq!(answer.headers()["content-type"], "application/json");
    let unknown = get(dev.gateway(0), &fixture::route(&mock, "prod", "/nothing"), &[]).await.unwrap();
    assert_eq!(unknown.status(), 403, "AWS answers an unknown route so");
    assert_eq!(over_http_2(&dev, &[&made_up, &made_up]).await, [200, 200]);

    let (backend, certificate) = Backend::tls().await;
    let file = fixture::proxied(folder.path(), "secure", &["/safe"]);
    let secure = fixture::import(&cli, &file, &["--backend", &backend.url()]);
    drop(cli.json(&["api", "deploy", &secure, "--stage", "prod"]));
    let safe = fixture::route(&secure, "prod", "/safe");
    let stranger = get(dev.gateway(0), &safe, &[]).await.unwrap();
    assert!(stranger.status().is_server_error(), "a certificate that nobody vouches for is refused: {stranger:?}");
    let ca = folder.path().join("backend.pem");
    std::fs::write(&ca, certificate).unwrap();
    let flags = ["--backend-ca-file", ca.to_str().unwrap(), "--drain-delay", "0s"];
    let trusting = DataNode::with(&[], &folder.path().join("trusting"), &dev.ready.admin[0], &flags);
    let answer = eventually("the node that has the certificate answers", || async {
        let answer = get(trusting.address, &safe, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let seen: Seen = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(seen.path, "/safe");
    drop(trusting);
    dev.stop();
}

/// The statuses of these paths, asked one after the other on one connection of HTTP/2 with prior knowledge.
async fn over_http_2(dev: &Dev, paths: &[&str]) -> Vec<u16> {
    let stream = TcpStream::connect(dev.gateway(0)).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut statuses = Vec::new();
    for path in paths {
        let uri = format!("{}{path}", dev.ready.gateway[0].trim_end_matches('/'));
        let answer = sender.send_request(Request::get(uri).body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        statuses.push(answer.status().as_u16());
        drop(answer.into_body().collect().await.unwrap());
    }
    connection.abort();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_node_that_is_told_to_stop_under_load_fails_no_request() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let backend = Backend::slow(Duration::from_millis(100)).await;
    let cli = dev.cli();
    let file = fixture::proxied(folder.path(), "slow", &["/slow"]);
    let api = fixture::import(&cli, &file, &["--backend", &backend.url()]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod"]));
    let path = fixture::route(&api, "prod", "/slow");
    let mut node = DataNode::with(&[], &folder.path().join("leaving"), &dev.ready.admin[0], &["--drain-delay", "1s"]);
    eventually("the node serves", || async {
        let answer = get(node.address, &path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = Client { address: node.address, operations: node.operations, path: path.clone() };
            tokio::spawn(client.run(answered.clone()))
        })
        .collect();
    eventually("every client is at work", || async {
        let count = answered.load(Ordering::Relaxed);
        if count >= CLIENTS * 3 { Ok(()) } else { Err(count) }
    })
    .await;
    let stopping = tokio::task::spawn_blocking(move || node.process.stop());
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(stopping.await.unwrap(), Some(0), "the node stops cleanly");
    dev.stop();
}

/// A client behind a balancer: it makes connections while the node says that it is ready, and keeps them as long as it may.
struct Client {
    address: std::net::SocketAddr,
    operations: std::net::SocketAddr,
    path: String,
}

impl Client {
    /// Asks until the node is not ready any more. Every request that was begun must be answered with 200.
    async fn run(self, answered: Arc<AtomicUsize>) {
        while get(self.operations, "/readyz", &[]).await.is_ok_and(|answer| answer.status() == 200) {
            let stream = TcpStream::connect(self.address).await.expect("a node that was ready a moment ago accepts");
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let connection = tokio::spawn(connection);
            loop {
                let request = Request::get(&self.path).header("host", self.address.to_string());
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                let answer = sender.send_request(request).await.expect("a request that was sent is answered");
                assert_eq!(answer.status(), 200, "{answer:?}");
                let is_last = answer.headers().get("connection").is_some_and(|value| value == "close");
                drop(answer.into_body().collect().await.expect("the whole body comes"));
                answered.fetch_add(1, Ordering::Relaxed);
                if is_last {
                    break;
                }
            }
            connection.abort();
        }
    }
}
