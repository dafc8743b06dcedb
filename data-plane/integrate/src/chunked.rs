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
            Ok(httparse::Status::Complete((length, _))) if has_bare_line_feed(&buffer[..length]) => {
                return Err("trailer section is not valid");
            }
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

/// The parser would take one for the end of a line, which RFC 9112, section 2.2 allows of heads; where a body ends, doubt
/// is worth an error.
fn has_bare_line_feed(section: &[u8]) -> bool {
    section.starts_with(b"\n") || section.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, number of trailers, what is left; or what is wrong.
    type Read<T> = Result<(T, usize, T), &'static str>;

    /// Decodes `input` given in pieces of `step` bytes: the data, the trailers, and what is left.
    fn decode(input: &[u8], step: usize) -> Read<String> {
        let mut chunked = Chunked::Size;
        let mut buffer = BytesMut::new();
        let mut data = Vec::new();
        let mut pieces = input.chunks(step);
        loop {
            match chunked.decode(&mut buffer)? {
                Decoded::Data(piece) => data.extend_from_slice(&piece),
                Decoded::NeedsMore => buffer.extend_from_slice(pieces.next().ok_or("needs more")?),
                Decoded::End(trailers) => {
                    let rest = buffer.iter().chain(pieces.flatten()).copied().collect();
                    let trailers = trailers.map_or(0, |trailers| trailers.len());
                    return Ok((String::from_utf8(data).unwrap(), trailers, String::from_utf8(rest).unwrap()));
                }
            }
        }
    }

    #[test]
    fn chunks_are_read_as_the_grammar_says_however_they_are_cut() {
        let cases: [(&str, &str, Read<&str>); 23] = [
            ("RFC 9112, 7.1", "5\r\nhello\r\n0\r\n\r\n", Ok(("hello", 0, ""))),
            ("RFC 9112, 7.1: more than one", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok(("abc0123456789", 0, ""))),
            ("RFC 9112, 7.1: hexadecimal in either case", "a\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", 0, ""))),
            ("RFC 9112, 7.1: last-chunk is 1*\"0\"", "1\r\nx\r\n000\r\n\r\n", Ok(("x", 0, ""))),
            ("RFC 9112, 7.1: nothing", "0\r\n\r\n", Ok(("", 0, ""))),
            ("RFC 9112, 6.3: bytes behind are not of it", "0\r\n\r\nHTTP/1.1", Ok(("", 0, "HTTP/1.1"))),
            ("RFC 9112, 7.1.1: extensions are ignored", "1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n", Ok(("x", 0, ""))),
            ("RFC 9112, 7.1.1: with bad whitespace", "1 ; a\r\nx\r\n0\r\n\r\n", Ok(("x", 0, ""))),
            ("RFC 9112, 7.1.2: trailers", "1\r\nx\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n", Ok(("x", 2, ""))),
            (
                "RFC 9110, 6.5.1: no framing in trailers",
                "0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n",
                Ok(("", 0, "")),
            ),
            (
                "RFC 9110, 7.6.1: no connection fields in trailers",
                "0\r\nConnection: close\r\nKeep-Alive: 1\r\n\r\n",
                Ok(("", 0, "")),
            ),
            ("RFC 9112, 7.1: a size has a digit", "\r\n\r\n", Err("chunk size line is not valid")),
            ("RFC 9112, 7.1: a size has a digit", ";x\r\n\r\n", Err("chunk size line is not valid")),
            ("RFC 9112, 7.1: not hexadecimal", "g\r\n", Err("chunk size is not a hexadecimal number")),
            ("RFC 9112, 7.1: no sign", "-1\r\n", Err("chunk size is not a hexadecimal number")),
            ("RFC 9112, 7.1: no prefix", "0x1\r\nx\r\n0\r\n\r\n", Err("chunk size is not a hexadecimal number")),
            (
                "RFC 9112, 7.1: too large to hold",
                "11111111111111111\r\n",
                Err("chunk size is not a hexadecimal number"),
            ),
            (
                "RFC 9112, 2.2: a bare line feed does not end a size",
                "1\nx\r\n0\r\n\r\n",
                Err("chunk size is not a hexadecimal number"),
            ),
            (
                "RFC 9112, 7.1: data is as long as it says",
                "1\r\nxy\r\n0\r\n\r\n",
                Err("chunk data does not end where its size says"),
            ),
            ("RFC 9112, 7.1.2: a trailer is a field", "0\r\nno colon\r\n\r\n", Err("trailer section is not valid")),
            (
                "RFC 9112, 2.2: a bare line feed does not end a trailer",
                "0\r\nX: y\n\r\n",
                Err("trailer section is not valid"),
            ),
            ("RFC 9112, 8: incomplete", "5\r\nhel", Err("needs more")),
            ("RFC 9112, 8: incomplete", "5\r\nhello\r\n0\r\n", Err("needs more")),
        ];
        for (section, input, expected) in cases {
            for step in [1, 2, 3, 7, input.len()] {
                let decoded = decode(input.as_bytes(), step);
                let seen =
                    decoded.as_ref().map(|(data, trailers, rest)| (&**data, *trailers, &**rest)).map_err(|why| *why);
                assert_eq!(seen, expected, "{section}: {input:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn lines_without_an_end_are_refused_before_they_fill_memory() {
        let extension = format!("1;{}", "x".repeat(SIZE_LINE_BYTES_MAX));
        assert_eq!(decode(extension.as_bytes(), 100).unwrap_err(), "chunk size line is too long");
        let complete = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(SIZE_LINE_BYTES_MAX));
        assert_eq!(decode(complete.as_bytes(), complete.len()).unwrap_err(), "chunk size line is not valid");
        let trailer = format!("0\r\nX: {}", "x".repeat(TRAILER_BYTES_MAX));
        assert_eq!(decode(trailer.as_bytes(), 1_000).unwrap_err(), "trailer section is too long");
        let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(TRAILER_FIELDS_MAX + 1));
        assert_eq!(decode(many.as_bytes(), many.len()).unwrap_err(), "trailer section is not valid");
    }
}
