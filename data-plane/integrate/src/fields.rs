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
    /// Passed as one field: HTTP/2 splits it, and HTTP/1.1 has it once (RFC 9113, section 8.2.3).
    Cookie,
}

/// Classifies a name that is in lower case, as `HeaderName` is.
pub(crate) fn of_request(name: &str) -> RequestField {
    use RequestField::{Accept, Connection, Cookie, Dropped, ForwardedFor, Passed, TraceId, UserAgent};
    match name.len() {
        2 if name == "te" => Dropped,
        4 if name == "host" => Dropped,
        6 if name == "accept" => Accept,
        6 if name == "cookie" => Cookie,
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

/// Whether a field, in lower case, belongs to the connection or to the framing, so that a mapping cannot set it, neither
/// towards a backend nor towards a client.
pub fn frames_or_connects(name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_field_has_its_class_and_its_reason() {
        use RequestField::{Accept, Connection, Cookie, Dropped, ForwardedFor, Passed, TraceId, UserAgent};
        let cases = [
            ("connection", Connection, "RFC 9110, 7.6.1: about this connection, and names others that are"),
            ("keep-alive", Dropped, "RFC 9110, 7.6.1: about this connection, though not named in Connection"),
            ("proxy-connection", Dropped, "RFC 9110, 7.6.1"),
            ("te", Dropped, "RFC 9110, 7.6.1 and 10.1.4: codings that this client can take"),
            ("transfer-encoding", Dropped, "RFC 9110, 7.6.1; RFC 9112, 6.1: a property of the message on one hop"),
            ("upgrade", Dropped, "RFC 9110, 7.6.1 and 7.8: an invitation on this connection"),
            ("http2-settings", Dropped, "RFC 7540, 3.2.1: belongs to an upgrade"),
            ("trailer", Dropped, "RFC 9110, 6.6.2: trailers are not passed on"),
            ("content-length", Dropped, "RFC 9112, 6.2: the gateway frames the body anew"),
            ("expect", Dropped, "RFC 9110, 10.1.1: the gateway has answered 100 (Continue) itself"),
            ("host", Dropped, "RFC 9110, 7.2: the backend's own is sent"),
            ("max-forwards", Dropped, "RFC 9110, 7.6.2: for TRACE and OPTIONS along a chain; AWS drops it"),
            ("proxy-authorization", Dropped, "RFC 9110, 11.7.2: for the next inbound proxy only"),
            ("proxy-authenticate", Dropped, "RFC 9110, 11.7.1: a response's field; AWS drops it"),
            ("www-authenticate", Dropped, "RFC 9110, 11.6.1: a response's field; AWS drops it"),
            ("server", Dropped, "RFC 9110, 10.2.4: a response's field; AWS drops it"),
            ("content-md5", Dropped, "RFC 7231, appendix B: obsolete; AWS drops it"),
            ("x-amzn-apigateway-api-id", Dropped, "AWS: only the gateway says it"),
            ("x-forwarded-for", ForwardedFor, "AWS: the peer's address is appended"),
            ("x-forwarded-port", Dropped, "AWS: only the gateway says it"),
            ("x-forwarded-proto", Dropped, "AWS: only the gateway says it"),
            ("accept", Accept, "AWS: application/json without it"),
            ("user-agent", UserAgent, "AWS: AmazonAPIGateway_ID without it"),
            ("x-amzn-trace-id", TraceId, "AWS: made without it"),
            ("authorization", Passed, "RFC 9110, 11.6.2: for the origin; AWS drops it only of signed requests"),
            ("via", Passed, "RFC 9110, 7.6.3: the chain so far"),
            ("accept-encoding", Passed, "RFC 9110, 12.5.3: of the content, which is not touched"),
            ("content-encoding", Passed, "RFC 9110, 8.4: of the content, which is not touched"),
            ("content-type", Passed, "RFC 9110, 8.3"),
            ("cookie", Cookie, "RFC 9113, 8.2.3: one field towards HTTP/1.1"),
            ("cache-control", Passed, "RFC 9111, 5.2: passed through by every cache and gateway"),
            ("x-api-key", Passed, "AWS"),
            ("date", Passed, "RFC 9110, 6.6.1: AWS remaps it in responses only"),
        ];
        for (name, class, reason) in cases {
            assert_eq!(of_request(HeaderName::from_static(name).as_str()), class, "{name}: {reason}");
        }
    }

    #[test]
    fn each_response_field_has_its_class_and_its_reason() {
        use ResponseField::{Connection, ContentLength, Date, Dropped, Passed, Server, TransferEncoding};
        let cases = [
            ("Connection", Connection, "RFC 9110, 7.6.1; AWS shows it remapped"),
            ("Keep-Alive", Dropped, "RFC 9110, 7.6.1"),
            ("Proxy-Connection", Dropped, "RFC 9110, 7.6.1"),
            ("Upgrade", Dropped, "RFC 9110, 7.8: an invitation on the other connection"),
            ("TRANSFER-ENCODING", TransferEncoding, "RFC 9112, 6.1: decoded here"),
            ("content-length", ContentLength, "RFC 9112, 6.2; AWS shows it remapped"),
            ("Date", Date, "AWS shows it remapped"),
            ("Server", Server, "AWS shows it remapped"),
            ("Via", Dropped, "AWS drops it of HTTP_PROXY"),
            ("Trailer", Passed, "RFC 9110, 6.6.2: response trailers are passed on"),
            ("WWW-Authenticate", Passed, "RFC 9110, 11.6.1: AWS remaps it of integrations that are not proxies"),
            ("Content-Encoding", Passed, "RFC 9110, 8.4: the bytes are passed on encoded"),
            ("Set-Cookie", Passed, "RFC 6265, 4.1"),
            ("ETag", Passed, "RFC 9110, 8.8.3"),
        ];
        for (name, class, reason) in cases {
            assert_eq!(of_response(name.as_bytes()), class, "{name}: {reason}");
        }
    }

    #[test]
    fn a_length_is_digits_only() {
        let cases: [(&str, Option<u64>); 9] = [
            ("0", Some(0)),
            ("0042", Some(42)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("0x10", None),
        ];
        for (digits, expected) in cases {
            assert_eq!(decimal(digits.as_bytes()), expected, "{digits:?}");
        }
    }
}
