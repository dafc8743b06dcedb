//! Floods over HTTP/2, as a table: what is poured, and how it may end. The benchmark pours the same.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, POST, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, encoded, read,
};

/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// RFC 9113, section 7: the peer generates excessive load; and a header block that cannot be read.
const ENHANCE_YOUR_CALM: u32 = 11;
const COMPRESSION_ERROR: u32 = 9;
const PROTOCOL_ERROR: u32 = 1;
const LARGEST: [u8; 4] = 0x7fff_ffff_u32.to_be_bytes();
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
/// What the last ping of a flood that was let through says.
const LAST: &[u8; 8] = b"the last";

/// Whom a flood asks for what.
#[derive(Clone)]
pub(crate) struct Aim {
    pub(crate) host: String,
    /// What is answered at once.
    pub(crate) quick: String,
    /// What is not answered for long.
    pub(crate) held: String,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By the node, which said why.
    GoAway(u32),
    /// By the node, without a word.
    Closed,
    /// Not at all: all was taken, and the last ping answered.
    Open,
}

const GONE: &[End] = &[End::GoAway(ENHANCE_YOUR_CALM), End::Closed];

/// A flood.
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// Of RFC 9113, or the advisory that named it.
    pub(crate) section: &'static str,
    /// How it may end.
    pub(crate) ends: &'static [End],
    /// Before it, once.
    first: Vec<u8>,
    /// Frames for each of its rounds, by its number.
    round: Arc<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    rounds: u32,
    /// Whether a round waits until the node has seen the one before.
    pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Free,
    RoundByRound,
}

impl Aim {
    fn requests(&self, streams: impl Iterator<Item = u32>) -> Vec<u8> {
        let block = block(GET, &self.host, &self.held);
        streams.flat_map(|stream| encoded(HEADERS, END_HEADERS | END_STREAM, stream, &block)).collect()
    }

    /// A request whose header block goes on.
    fn open_block(&self) -> Vec<u8> {
        encoded(HEADERS, END_STREAM, 1, &block(GET, &self.host, &self.quick))
    }

    /// A request whose body goes on.
    fn open_body(&self) -> Vec<u8> {
        encoded(HEADERS, END_HEADERS, 1, &block(POST, &self.host, &self.held))
    }

    /// All floods.
    pub(crate) fn floods(&self) -> Vec<Flood> {
        [self.of_streams(), self.of_blocks(), self.of_frames()].into_iter().flatten().collect()
    }

    fn of_streams(&self) -> Vec<Flood> {
        let (one, other, third) = (self.clone(), self.clone(), self.clone());
        vec![
            flood(("rapid reset", "CVE-2023-44487"), GONE, 100, move |round| {
                fifty(round).flat_map(|at| [one.requests(at..=at), resets(at..=at)].concat()).collect()
            }),
            // What a round begins, the next one resets.
            flood(("reset after each was begun", "CVE-2023-44487"), GONE, 100, move |round| {
                let before = round.checked_sub(1).map(|before| resets(fifty(before))).unwrap_or_default();
                [before, other.requests(fifty(round))].concat()
            })
            .paced(),
            // A window beyond its largest is an error of its stream (RFC 9113, section 6.9.1).
            flood(("resets that the node is made to send", "CVE-2025-8671"), GONE, 100, move |round| {
                let wrong = |at| [third.requests(at..=at), encoded(WINDOW_UPDATE, 0, at, &LARGEST)].concat();
                fifty(round).flat_map(wrong).collect()
            })
            .paced(),
        ]
    }

