//! The http port of a control node (7180) as a stranger meets it.

use sluice_e2e::{cluster::Cluster, http::get, wait::PATIENCE};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How a client of HTTP/2 with prior knowledge begins (RFC 9113, section 3.4), and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// The type of a SETTINGS frame, with which a server of HTTP/2 begins: the fourth byte.
const SETTINGS: u8 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn the_http_port_speaks_http_1_only_and_drops_who_says_nothing() {
    let cluster = Cluster::start(1, &[]).await;
    let port = cluster.http(0);
    let mut silent = TcpStream::connect(port).await.unwrap();

    let answer = get(port, "/healthz", &[]).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_11));
    let metrics = get(port, "/metrics", &[]).await.unwrap();
    let text = String::from_utf8_lossy(metrics.body());
    assert!(text.contains("sluice_raft_leader 1") && text.contains("sluice_admin_calls_total"), "{text}");

    let mut newer = TcpStream::connect(port).await.unwrap();
    newer.write_all(PREFACE).await.unwrap();
    let said = rest(&mut newer).await;
    assert_ne!(said.get(3), Some(&SETTINGS), "no HTTP/2 is spoken: {said:?}");
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&said));

    assert_eq!(rest(&mut silent).await, b"", "a connection without a first byte has an end");
}

/// What comes until the node closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the node closes the connection");
    said
}
