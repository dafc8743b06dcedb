//! Writes the head of a request to a backend.
//!
//! Promise: one buffer, written once from front to back; fields of the client's connection are left out while copying;
//! what mappings set replaces what the client sent under that name, also when the mapped value is absent, so that a
//! client cannot stand in for a mapping; no value of a request leads out of the path that it is put into.
//! Absent: the fields that frame the body, which the upload writes.

use http::Method;
use http::header::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sluice_compile::{HttpProxy, Piece, QueryMapping, ValueSource};

use crate::call::{Call, Values};
use crate::dot_segment::has_dot_segment;
use crate::fault::{Fault, FaultKind};
use crate::fields::{self, RequestField};
use crate::query::{Parameter, decoded, parameters};

/// Room for a usual head, in bytes.
const HEAD_BYTES: usize = 1_024;
/// What stands for itself in a path or query (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The head of `call` for `proxy`, up to where the framing fields begin.
///
/// # Errors
/// `DotSegment` when the path with its values has one.
pub(crate) fn head(proxy: &HttpProxy, method: &Method, call: &Call<'_>) -> Result<Vec<u8>, Fault> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    write_path(&mut head, &proxy.uri.path, call.values)?;
    write_query(&mut head, proxy, call);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(&mut head, proxy, call);
    Ok(head)
}

/// A backend that resolves `..` would serve what another route, with its own key and limits, stands in front of.
fn write_path(head: &mut Vec<u8>, path: &[Piece], values: &dyn Values) -> Result<(), Fault> {
    let start = head.len();
    write_pieces(head, path, values);
    if path.len() > 1 && has_dot_segment(&head[start..]) {
        return Err(Fault::before_sending(
            FaultKind::DotSegment,
            "a value of the request is a dot segment of the path",
        ));
    }
    Ok(())
}

fn write_query(head: &mut Vec<u8>, proxy: &HttpProxy, call: &Call<'_>) {
    let mut query = QueryWriter { head, empty: true };
    if !proxy.uri.query.is_empty() {
        query.separate();
        write_pieces(query.head, &proxy.uri.query, call.values);
    }
    if proxy.query.is_empty() {
        if !call.query.is_empty() {
            query.separate();
            query.head.extend_from_slice(call.query.as_bytes());
        }
        return;
    }
    for sent in parameters(call.query).filter(|sent| !is_mapped(sent, &proxy.query)) {
        query.separate();
        query.head.extend_from_slice(sent.sent.as_bytes());
    }
    for mapping in &proxy.query {
        call.values.each(&mapping.value, &mut |value| {
            query.separate();
            query.head.extend(percent_encode(mapping.name.as_bytes(), ENCODED).flat_map(str::bytes));
            query.head.push(b'=');
            write_value(query.head, &mapping.value, value);
        });
    }
}

/// Puts `?` before the first part of a query and `&` before the others.
struct QueryWriter<'a> {
    head: &'a mut Vec<u8>,
    empty: bool,
}

impl QueryWriter<'_> {
    fn separate(&mut self) {
        self.head.push(if self.empty { b'?' } else { b'&' });
        self.empty = false;
    }
}

fn write_pieces(head: &mut Vec<u8>, pieces: &[Piece], values: &dyn Values) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => head.extend_from_slice(text.as_bytes()),
            Piece::Value(source) => values.each(source, &mut |value| write_value(head, source, value)),
        }
    }
}

/// A path variable goes on as it was sent; all else is encoded, so that a value cannot end the target.
fn write_value(head: &mut Vec<u8>, source: &ValueSource, value: &str) {
    if matches!(source, ValueSource::Path(_)) {
        head.extend_from_slice(value.as_bytes());
    } else {
        head.extend(percent_encode(value.as_bytes(), ENCODED).flat_map(str::bytes));
    }
}

fn is_mapped(sent: &Parameter<'_>, mappings: &[QueryMapping]) -> bool {
    let name = decoded(sent.name);
    mappings.iter().any(|mapping| *mapping.name == *name)
}