    fn of_blocks(&self) -> Vec<Flood> {
        const LONG: &[End] =
            &[End::GoAway(PROTOCOL_ERROR), End::GoAway(COMPRESSION_ERROR), End::GoAway(ENHANCE_YOUR_CALM), End::Closed];
        let long = [&[0, 1, b'x', 0x7f, 0xff, 0xff, 3][..], &[b'y'; 16_000]].concat();
        vec![
            flood(("CONTINUATION", "CVE-2024-27316"), LONG, 1_000, |_| {
                encoded(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y']).repeat(100)
            })
            .first(self.open_block()),
            flood(("empty CONTINUATION", "CVE-2024-27316"), GONE, 100, |_| {
                encoded(CONTINUATION, 0, 1, &[]).repeat(1_000)
            })
            .first(self.open_block()),
            flood(("a header list larger than any buffer", "10.5.1"), LONG, 1_000, move |_| {
                encoded(CONTINUATION, 0, 1, &long)
            })
            .first(self.open_block()),
        ]
    }

    fn of_frames(&self) -> Vec<Flood> {
        const ANY: &[End] = &[End::GoAway(ENHANCE_YOUR_CALM), End::Closed, End::Open];
        let same = |what, ends, rounds, frame: Vec<u8>| flood(what, ends, rounds, move |_| frame.repeat(1_000));
        vec![
            same(("empty DATA", "CVE-2019-9518"), GONE, 1_000, encoded(DATA, 0, 1, &[])).first(self.open_body()),
            same(("DATA of one byte", "CVE-2019-9511"), ANY, 200, encoded(DATA, 0, 1, b"x")).first(self.open_body()),
            same(("PING", "CVE-2019-9512"), GONE, 800, encoded(PING, 0, 0, b"and now?")),
            same(("PING beside a body", "CVE-2019-9512"), ANY, 200, encoded(PING, 0, 0, b"and now?"))
                .first(self.open_body()),
            same(("SETTINGS", "CVE-2019-9515"), GONE, 800, encoded(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
            same(("PRIORITY", "CVE-2019-9513"), GONE, 800, encoded(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
            same(("frames of no known kind", "5.5"), GONE, 1_500, encoded(0x77, 0, 0, &[])),
        ]
    }
}

fn flood(
    (name, section): (&'static str, &'static str),
    ends: &'static [End],
    rounds: u32,
    round: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Flood {
    Flood { name, section, ends, first: Vec::new(), round: Arc::new(round), rounds, pace: Pace::Free }
}

fn resets(streams: impl Iterator<Item = u32>) -> Vec<u8> {
    streams.flat_map(|stream| encoded(RST_STREAM, 0, stream, &CANCEL)).collect()
}

/// Fifty streams of a round.
fn fifty(round: u32) -> impl Iterator<Item = u32> {
    (0..50).map(move |at| 1 + 2 * (round * 50 + at))
}

impl Flood {
    fn first(self, first: Vec<u8>) -> Self {
        Self { first, ..self }
    }

    fn paced(self) -> Self {
        Self { pace: Pace::RoundByRound, ..self }
    }

    /// Pours it at a node, reading all that comes back.
    pub(crate) fn pour(&self, node: SocketAddr) -> End {
        let mut socket = TcpStream::connect(node).expect("a node takes one more connection");
        let timely = socket.set_read_timeout(Some(PATIENCE)).and_then(|()| socket.set_write_timeout(Some(PATIENCE)));
        timely.expect("a socket has timeouts");
        let (seen, sees) = std::sync::mpsc::channel();
        let mut reader = socket.try_clone().expect("a socket can be shared");
        let reading = std::thread::spawn(move || {
            loop {
                match read(&mut reader) {
                    Ok(frame) if frame.kind == GOAWAY => {
                        let code = frame.payload.get(4..8).and_then(|code| code.try_into().ok());
                        return End::GoAway(u32::from_be_bytes(code.expect("a GOAWAY has a code")));
                    }
                    Ok(frame) if frame.kind == PING && frame.flags == ACK && frame.payload == LAST => return End::Open,
                    Ok(frame) if frame.kind == PING && frame.flags == ACK => drop(seen.send(())),
                    Ok(_) => {}
                    Err(error) => {
                        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the node neither answers nor closes");
                        return End::Closed;
                    }
                }
            }
        });
        let begin = [PREFACE, &encoded(SETTINGS, 0, 0, &[]), &self.first].concat();
        let mut taken = socket.write_all(&begin).is_ok();
        for round in 0..self.rounds {
            taken = taken && socket.write_all(&(self.round)(round)).is_ok();
            if taken && self.pace == Pace::RoundByRound {
                taken = socket.write_all(&encoded(PING, 0, 0, b"taken so")).is_ok();
                taken = taken && sees.recv_timeout(PATIENCE).is_ok();
            }
            if !taken {
                break;
            }
        }
        // One that was closed takes no more.
        let _ = socket.write_all(&encoded(PING, 0, 0, LAST));
        reading.join().expect("what a node says is frames")
    }
}
