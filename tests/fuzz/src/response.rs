//! Responses of backends: any bytes are a response or an error, the same however they are cut.
//!
//! The first byte says whether HEAD was asked, the second how long the pieces are.

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};

use crate::{
    Target,
    chunked::Decoded,
    response_head::{Asked, Framing, Head, HeadReader},
};

/// Bytes of a head, at most.
const HEAD_BYTES_MAX: usize = 2_048;
/// Interim responses that are read past.
const INTERIM_MAX: usize = 16;

/// The target.
pub const TARGET: Target = Target {
    name: "response",
    run,
    seeds: Vec::new,
    words: &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 304 \r\n",
        "HTTP/1.1 101 \r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, x-own\r\n",
        "X-Own: 1\r\n",
        "Date: x\r\n",
        "\r\n\r\n",
        "\r\n",
        "\n",
        " ",
        "\t",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nX-Sum: 1\r\n\r\n",
        "ffffffffffffffff\r\n",
        ";a=b",
    ],
};

/// What was read of a response.
#[derive(Debug, PartialEq)]
struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    persistent: bool,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    ending: Ending,
}

/// How its end was known.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It said so; this many bytes came behind it.
    Told { behind: usize },
    /// The connection was closed.
    Closed,
}

/// Reads the bytes whole and in pieces.
///
/// # Panics
/// When the two differ, or a promise of the codec is broken.
pub fn run(input: &[u8]) {
    let (asked, step, bytes) = match input {
        [asked, step, bytes @ ..] => (asked, usize::from(*step).max(1), bytes),
        _ => return,
    };
    let asked = if asked % 2 == 1 { Asked::Head } else { Asked::Other };
    let (whole, cut) = (read(asked, &[bytes]), read(asked, &bytes.chunks(step).collect::<Vec<_>>()));
    if let (Ok(whole), Ok(cut)) = (&whole, &cut) {
        assert!(whole.body.len() <= bytes.len(), "no byte of a body is made up");
        assert_eq!(whole, cut, "in pieces of {step}");
    }
    assert_eq!(whole.is_ok(), cut.is_ok(), "in pieces of {step}: {whole:?} and {cut:?}");
}

fn read(asked: Asked, pieces: &[&[u8]]) -> Result<Seen, String> {
    let (mut reader, mut buffer, mut pieces) = (HeadReader::default(), BytesMut::new(), pieces.iter());
    let head = head(asked, &mut reader, &mut buffer, &mut pieces)?;
    let Head { status, headers, framing, persistent } = head;
    let mut seen = Seen { status, headers, persistent, body: Vec::new(), trailers: None, ending: Ending::Closed };
    body(framing, &mut buffer, &mut pieces, &mut seen)?;
    if let Ending::Told { behind } = &mut seen.ending {
        *behind = buffer.len() + pieces.map(|piece| piece.len()).sum::<usize>();
    }
    Ok(seen)
}

type Pieces<'a, 'b> = std::slice::Iter<'a, &'b [u8]>;

fn head(
    asked: Asked,
    reader: &mut HeadReader,
    buffer: &mut BytesMut,
    pieces: &mut Pieces<'_, '_>,
) -> Result<Head, String> {
    let mut interim = 0;
    loop {
        match reader.read(buffer, asked, HEAD_BYTES_MAX).map_err(|fault| format!("{fault:?}"))? {
            Some(Some(head)) => return Ok(head),
            Some(None) => {
                interim += 1;
                if interim > INTERIM_MAX {
                    return Err("too many interim responses".to_owned());
                }
            }
            None => buffer.extend_from_slice(pieces.next().ok_or("ended in the head")?),
        }
    }
}

fn body(framing: Framing, buffer: &mut BytesMut, pieces: &mut Pieces<'_, '_>, seen: &mut Seen) -> Result<(), String> {
    match framing {
        Framing::Length { mut left } => {
            while left > 0 {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                seen.body.extend_from_slice(&buffer.split_to(taken));
                left -= taken as u64;
                if left > 0 {
                    buffer.extend_from_slice(pieces.next().ok_or("ended before its length")?);
                }
            }
            seen.ending = Ending::Told { behind: 0 };
        }
        Framing::Chunked(mut chunked) => loop {
            match chunked.decode(buffer)? {
                Decoded::Data(data) => append(&mut seen.body, &data),
                Decoded::NeedsMore => buffer.extend_from_slice(pieces.next().ok_or("ended in a chunk")?),
                Decoded::End(trailers) => {
                    seen.trailers = trailers;
                    seen.ending = Ending::Told { behind: 0 };
                    break;
                }
            }
        },
        Framing::UntilClose => {
            append(&mut seen.body, &buffer.split());
            pieces.for_each(|piece| append(&mut seen.body, piece));
        }
    }
    Ok(())
}

fn append(body: &mut Vec<u8>, data: &[u8]) {
    body.extend_from_slice(data);
}
