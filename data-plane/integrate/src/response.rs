//! Reads a backend's response head, and copies the fields that the client may see.
//!
//! Promise: what RFC 9112 calls invalid is refused; the length of the body is decided in one place, in the order of
//! section 6.3; field values are slices of the head as it was read.
//! Absent: the client's own framing fields, which the HTTP engine writes.

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::chunked::Chunked;
use crate::fault::{Fault, FaultKind};
use crate::fields::{self, ResponseField};

/// Most fields of a response head.
const FIELDS_MAX: usize = 128;

/// How the end of a response body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length { left: u64 },
    Chunked(Chunked),
    UntilClose,
}

/// A final response without its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// The backend lets the connection be used again (RFC 9112, section 9.3).
    pub(crate) persistent: bool,
}

/// What the request was, as far as its response's framing needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Other,
}

/// Where a field is in the head: begin and end of name and value.
type Place = [u16; 4];

/// Reads heads; keeps its table of places between them.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    places: Vec<Place>,
}

impl HeadReader {
    /// Takes one whole head from the front of `buffer`; `None` when its end has not come yet.
    /// Interim responses (RFC 9110, section 15.2) are `Some(None)` and are gone from `buffer`.
    ///
    /// # Errors
    /// `BadResponse` with what is wrong.
    pub(crate) fn read(
        &mut self,
        buffer: &mut BytesMut,
        asked: Asked,
        bytes_max: usize,
    ) -> Result<Option<Option<Head>>, Fault> {
        let Some(line) = self.locate(buffer, bytes_max)? else {
            return Ok(None);
        };
        let status = StatusCode::from_u16(line.code).map_err(|_| bad("status code is not three digits from 100"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // RFC 9110, section 7.8: a server must not switch to what it was not asked for, and Upgrade is not sent.
            return Err(bad("switched protocols without being asked"));
        }
        if status.is_informational() {
            buffer.advance(line.length);
            return Ok(Some(None));
        }
        let head = buffer.split_to(line.length).freeze();
        self.copy(&head, status, line.minor_version, asked).map(|head| Some(Some(head)))
    }

    fn locate(&mut self, buffer: &[u8], bytes_max: usize) -> Result<Option<StatusLine>, Fault> {
        let window = &buffer[..buffer.len().min(bytes_max)];
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, window, &mut fields);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() >= bytes_max => {
                return Err(bad("response head is above the limit"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Fault::new(FaultKind::BadResponse, error.to_string())),
        };
        self.places.clear();
        let base = window.as_ptr() as usize;
        for field in response.headers.iter() {
            let name = field.name.as_ptr() as usize - base;
            // An empty value may be a constant of the parser that lies outside the window.
            let value = if field.value.is_empty() { 0 } else { field.value.as_ptr() as usize - base };
            let place = [name, name + field.name.len(), value, value + field.value.len()];
            self.places.push(place.map(|offset| u16::try_from(offset).expect("bytes_max is below 65,536")));
        }
        // httparse has set both when it is complete.
        Ok(Some(StatusLine {
            code: response.code.unwrap_or_default(),
            minor_version: response.version.unwrap_or_default(),
            length,
        }))
    }

    fn copy(&self, head: &Bytes, status: StatusCode, minor_version: u8, asked: Asked) -> Result<Head, Fault> {
        let mut headers = HeaderMap::with_capacity(self.places.len() + 2);
        let mut seen = Seen::default();
        for place in &self.places {
            let [name_from, name_to, value_from, value_to] = place.map(usize::from);
            let raw_name = &head[name_from..name_to];
            let value = HeaderValue::from_maybe_shared(head.slice(value_from..value_to))
                .map_err(|_| bad("field value has invalid bytes"))?;
            let name = match fields::of_response(raw_name) {
                ResponseField::Dropped => continue,
                ResponseField::TransferEncoding => {
                    seen.transfer_encoding(&value)?;
                    continue;
                }
                ResponseField::ContentLength => {
                    let length = seen.content_length(&value)?;
                    // RFC 9110, section 8.6: in an answer to HEAD it tells the length that GET would have.
                    if asked == Asked::Head {
                        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
                    }
                    fields::REMAPPED_CONTENT_LENGTH
                }
                ResponseField::Connection => {
                    seen.connection(&value);
                    fields::REMAPPED_CONNECTION
                }
                ResponseField::Date => fields::REMAPPED_DATE,
                ResponseField::Server => fields::REMAPPED_SERVER,
                ResponseField::Passed => {
                    HeaderName::from_bytes(raw_name).map_err(|_| bad("field name has invalid bytes"))?
                }
            };
            headers.append(name, value);
        }
        seen.drop_nominated(&mut headers);
        let framing = seen.framing(status, minor_version, asked)?;
        let persistent = seen.is_persistent(status, minor_version) && framing != Framing::UntilClose;
        Ok(Head { status, headers, framing, persistent })
    }
}

struct StatusLine {
    code: u16,
    minor_version: u8,
    length: usize,
}

/// What the fields say about the message and its connection.
#[derive(Debug, Default)]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// Values of Connection that name other fields.
    nominating: Vec<HeaderValue>,
}

