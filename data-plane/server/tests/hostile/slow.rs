//! Clients that take their time, and a thousand that do nothing: each is let go of at its bound, and others do not notice.

use std::time::{Duration, Instant};

use sluice_data::{DataNode, Settings};

use crate::bystander::notices_nothing;
use crate::fixture::{Api, Board, Rows, mock, proxy, stage};
use crate::rig::frames::{self, HEADERS, PREFACE, encoded};
use crate::rig::recorder::Recorder;
use crate::rig::{Client, blocking, field, operations, settings};

/// The shortest that settings allow.
const BOUND: Duration = Duration::from_secs(1);
/// Far beyond the bound, and the second in which it is found: who is still there then is not let go of.
const LATE: Duration = Duration::from_secs(8);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(50);

/// What a slow client says before it says no more than a byte now and then.
const HEADS: [(&str, &[u8]); 7] = [
    ("nothing", b""),
    ("half a request line", b"GET /dev/mo"),
    ("a head without its end", b"GET /dev/mock HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nX: "),
    ("empty lines", b"\r\n\r\n"),
    (
        "a request, and half of another",
        b"GET /dev/mock HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n\r\nGET /dev/x HT",
    ),
    ("half the preface of HTTP/2", b"PRI * HTTP/2.0\r\n"),
    ("the preface without settings", PREFACE),
];

/// Those of them that a byte now and then goes on with; it is an error behind the others.
const DRIPPING: usize = 5;

async fn started(backend: &Recorder) -> DataNode {
    let mut slow = proxy(&format!("http://{}/slow", backend.address));
    slow.timeout_in_millis = Some(500);
    let api = Api::new("pets").method("GET", "/mock", mock("200", "mock")).method("POST", "/slow", slow);
    let settings = Settings { timeouts_head: BOUND, timeouts_idle: BOUND, timeouts_send: BOUND, ..settings() };
    DataNode::start_with(settings, Board::of(Rows::default().deploy(&api, stage()))).await.unwrap()
}

/// Drips bytes at connections until the node has closed all of them.
fn drip(clients: &mut Vec<(&'static str, Client)>, drop: &str) {
    let late = Instant::now() + LATE;
    while !clients.is_empty() {
        clients.retain_mut(|(_, client)| client.send(drop));
        let left: Vec<_> = clients.iter().map(|(what, _)| *what).collect();
        assert!(Instant::now() < late, "after {LATE:?} there are still {left:?}");
        std::thread::sleep(DRIP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_come_to_an_end_are_dropped_at_their_bound_and_others_do_not_notice() {
    let recorder = Recorder::start();
    let node = started(&recorder).await;
    let (address, port) = (node.http(), node.operations());
    blocking(move || {
        let slow = |heads: &'static [(&str, &[u8])]| {
            let clients = heads.iter().flat_map(|(what, bytes)| std::iter::repeat_n((*what, *bytes), 20));
            clients.map(|(what, bytes)| {
                let mut client = Client::connect(address);
                client.send_bytes(bytes);
                (what, client)
            })
        };
        notices_nothing(address, "slow heads", || drip(&mut slow(&HEADS[..DRIPPING]).collect(), "a"));
        for (what, mut client) in slow(&HEADS).collect::<Vec<_>>() {
            client.patient(LATE);
            assert!(client.ends(), "{what}: silent");
        }
        assert!(recorder.take().is_empty());
        let page = operations(port, "/metrics").body;
        let counted = page.lines().find_map(|line| line.strip_prefix("sluice_bounds_hit_total{kind=\"head_time\"} "));
        assert!(counted.unwrap().parse::<u64>().unwrap() >= 20 * 5, "{counted:?}");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_http2_that_does_not_come_to_an_end_is_dropped_at_its_bound() {
    let recorder = Recorder::start();
    let node = started(&recorder).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        client.send_bytes(PREFACE);
        client.send_bytes(&encoded(frames::SETTINGS, 0, 0, &[]));
        // No END_HEADERS: more of the block is to come.
        client.send_bytes(&encoded(HEADERS, frames::END_STREAM, 1, &frames::block(frames::GET, "pets", "/dev/mock")));
        client.patient(LATE);
        assert!(client.ends());
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_to_an_end_end_with_their_integration_and_others_do_not_notice() {
    let recorder = Recorder::start();
    let node = started(&recorder).await;
    let address = node.http();
    blocking(move || {
        let heads = [
            ("POST /dev/slow", "Content-Length: 100000", "", 400),
            ("POST /dev/slow", "Transfer-Encoding: chunked", "186a0\r\n", 400),
            ("GET /dev/mock", "Content-Length: 100000", "", 200),
            ("POST /nowhere", "Content-Length: 100000", "", 403),
        ];
        let slow = || {
            let heads = heads.iter().flat_map(|one| std::iter::repeat_n(*one, 20));
            heads.map(|(line, fields, begin, status)| {
                let mut client = Client::connect(address);
                client.send(&format!("{line} HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n{fields}\r\n\r\n{begin}"));
                (line, status, client)
            })
        };
        notices_nothing(address, "slow bodies", || {
            let late = Instant::now() + LATE;
            let mut clients: Vec<_> = slow().collect();
            for _ in 0..15 {
                for (_, _, client) in &mut clients {
                    client.send("a");
                }
                std::thread::sleep(DRIP);
            }
            for (line, status, client) in &mut clients {
                client.patient(late.saturating_duration_since(Instant::now()));
                let answer = client.answer(true);
                assert_eq!(answer.status, *status, "{line}");
                assert!(*status != 400 || field(&answer.head, "connection").as_deref() == Some("close"), "{answer:?}");
            }
        });
        assert!(recorder.take().is_empty(), "no request came to its end");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_are_not_noticed_and_end_at_their_bound() {
    let recorder = Recorder::start();
    let node = started(&recorder).await;
    let address = node.http();
    blocking(move || {
        let mut idle: Vec<Client> = Vec::new();
        notices_nothing(address, "a thousand idle connections", || {
            while idle.len() < 1_000 {
                let mut client = Client::connect(address);
                assert_eq!(client.request(&crate::rig::get("/mock")).status, 200);
                idle.push(client);
            }
            std::thread::sleep(DRIP);
        });
        for client in &mut idle {
            client.patient(LATE);
            assert!(client.is_closed(), "at its bound");
        }
    })
    .await;
    node.shutdown().await;
}
