//! The header of HAProxy's PROXY protocol, version 1 or 2, byte by byte as it comes: whom a proxy speaks for.
//!
//! Promise: never asks for a byte behind the header, so that what follows (TLS, HTTP) is left where it is; bounded.
//! The header itself is parsed by the crate `proxy-header`, once it is whole. Absent: reading, and a deadline; what a
//! header of version 2 tells beside addresses (TLVs) is skipped.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

/// Bytes of a header: version 1 has at most 107 ("proxy-protocol.txt", section 2.1), version 2 as many as its TLVs need,
/// which are some hundred with a client's certificate.
pub(crate) const HEADER_BYTES_MAX: usize = 4_096;
const LINE_BYTES_MAX: usize = 107;
/// The shortest header of version 1: `PROXY UNKNOWN` and its end.
const LINE_BYTES_MIN: usize = 15;
const LINE_START: &[u8] = b"PROXY ";
const LINE_END: &[u8] = b"\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command `LOCAL`.
const LOCAL: u8 = 0x20;
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpokenFor {
    /// The proxy itself: a health check, or a client of which it knows nothing (`LOCAL`, `UNKNOWN`, Unix sockets).
    Itself,
    /// A client, and what it called.
    Client {
        /// The client's address.
        source: SocketAddr,
        /// The address that it called.
        destination: SocketAddr,
    },
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read at most as many bytes more; all of them belong to the header.
    Read(usize),
    /// Read at most as many bytes more, but none behind a line feed.
    ReadLine(usize),
    /// The header is whole.
    Done(SpokenFor),
}

/// It is no header of the PROXY protocol, or one that cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It begins like none.
    #[error("expected a PROXY header, found something else")]
    Start,
    /// It is longer than its version allows, or than this node takes.
    #[error("expected a PROXY header of at most {0} bytes")]
    Long(usize),
    /// It begins like one.
    #[error("the PROXY header is not valid")]
    Invalid,
    /// It speaks of UDP.
    #[error("the PROXY header is not of a TCP connection")]
    NotTcp,
}

/// Looks at what has come so far.
///
/// # Errors
/// [`Malformed`], as soon as no more bytes could make it a header.
pub(crate) fn step(bytes: &[u8]) -> Result<Step, Malformed> {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, LINE_START) {
        line(bytes)
    } else {
        Err(Malformed::Start)
    }
}

/// Whether `bytes` are the start of `word`, or begin with it.
fn begins(bytes: &[u8], word: &[u8]) -> bool {
    let common = bytes.len().min(word.len());
    bytes[..common] == word[..common]
}

fn line(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.len() < LINE_BYTES_MIN {
        return Ok(Step::Read(LINE_BYTES_MIN - bytes.len()));
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end + 1 == bytes.len() && bytes.ends_with(LINE_END) => parsed(bytes),
        Some(_) => Err(Malformed::Invalid),
        None if bytes.len() >= LINE_BYTES_MAX => Err(Malformed::Long(LINE_BYTES_MAX)),
        None => Ok(Step::ReadLine(LINE_BYTES_MAX - bytes.len())),
    }
}

fn binary(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.is_empty() {
        // Which of the two it will be is not known yet.
        return Ok(Step::Read(LINE_BYTES_MIN));
    }
    if bytes.len() < FIXED_BYTES {
        return Ok(Step::Read(FIXED_BYTES - bytes.len()));
    }
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if whole > HEADER_BYTES_MAX {
        return Err(Malformed::Long(HEADER_BYTES_MAX));
    }
    match bytes.len() {
        read if read < whole => Ok(Step::Read(whole - read)),
        // "The receiver must accept this connection as valid and must use the real connection endpoints" (section 2.2).
        _ if bytes[12] == LOCAL => Ok(Step::Done(SpokenFor::Itself)),
        _ => parsed(bytes),
    }
}

fn parsed(bytes: &[u8]) -> Result<Step, Malformed> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, taken)) if taken == bytes.len() => spoken_for(&header).map(Step::Done),
        _ => Err(Malformed::Invalid),
    }
}