impl Seen {
    /// Only `chunked`, once, is read: nothing else was offered in TE (RFC 9112, sections 6.1 and 7.4).
    fn transfer_encoding(&mut self, value: &HeaderValue) -> Result<(), Fault> {
        if self.chunked || !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(bad("transfer coding is not chunked alone"));
        }
        self.chunked = true;
        Ok(())
    }

    /// Equal lengths, on several lines or in one list, are one; others are an error (RFC 9112, section 6.3, item 5).
    fn content_length(&mut self, value: &HeaderValue) -> Result<u64, Fault> {
        for item in value.as_bytes().split(|byte| *byte == b',') {
            let length = fields::decimal(item.trim_ascii()).ok_or_else(|| bad("content length is not a number"))?;
            if self.length.is_some_and(|known| known != length) {
                return Err(bad("content lengths differ"));
            }
            self.length = Some(length);
        }
        self.length.ok_or_else(|| bad("content length is not a number"))
    }

    fn connection(&mut self, value: &HeaderValue) {
        let mut nominates = false;
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                nominates = true;
            }
        }
        if nominates {
            self.nominating.push(value.clone());
        }
    }

    /// RFC 9110, section 7.6.1: fields that Connection names are for this hop only.
    fn drop_nominated(&self, headers: &mut HeaderMap) {
        for value in &self.nominating {
            for option in value.as_bytes().split(|byte| *byte == b',') {
                if let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) {
                    headers.remove(name);
                }
            }
        }
    }

    /// RFC 9112, section 6.3, in its order.
    fn framing(&self, status: StatusCode, minor_version: u8, asked: Asked) -> Result<Framing, Fault> {
        if asked == Asked::Head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Framing::Length { left: 0 });
        }
        if self.chunked && minor_version == 0 {
            // Section 6.1: faulty framing, even with a length.
            return Err(bad("transfer coding in an HTTP/1.0 response"));
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => Framing::Chunked(Chunked::Size),
            (false, Some(left)) => Framing::Length { left },
            (false, None) => Framing::UntilClose,
        })
    }

    /// RFC 9112, section 9.3; and section 6.3, item 3: both framings at once end the connection after the message. So does
    /// a framing of 204, which must have none (RFC 9110, section 8.6): the body that it announces may still come.
    fn is_persistent(&self, status: StatusCode, minor_version: u8) -> bool {
        let framed_twice = self.chunked && self.length.is_some();
        let announced = self.chunked || self.length.is_some_and(|length| length > 0);
        let framed_wrongly = framed_twice || (status == StatusCode::NO_CONTENT && announced);
        !self.close && !framed_wrongly && (minor_version > 0 || self.keep_alive)
    }
}

fn bad(detail: &'static str) -> Fault {
    Fault::new(FaultKind::BadResponse, detail)
}
