//! PROXY headers of load balancers: any bytes are a header or none, the same however they are cut, and nothing behind the
//! header is taken.
//!
//! The first byte says how long the pieces are.

use crate::{
    Target,
    taken::proxy_protocol::{HEADER_BYTES_MAX, Malformed, SpokenFor, Step, step},
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What follows a header in the second reading: more ends of lines than any header has.
const BEHIND: &[u8] = b"\r\n\n\r\n\0\r\nQUIT\nGET / HTTP/1.1\r\n\r\n";

/// The target.
pub const TARGET: Target = Target {
    name: "proxy_protocol",
    run,
    seeds,
    words: &[
        "PROXY ",
        "TCP4 ",
        "TCP6 ",
        "UNKNOWN",
        "192.0.2.7 ",
        "2001:db8::7 ",
        "65535",
        "00001",
        "+1",
        "\r\n",
        "\n",
        " ",
        "\r\n\r\n\0\r\nQUIT\n",
        "\0",
        "!",
    ],
};

/// Headers of version 2, which are no text.
fn seeds() -> Vec<Vec<u8>> {
    let binary = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[1], SIGNATURE, &[command, family], &length, rest].concat()
    };
    vec![
        binary(0x20, 0x00, &[]),
        binary(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0x01, 0xBB]),
        binary(0x21, 0x21, &[7; 36]),
        binary(0x21, 0x31, &[7; 216]),
        binary(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0x01, 0xBB, 0x04, 0, 2, 9, 9]),
    ]
}

/// Reads the bytes whole, in pieces, and with more behind them.
///
/// # Panics
/// When they differ, or more is taken than a header may have.
pub fn run(input: &[u8]) {
    let [at_once, bytes @ ..] = input else { return };
    let at_once = usize::from(*at_once).max(1);
    let whole = read(bytes, usize::MAX);
    assert_eq!(whole, read(bytes, at_once), "in pieces of {at_once}");
    assert!(whole.1 <= HEADER_BYTES_MAX, "{} bytes were taken", whole.1);
    if let Ok(Some(_)) = whole.0 {
        assert_eq!(whole, read(&[&bytes[..whole.1], BEHIND].concat(), usize::MAX), "with more behind it");
    }
}

/// What the bytes say, `None` where they end too early, and how many of them were taken.
fn read(bytes: &[u8], at_once: usize) -> (Result<Option<SpokenFor>, Malformed>, usize) {
    let mut taken = 0;
    loop {
        let left = &bytes[taken..];
        let room = match step(&bytes[..taken]) {
            Ok(Step::Done(spoken_for)) => return (Ok(Some(spoken_for)), taken),
            Err(malformed) => return (Err(malformed), taken),
            Ok(Step::Read(room)) => room.min(left.len()),
            Ok(Step::ReadLine(room)) => {
                let line = left.iter().take(room).position(|byte| *byte == b'\n');
                line.map_or(room.min(left.len()), |end| end + 1)
            }
        };
        assert!(taken + room <= HEADER_BYTES_MAX, "no more is asked for than a header may have");
        if room == 0 {
            return (Ok(None), taken);
        }
        taken += room.min(at_once);
    }
}
