//! Frames of HTTP/2 by hand (RFC 9113, section 4.1): a client library hides what ends a stream.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// Of settings and pings.
pub(crate) const ACK: u8 = 1;
/// What a client's connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:method` as RFC 7541, appendix A, numbers it.
pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;

/// The header block of a request; there 6 is `:scheme: http`, and 1 and 4 name `:authority` and `:path`.
pub(crate) fn block(method: u8, authority: &str, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86];
    for (index, value) in [(1, authority), (4, path)] {
        block.push(index);
        push_text(&mut block, value);
    }
    block
}

/// A short text as it is (RFC 7541, section 5.2).
fn push_text(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).unwrap());
    block.extend_from_slice(text.as_bytes());
}

/// The bytes of a frame.
pub(crate) fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// One frame.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A client's connection.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(PREFACE).unwrap();
        let mut wire = Self(socket);
        wire.send(SETTINGS, 0, 0, &[]);
        wire
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.write_all(&encoded(kind, flags, stream, payload)).unwrap();
    }

    /// Begins a POST on stream 1 whose body goes on.
    pub(crate) fn begin_post(&mut self, authority: &str, path: &str) {
        self.send(HEADERS, END_HEADERS, 1, &block(POST, authority, path));
        self.send(DATA, 0, 1, b"four");
    }

    /// Sends the rest of that body, `frames` of 16 KiB, the last of which ends it; three fit in a window of 65,535 bytes, which
    /// holds until settings are acknowledged (RFC 9113, section 6.5.3).
    pub(crate) fn end_post(&mut self, frames: usize) {
        for frame in 1..=frames {
            self.send(DATA, if frame == frames { END_STREAM } else { 0 }, 1, &[b'x'; 16 * 1024]);
        }
    }

    /// Whether stream 1 is reset before the other side answers a ping, and so has seen all that was sent before.
    pub(crate) fn is_reset(&mut self) -> bool {
        self.send(PING, 0, 0, b"are you?");
        loop {
            let frame = self.next();
            match frame.kind {
                RST_STREAM => return true,
                PING => return false,
                _ => {}
            }
        }
    }

    /// Sends a GET on stream 1.
    pub(crate) fn get(&mut self, authority: &str, path: &str) {
        self.get_with(authority, path, &[]);
    }

    /// Sends a GET with more fields, which need not be valid, on stream 1.
    pub(crate) fn get_with(&mut self, authority: &str, path: &str, fields: &[(&str, &str)]) {
        let mut block = block(GET, authority, path);
        for (name, value) in fields {
            // RFC 7541, section 6.2.2: a literal with a name of its own.
            block.push(0);
            push_text(&mut block, name);
            push_text(&mut block, value);
        }
        self.send(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    }

    /// Whether stream 1, or the whole connection, ends as malformed.
    pub(crate) fn is_refused(&mut self) -> bool {
        loop {
            let frame = self.next();
            match frame.kind {
                RST_STREAM => return frame.payload != [0; 4],
                GOAWAY => return frame.payload[4..8] != [0; 4],
                HEADERS | DATA => return false,
                _ => {}
            }
        }
    }

    /// Reads to the end of stream 1: how many header blocks it had, and its body.
    pub(crate) fn answer(&mut self) -> (usize, Vec<u8>) {
        let (mut blocks, mut body) = (0, Vec::new());
        loop {
            let frame = self.next();
            match frame.kind {
                HEADERS => blocks += 1,
                DATA => body.extend_from_slice(&frame.payload),
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return (blocks, body);
            }
        }
    }

    pub(crate) fn next(&mut self) -> Frame {
        read(&mut self.0).unwrap()
    }
}

/// Reads a frame.
pub(crate) fn read(socket: &mut TcpStream) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    socket.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload)?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Frame { kind: head[3], flags: head[4], stream, payload })
}