fn write_fields(head: &mut Vec<u8>, proxy: &HttpProxy, call: &Call<'_>) {
    let mut had = Had::default();
    let nominated = nominated(call.headers);
    if !is_set(proxy, &http::header::HOST) {
        write_field(head, "host", proxy.uri.origin.authority.as_bytes());
    }
    for (name, value) in call.headers {
        match fields::of_request(name.as_str()) {
            RequestField::Dropped | RequestField::Connection | RequestField::ForwardedFor => continue,
            RequestField::Accept => had.accept = true,
            RequestField::UserAgent => had.user_agent = true,
            RequestField::TraceId => had.trace_id = true,
            RequestField::Cookie => {
                had.cookie |= !nominated.contains(name);
                continue;
            }
            RequestField::Passed => {}
        }
        if nominated.contains(name) || is_set(proxy, name) {
            continue;
        }
        write_field(head, name.as_str(), value.as_bytes());
    }
    if had.cookie && !is_set(proxy, &http::header::COOKIE) {
        write_cookies(head, call.headers);
    }
    write_mapped(head, proxy, call.values);
    write_defaults(head, proxy, call, had);
    write_forwarded(head, proxy, call);
}

/// Which of the fields that need care afterwards the client sent.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    accept: bool,
    user_agent: bool,
    trace_id: bool,
    cookie: bool,
}

fn write_cookies(head: &mut Vec<u8>, headers: &HeaderMap) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in headers.get_all(http::header::COOKIE) {
        head.extend_from_slice(before);
        head.extend_from_slice(cookie.as_bytes());
        before = b"; ";
    }
    head.extend_from_slice(b"\r\n");
}

/// Values of a multi-valued source are one field each.
fn write_mapped(head: &mut Vec<u8>, proxy: &HttpProxy, values: &dyn Values) {
    for mapping in &proxy.headers {
        if fields::frames_or_connects(mapping.name.as_str()) {
            continue;
        }
        values.each(&mapping.value, &mut |value| {
            // A value that came decoded from a query may hold what would end the field (RFC 9110, section 5.5).
            if value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
                write_field(head, mapping.name.as_str(), value.as_bytes());
            }
        });
    }
}

/// What AWS adds when the client did not send it.
fn write_defaults(head: &mut Vec<u8>, proxy: &HttpProxy, call: &Call<'_>, had: Had) {
    if !had.accept && !is_set(proxy, &http::header::ACCEPT) {
        write_field(head, "accept", b"application/json");
    }
    if !had.user_agent && !is_set(proxy, &http::header::USER_AGENT) {
        head.extend_from_slice(b"user-agent: AmazonAPIGateway_");
        head.extend_from_slice(call.api_id.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if let Some(trace_id) = call.trace_id
        && !had.trace_id
        && !is_set(proxy, &TRACE_ID)
    {
        write_field(head, TRACE_ID.as_str(), trace_id.as_bytes());
    }
    write_field(head, "x-amzn-apigateway-api-id", call.api_id.as_bytes());
}

/// The name under which a request is traced.
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// The chain of addresses grows by the peer's; port and protocol are those of this hop.
fn write_forwarded(head: &mut Vec<u8>, proxy: &HttpProxy, call: &Call<'_>) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    if !is_set(proxy, &FOR) {
        head.extend_from_slice(b"x-forwarded-for: ");
        for earlier in call.headers.get_all(FOR).iter().filter(|earlier| !earlier.is_empty()) {
            head.extend_from_slice(earlier.as_bytes());
            head.extend_from_slice(b", ");
        }
        head.extend_from_slice(call.forwarded.address.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if !is_set(proxy, &HeaderName::from_static("x-forwarded-port")) {
        write_field(head, "x-forwarded-port", call.forwarded.port.as_bytes());
    }
    if !is_set(proxy, &HeaderName::from_static("x-forwarded-proto")) {
        write_field(head, "x-forwarded-proto", call.forwarded.proto.as_bytes());
    }
}

fn is_set(proxy: &HttpProxy, name: &HeaderName) -> bool {
    proxy.headers.iter().any(|mapping| mapping.name == *name)
}

/// Names in Connection, beside its own options (RFC 9110, section 7.6.1). Allocates only when there are some.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(http::header::CONNECTION).iter();
    let options =
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(|option| option.trim_ascii());
    options
        .filter(|option| !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect()
}

fn write_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
