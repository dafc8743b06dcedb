//! A request as it arrived, once it is known to be one that a gateway takes.
//!
//! Promise: who has a `Received` has a request with one valid host, a target with a path, a head within AWS's limits, and
//! a body that ends with an error where it passes AWS's limit. Absent: anything of an API.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request};
use sluice_integrate::RequestBody;

use crate::fault::{Fault, FaultKind};
use crate::gateway::Connection;
use crate::values::RequestView;

/// Bytes of all header values together. AWS, "Quotas for configuring and running a REST API": 10,240. The request line is
/// not of them, as it is for AWS's HTTP APIs; it has a bound of its own.
pub const HEADER_VALUE_BYTES_MAX: usize = 10_240;
/// Bytes of path and query. AWS, the same table: the URL of a regional API has at most 10,240 characters.
pub const TARGET_BYTES_MAX: usize = 10_240;
/// Bytes of a request's body. AWS: 10 MB.
pub const BODY_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// AWS honours it whatever the request's own method.
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// A request that may begin its journey.
#[derive(Debug)]
pub(crate) struct Received<'v> {
    /// Borrowed of whoever answers: phases pass their proofs on by value, and the head is most of a request's size.
    pub(crate) parts: &'v request::Parts,
    pub(crate) body: RequestBody,
    pub(crate) connection: &'v Connection,
    /// What is served; `None` before there is any configuration.
    pub(crate) view: Option<&'v crate::view::View>,
}

impl<'v> Received<'v> {
    /// Checks what does not depend on any API.
    pub(crate) fn read(
        parts: &'v mut request::Parts,
        body: Result<RequestBody, sluice_integrate::Fault>,
        connection: &'v Connection,
        view: Option<&'v crate::view::View>,
    ) -> Result<Self, Fault> {
        let malformed = |detail: &'static str| Fault::new(FaultKind::MalformedRequest, detail);
        if header_value_bytes(&parts.headers) > HEADER_VALUE_BYTES_MAX {
            return Err(Fault::new(FaultKind::HeadersTooLarge, "the header values are larger than 10,240 bytes"));
        }
        if target_bytes(&parts.uri) > TARGET_BYTES_MAX {
            return Err(Fault::new(FaultKind::TargetTooLong, "path and query are longer than 10,240 bytes"));
        }
        if parts.method == Method::CONNECT || !parts.uri.path().starts_with('/') {
            return Err(malformed("the target has no path"));
        }
        check_host(parts).map_err(malformed)?;
        let body = body.map_err(|_| Fault::new(FaultKind::RequestTooLarge, "the announced body is too large"))?;
        if body.exact_len().is_none() && !is_chunked_alone(&parts.headers) {
            return Err(malformed("the transfer coding is not chunked alone"));
        }
        if let Some(method) = overriding_method(&parts.headers) {
            parts.method = method;
        }
        Ok(Self { parts, body, connection, view })
    }

    /// The host the client asked for, with its port; empty where HTTP/1.0 named none.
    pub(crate) fn host(&self) -> &str {
        host(self.parts)
    }

    pub(crate) fn as_view(&self, path_start: usize) -> RequestView<'_> {
        RequestView {
            method: &self.parts.method,
            uri: &self.parts.uri,
            headers: &self.parts.headers,
            version: self.parts.version,
            host: self.host(),
            path_start,
        }
    }
}

/// RFC 9112, section 3.2.2: the authority of an absolute target goes before the field.
fn host(parts: &request::Parts) -> &str {
    match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default(),
    }
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 has exactly one Host, and a valid one. RFC 9113, section 8.3.1: over HTTP/2
/// it names what `:authority` does.
fn check_host(parts: &request::Parts) -> Result<(), &'static str> {
    // RFC 9110, section 4.2.4: who reads it otherwise takes the user for the host.
    if parts.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the target names a user");
    }
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let Some(first) = fields.next() else {
        let named = parts.version != Version::HTTP_11 || parts.uri.authority().is_some();
        return if named { Ok(()) } else { Err("no host") };
    };
    if fields.next().is_some() {
        return Err("more than one host");
    }
    let differs = |authority: &Authority| !first.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    if parts.version == Version::HTTP_2 && parts.uri.authority().is_some_and(differs) {
        return Err("host and authority differ");
    }
    if is_host(first.as_bytes()) { Ok(()) } else { Err("the host is not valid") }
}

fn is_host(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let name = bytes.iter().position(|byte| !plain(byte)).unwrap_or(bytes.len());
    // The usual host needs no parser.
    match &bytes[name..] {
        [] => true,
        [b':', port @ ..] if name > 0 => port.iter().all(u8::is_ascii_digit),
        _ => Authority::try_from(bytes).is_ok_and(|authority| !authority.as_str().contains('@')),
    }
}

/// Whether the body is framed by what the HTTP engine undoes: it reads `gzip, chunked`, and chunked that was applied twice,
/// as if the outer coding were all (RFC 9112, section 6.1, wants both refused). HTTP/2 has no codings.
fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(chunked) && codings.next().is_none()
}

fn header_value_bytes(headers: &HeaderMap) -> usize {
    headers.values().map(HeaderValue::len).sum()
}

fn target_bytes(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The verb that the client really means; words that are no verb of an API are ignored.
fn overriding_method(headers: &HeaderMap) -> Option<Method> {
    let word = headers.get(&METHOD_OVERRIDE)?.to_str().ok()?.trim();
    let verb = sluice_compile::Verb::parse(&word.to_ascii_uppercase())?;
    Method::from_bytes(verb.as_str().as_bytes()).ok()
}
