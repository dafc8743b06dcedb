//! Floods over HTTP/2: each ends with a GOAWAY or a close, or costs its own connection only; others do not notice.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use sluice_data::Settings;

use crate::bystander::notices_nothing;
use crate::rig::flood::Aim;
use crate::rig::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PREFACE, SETTINGS, Wire, block, encoded, read,
};
use crate::rig::recorder::Recorder;
use crate::rig::{PATIENCE, blocking, node, settings};

const HOST: &str = "pets.execute-api.localhost";

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_costs_its_own_connection_and_others_do_not_notice() {
    let recorder = Recorder::start();
    let node = node(settings(), recorder.address).await;
    let address = node.http();
    blocking(move || {
        let aim = Aim { host: HOST.to_owned(), quick: "/dev/mock".to_owned(), held: "/dev/held".to_owned() };
        let mut wrong = Vec::new();
        for flood in aim.floods() {
            notices_nothing(address, flood.name, || {
                let end = flood.pour(address);
                if !flood.ends.contains(&end) {
                    wrong.push(format!("{} ({}): {end:?}", flood.name, flood.section));
                }
            });
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
    node.shutdown().await;
}

/// A header block of literals that no index shortens.
fn long_block(fields: usize) -> Vec<u8> {
    let mut block = block(GET, HOST, "/dev/mock");
    for _ in 0..fields {
        block.extend_from_slice(&[0, 1, b'x', 100]);
        block.extend_from_slice(&[b'y'; 100]);
    }
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_list_beyond_its_bound_is_431_and_the_connection_lives_on() {
    let recorder = Recorder::start();
    let node = node(settings(), recorder.address).await;
    let address = node.http();
    blocking(move || {
        let mut wire = Wire::connect(address);
        let whole = long_block(400);
        let mut pieces = whole.chunks(16_000);
        wire.send(HEADERS, END_STREAM, 1, pieces.next().unwrap());
        pieces.for_each(|piece| wire.send(CONTINUATION, 0, 1, piece));
        wire.send(CONTINUATION, END_HEADERS, 1, &[]);
        wire.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(GET, HOST, "/dev/mock"));
        let mut refused = Vec::new();
        let answer = loop {
            let frame = wire.next();
            assert_ne!(frame.kind, GOAWAY);
            match (frame.kind, frame.stream) {
                (HEADERS, 1) => refused = frame.payload,
                (DATA, 3) => break frame.payload,
                _ => {}
            }
        };
        assert_eq!(answer, b"mock");
        // `431` of four, three and one, as Huffman's code has it (RFC 7541, appendix B).
        assert!(refused.windows(3).any(|part| part == [0x69, 0x90, 0xff] || part == b"431"), "{refused:x?}");
        assert!(recorder.take().is_empty());
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_no_window_are_dropped_at_their_bound_and_others_do_not_notice() {
    let recorder = Recorder::start();
    let settings = Settings { timeouts_send: Duration::from_secs(1), ..settings() };
    let node = node(settings, recorder.address).await;
    let address = node.http();
    blocking(move || {
        notices_nothing(address, "windows of zero", || {
            let stalled = (0..50).map(|_| {
                let mut socket = TcpStream::connect(address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                // SETTINGS_INITIAL_WINDOW_SIZE of 0.
                let mut begin = [PREFACE, &encoded(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
                for stream in 0..100 {
                    let get = block(GET, HOST, "/dev/mock");
                    begin.extend(encoded(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * stream, &get));
                }
                socket.write_all(&begin).unwrap();
                socket
            });
            for mut socket in stalled.collect::<Vec<_>>() {
                while let Ok(frame) = read(&mut socket) {
                    assert!(frame.kind != DATA || frame.payload.is_empty(), "there is no window");
                }
            }
        });
    })
    .await;
    node.shutdown().await;
}
