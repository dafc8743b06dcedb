//! Decodes the chunked transfer coding (RFC 9112, section 7.1) as its bytes come.
//!
//! Promise: data is handed on without a copy; a size line or a trailer section that is invalid or too long is an error.
//! Absent: chunk extensions, which a recipient that does not know them ignores (section 7.1.1).

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Longest chunk-size line with its extensions, in bytes.
const SIZE_LINE_BYTES_MAX: usize = 1_024;
/// Longest trailer section, in bytes.
const TRAILER_BYTES_MAX: usize = 8_192;
/// Most trailer fields.
const TRAILER_FIELDS_MAX: usize = 32;

/// Where the decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// Before a size line.
    Size,
    /// Inside data.
    Data { left: u64 },
    /// Before the line break that ends data.
    DataEnd,
    /// After the last chunk.
    Trailers,
    /// After the final line break.
    Ended,
}

/// What a step found.
#[derive(Debug)]
pub(crate) enum Decoded {
    Data(Bytes),
    /// The end, with the trailer fields that may be passed on.
    End(Option<HeaderMap>),
    NeedsMore,
}

impl Chunked {
    /// Takes what it can from the front of `buffer`.
    ///
    /// # Errors
    /// What was expected and is not there.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, &'static str> {
        loop {
            match *self {
                Chunked::Size => match httparse::parse_chunk_size(buffer) {
                    Ok(httparse::Status::Complete((line, size))) => {
                        // httparse takes an empty line or ";x" for zero; a size has a digit (section 7.1).
                        if !buffer[0].is_ascii_hexdigit() || line > SIZE_LINE_BYTES_MAX {
                            return Err("chunk size line is not valid");
                        }
                        buffer.advance(line);
                        *self = if size == 0 { Chunked::Trailers } else { Chunked::Data { left: size } };
                    }
                    Ok(httparse::Status::Partial) if buffer.len() > SIZE_LINE_BYTES_MAX => {
                        return Err("chunk size line is too long");
                    }
                    Ok(httparse::Status::Partial) => return Ok(Decoded::NeedsMore),
                    Err(httparse::InvalidChunkSize) => return Err("chunk size is not a hexadecimal number"),
                },
                Chunked::Data { left } => {
                    if buffer.is_empty() {
                        return Ok(Decoded::NeedsMore);
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - taken as u64;
                    *self = if left == 0 { Chunked::DataEnd } else { Chunked::Data { left } };
                    return Ok(Decoded::Data(buffer.split_to(taken).freeze()));
                }
                Chunked::DataEnd => match &buffer[..] {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        *self = Chunked::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::NeedsMore),
                    _ => return Err("chunk data does not end where its size says"),
                },
                Chunked::Trailers => return self.decode_trailers(buffer),
                Chunked::Ended => return Ok(Decoded::End(None)),
            }
        }
    }

    fn decode_trailers(&mut self, buffer: &mut BytesMut) -> Result<Decoded, &'static str> {
        if buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            *self = Chunked::Ended;
            return Ok(Decoded::End(None));
        }
        let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
        let (length, trailers) = match httparse::parse_headers(buffer, &mut fields) {
            Ok(httparse::Status::Complete((length, fields))) => (length, passed_on(fields)),
            Ok(httparse::Status::Partial) if buffer.len() > TRAILER_BYTES_MAX => {
                return Err("trailer section is too long");
            }
            Ok(httparse::Status::Partial) => return Ok(Decoded::NeedsMore),
            Err(_) => return Err("trailer section is not valid"),
        };
        buffer.advance(length);
        *self = Chunked::Ended;
        Ok(Decoded::End(trailers))
    }
}

/// RFC 9110, section 6.5.1: fields for framing, routing, authentication or content format do not belong in trailers;
/// 7.6.1: nor do fields of one connection.
fn passed_on(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    const REFUSED: [&str; 20] = [
        "transfer-encoding",
        "content-length",
        "content-encoding",
        "content-type",
        "content-range",
        "trailer",
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "set-cookie",
        "authorization",
        "www-authenticate",
        "proxy-authenticate",
        "cache-control",
        "location",
        "date",
        "via",
    ];
    let mut trailers = HeaderMap::new();
    for field in fields {
        if REFUSED.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
            continue;
        }
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            trailers.append(name, value);
        }
    }
    (!trailers.is_empty()).then_some(trailers)
}
