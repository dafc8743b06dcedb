//! Which header fields cross the gateway: the one table of names, for both directions.
//!
//! Promise: each name has one class; a field is classified by its bytes, without a hash and without an allocation.
//! Source of the classes: RFC 9110 and 9112 for what belongs to one connection, AWS's "Amazon API Gateway important
//! notes" for what HTTP_PROXY drops and remaps.

use http::header::HeaderName;

/// `x-amzn-Remapped-*` names of what AWS does not pass on under its own name.
pub(crate) const REMAPPED_CONNECTION: HeaderName = HeaderName::from_static("x-amzn-remapped-connection");
pub(crate) const REMAPPED_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-amzn-remapped-content-length");
pub(crate) const REMAPPED_DATE: HeaderName = HeaderName::from_static("x-amzn-remapped-date");
pub(crate) const REMAPPED_SERVER: HeaderName = HeaderName::from_static("x-amzn-remapped-server");

/// What happens to a field of the client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestField {
    /// Goes to the backend as it came.
    Passed,
    /// Ends here: it is about this connection, or AWS drops it.
    Dropped,
    /// Ends here and names other fields that do.
    Connection,
    /// The gateway appends to it.
    ForwardedFor,
    /// Passed; without it the gateway adds its own.
    Accept,
    /// Passed; without it the gateway adds its own.
    UserAgent,
    /// Passed; without it the gateway adds its own.
    TraceId,
}

/// Classifies a name that is in lower case, as `HeaderName` is.
pub(crate) fn of_request(name: &str) -> RequestField {
    use RequestField::{Accept, Connection, Dropped, ForwardedFor, Passed, TraceId, UserAgent};
    match name.len() {
        2 if name == "te" => Dropped,
        4 if name == "host" => Dropped,
        6 if name == "accept" => Accept,
        6 if name == "expect" || name == "server" => Dropped,
        7 if name == "trailer" || name == "upgrade" => Dropped,
        10 if name == "user-agent" => UserAgent,
        10 if name == "connection" => Connection,
        10 if name == "keep-alive" => Dropped,
        11 if name == "content-md5" => Dropped,
        12 if name == "max-forwards" => Dropped,
        14 if name == "content-length" || name == "http2-settings" => Dropped,
        15 if name == "x-forwarded-for" => ForwardedFor,
        15 if name == "x-amzn-trace-id" => TraceId,
        16 if name == "x-forwarded-port" || name == "proxy-connection" || name == "www-authenticate" => Dropped,
        17 if name == "x-forwarded-proto" || name == "transfer-encoding" => Dropped,
        18 if name == "proxy-authenticate" => Dropped,
        19 if name == "proxy-authorization" => Dropped,
        24 if name == "x-amzn-apigateway-api-id" => Dropped,
        _ => Passed,
    }
}

/// Whether a field, in lower case, belongs to the connection or to the framing, so that a mapping cannot set it.
pub(crate) fn frames_or_connects(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name)
}

/// What happens to a field of the backend's response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseField {
    /// Goes to the client as it came.
    Passed,
    /// Ends here.
    Dropped,
    /// Remapped, and read for its options.
    Connection,
    /// Remapped, and read for the framing.
    ContentLength,
    /// Read for the framing.
    TransferEncoding,
    /// Remapped.
    Date,
    /// Remapped.
    Server,
}

/// Classifies a name in any case.
pub(crate) fn of_response(name: &[u8]) -> ResponseField {
    use ResponseField::{Connection, ContentLength, Date, Dropped, Passed, Server, TransferEncoding};
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        3 if is("via") => Dropped,
        4 if is("date") => Date,
        6 if is("server") => Server,
        7 if is("upgrade") => Dropped,
        10 if is("connection") => Connection,
        10 if is("keep-alive") => Dropped,
        14 if is("content-length") => ContentLength,
        16 if is("proxy-connection") => Dropped,
        17 if is("transfer-encoding") => TransferEncoding,
        _ => Passed,
    }
}

/// A number in ASCII digits and nothing else; `None` also when it is too large.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