fn spoken_for(header: &ProxyHeader<'_>) -> Result<SpokenFor, Malformed> {
    match header.proxied_address() {
        None => Ok(SpokenFor::Itself),
        Some(address) if address.protocol == Protocol::Datagram => Err(Malformed::NotTcp),
        Some(address) => Ok(SpokenFor::Client { source: address.source, destination: address.destination }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` as a reader would, `at_once` at a time, and says what came out and how much was taken.
    fn fed(bytes: &[u8], at_once: usize) -> (Result<Option<SpokenFor>, Malformed>, usize) {
        let mut taken = 0;
        loop {
            let room = match step(&bytes[..taken]) {
                Ok(Step::Done(spoken_for)) => return (Ok(Some(spoken_for)), taken),
                Err(malformed) => return (Err(malformed), taken),
                Ok(Step::Read(room)) => room.min(bytes.len() - taken),
                Ok(Step::ReadLine(room)) => {
                    let most = room.min(bytes.len() - taken);
                    let line = bytes[taken..taken + most].iter().position(|byte| *byte == b'\n');
                    line.map_or(most, |end| end + 1)
                }
            };
            if room == 0 {
                return (Ok(None), taken);
            }
            taken += room.min(at_once);
        }
    }

    fn client(source: &str, destination: &str) -> SpokenFor {
        SpokenFor::Client { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn a_header_says_who_is_spoken_for_and_what_follows_is_left() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xC3, 0x50, 0x01, 0xBB];
        let v6 = [[0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]; 2].concat();
        let v6 = [&v6[..], &[0xC3, 0x50, 0x01, 0xBB]].concat();
        let with_tlv = [&v4[..], &[0x04, 0, 2, 9, 9]].concat();
        for (header, expect) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n".to_vec(), client("192.0.2.7:50000", "10.0.0.1:443")),
            (b"PROXY TCP6 2001:db8::7 ::1 50000 443\r\n".to_vec(), client("[2001:db8::7]:50000", "[::1]:443")),
            (b"PROXY UNKNOWN\r\n".to_vec(), SpokenFor::Itself),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), SpokenFor::Itself),
            (binary(0x21, 0x11, &v4), client("192.0.2.7:50000", "10.0.0.1:443")),
            (binary(0x21, 0x11, &with_tlv), client("192.0.2.7:50000", "10.0.0.1:443")),
            (binary(0x21, 0x21, &v6), client("[2001:db8::7]:50000", "[2001:db8::7]:443")),
            (binary(0x20, 0x00, &[]), SpokenFor::Itself),
            (binary(0x20, 0x41, &v4), SpokenFor::Itself),
            (binary(0x21, 0x31, &[1; 216]), SpokenFor::Itself),
        ] {
            for follows in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\r\n\n"] {
                let bytes = [&header[..], follows].concat();
                for at_once in [1, 7, usize::MAX] {
                    assert_eq!(fed(&bytes, at_once), (Ok(Some(expect)), header.len()), "{:?}", header.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_certain() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        for (bytes, expect) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Malformed::Start),
            (b"\x16\x03\x01\x02\x00".to_vec(), Malformed::Start),
            (b"PROXY  TCP4 192.0.2.7 10.0.0.1 50000 443\r\n".to_vec(), Malformed::Invalid),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 70000\r\n".to_vec(), Malformed::Invalid),
            (b"PROXY TCP4 ::1 10.0.0.1 50000 443\r\n".to_vec(), Malformed::Invalid),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\n".to_vec(), Malformed::Invalid),
            (b"PROXY UNKNOWN\nxxxxxxxx\r\n".to_vec(), Malformed::Invalid),
            (long, Malformed::Long(LINE_BYTES_MAX)),
            (binary(0x31, 0x11, &[0; 12]), Malformed::Invalid),
            (binary(0x22, 0x11, &[0; 12]), Malformed::Invalid),
            (binary(0x21, 0x11, &[0; 11]), Malformed::Invalid),
            (binary(0x21, 0x41, &[0; 40]), Malformed::Invalid),
            (binary(0x21, 0x12, &[0; 12]), Malformed::NotTcp),
            (binary(0x21, 0x11, &[0; 5_000]), Malformed::Long(HEADER_BYTES_MAX)),
        ] {
            for at_once in [1, usize::MAX] {
                assert_eq!(fed(&bytes, at_once).0, Err(expect), "{:?}", bytes.escape_ascii());
            }
        }
    }
}
