//! Writes the head of a request to a backend.
//!
//! Promise: one buffer, written once from front to back; fields of the client's connection are left out while copying;
//! what mappings set replaces what the client sent under that name, also when the mapped value is absent, so that a
//! client cannot stand in for a mapping.
//! Absent: the fields that frame the body, which the upload writes.

use http::Method;
use http::header::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sluice_compile::{HttpProxy, Piece, QueryMapping, ValueSource};

use crate::call::{Call, Values};
use crate::fields::{self, RequestField};

/// Room for a usual head, in bytes.
const HEAD_BYTES: usize = 1_024;
/// What stands for itself in a path or query (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The head of `call` for `proxy`, up to where the framing fields begin.
pub(crate) fn head(proxy: &HttpProxy, method: &Method, call: &Call<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    write_target(&mut head, proxy, call);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(&mut head, proxy, call);
    head
}

fn write_target(head: &mut Vec<u8>, proxy: &HttpProxy, call: &Call<'_>) {
    write_pieces(head, &proxy.uri.path, call.values);
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
    for pair in call.query.split('&').filter(|pair| !pair.is_empty() && !is_mapped(pair, &proxy.query)) {
        query.separate();
        query.head.extend_from_slice(pair.as_bytes());
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

fn is_mapped(pair: &str, mappings: &[QueryMapping]) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let spaced;
    let name = if name.contains('+') {
        spaced = name.replace('+', " ");
        &spaced
    } else {
        name
    };
    mappings.iter().any(|mapping| percent_decode_str(name).eq(mapping.name.bytes()))
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
            RequestField::Passed => {}
        }
        if nominated.iter().any(|nominated| nominated == name) || is_set(proxy, name) {
            continue;
        }
        write_field(head, name.as_str(), value.as_bytes());
    }
    write_mapped(head, proxy, call.values);
    write_defaults(head, proxy, call, had);
    write_forwarded(head, proxy, call);
}

/// Which of the fields that have a default the client sent.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    accept: bool,
    user_agent: bool,
    trace_id: bool,
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
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::header::HeaderValue;
    use sluice_compile::{CompiledUri, HeaderMapping, Origin, Scheme, TlsPolicy};

    use super::*;
    use crate::call::Forwarded;
    use crate::request_body::RequestBody;

    #[derive(Debug)]
    struct Known;

    impl Values for Known {
        fn each(&self, source: &ValueSource, take: &mut dyn FnMut(&str)) {
            match source {
                ValueSource::Static(text) => take(text),
                ValueSource::Path(0) => take("a%2Fb"),
                ValueSource::Path(_) => take("x/y/%20z"),
                ValueSource::Query(name) if &**name == "evil" => take("a\r\nInjected: yes"),
                ValueSource::Query(name) if &**name == "page" => take("2 & more/\u{fc}"),
                ValueSource::MultiQuery(_) => ["1", "2"].into_iter().for_each(take),
                _ => {}
            }
        }
    }

    fn proxy() -> HttpProxy {
        let origin = Origin {
            scheme: Scheme::Http,
            host: "backend".into(),
            port: 8080,
            authority: HeaderValue::from_static("backend:8080"),
        };
        HttpProxy {
            verb: None,
            uri: CompiledUri { origin: Arc::new(origin), path: [literal("/")].into(), query: [].into() },
            headers: [].into(),
            query: [].into(),
            timeout: Duration::from_secs(1),
            tls: TlsPolicy::Verify,
        }
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    fn set(name: &'static str, value: ValueSource) -> HeaderMapping {
        HeaderMapping { name: HeaderName::from_static(name), value }
    }

    fn mapped(name: &str, value: ValueSource) -> QueryMapping {
        QueryMapping { name: name.into(), value }
    }

    fn written(proxy: &HttpProxy, query: &str, client: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in client {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let call = Call {
            method: &Method::GET,
            headers: &headers,
            query,
            body: RequestBody::empty(),
            values: &Known,
            api_id: "abc123",
            trace_id: Some(&HeaderValue::from_static("Root=1-2-3")),
            forwarded: Forwarded { address: "192.0.2.7", port: "443", proto: "https" },
        };
        let text = String::from_utf8(head(proxy, call.method, &call)).unwrap();
        text.strip_suffix("\r\n").unwrap().split("\r\n").map(str::to_owned).collect()
    }

    fn target(proxy: &HttpProxy, query: &str) -> String {
        let line = written(proxy, query, &[]).remove(0);
        line.strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned()
    }

    #[test]
    fn a_bare_request_gets_what_aws_adds() {
        let expected = [
            "GET / HTTP/1.1",
            "host: backend:8080",
            "accept: application/json",
            "user-agent: AmazonAPIGateway_abc123",
            "x-amzn-trace-id: Root=1-2-3",
            "x-amzn-apigateway-api-id: abc123",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
        ];
        assert_eq!(written(&proxy(), "", &[]), expected);
    }

    #[test]
    fn what_the_client_sent_stands_before_defaults_and_chains_grow() {
        let client = [
            ("host", "api.example.com"),
            ("accept", "text/html"),
            ("user-agent", "curl/8"),
            ("x-amzn-trace-id", "Root=9"),
            ("x-amzn-apigateway-api-id", "forged"),
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "198.51.100.2"),
            ("x-forwarded-proto", "forged"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ];
        let mut seen = written(&proxy(), "", &client);
        seen.sort();
        let expected = [
            "GET / HTTP/1.1",
            "accept: text/html",
            "cookie: a=1",
            "cookie: b=2",
            "host: backend:8080",
            "user-agent: curl/8",
            "x-amzn-apigateway-api-id: abc123",
            "x-amzn-trace-id: Root=9",
            "x-forwarded-for: 203.0.113.1, 198.51.100.2, 192.0.2.7",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn fields_that_connection_names_end_here() {
        let section = "RFC 9110, 7.6.1";
        let client = [
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-stay", "3"),
        ];
        let seen = written(&proxy(), "", &client);
        assert!(seen.contains(&"x-stay: 3".to_owned()), "{section}: {seen:?}");
        let gone =
            |line: &String| line.starts_with("x-hop") || line.starts_with("x-other") || line.starts_with("connection");
        assert!(!seen.iter().any(gone), "{section}: {seen:?}");
    }

    #[test]
    fn a_mapping_replaces_what_the_client_sent_also_when_it_has_no_value() {
        let mut proxy = proxy();
        proxy.headers = [
            set("x-user", ValueSource::Header(HeaderName::from_static("x-absent"))),
            set("x-many", ValueSource::MultiQuery("m".into())),
            set("accept", ValueSource::Static("text/plain".into())),
            set("host", ValueSource::Static("other".into())),
            set("transfer-encoding", ValueSource::Static("chunked".into())),
            set("x-evil", ValueSource::Query("evil".into())),
        ]
        .into();
        let seen = written(&proxy, "", &[("x-user", "forged"), ("x-many", "forged"), ("accept", "text/html")]);
        for expected in ["x-many: 1", "x-many: 2", "accept: text/plain", "host: other"] {
            assert_eq!(seen.iter().filter(|line| **line == expected).count(), 1, "{expected} in {seen:?}");
        }
        let wrong = ["forged", "x-user", "text/html", "transfer-encoding", "Injected", "x-evil", "backend:8080"];
        for wrong in wrong {
            assert!(!seen.iter().any(|line| line.contains(wrong)), "{wrong} in {seen:?}");
        }
    }

    #[test]
    fn paths_keep_captured_values_as_sent_and_encode_others() {
        let mut proxy = proxy();
        proxy.uri.path = [
            literal("/v1/"),
            Piece::Value(ValueSource::Path(0)),
            literal("/"),
            Piece::Value(ValueSource::Path(1)),
            literal("/"),
            Piece::Value(ValueSource::Query("page".into())),
        ]
        .into();
        assert_eq!(target(&proxy, ""), "/v1/a%2Fb/x/y/%20z/2%20%26%20more%2F%C3%BC");
    }

    #[test]
    fn queries_pass_as_sent_around_what_is_mapped() {
        let mut proxy = proxy();
        assert_eq!(target(&proxy, "b=%20&a=1+2&a"), "/?b=%20&a=1+2&a");
        proxy.uri.query = [literal("fixed=1")].into();
        assert_eq!(target(&proxy, ""), "/?fixed=1");
        assert_eq!(target(&proxy, "a=1"), "/?fixed=1&a=1");
        proxy.query =
            [mapped("page no", ValueSource::Query("page".into())), mapped("gone", ValueSource::Query("none".into()))]
                .into();
        let expected = "/?fixed=1&a=1&b&page%20no=2%20%26%20more%2F%C3%BC";
        assert_eq!(target(&proxy, "a=1&page%20no=9&b&page+no&gone=forged"), expected);
        proxy.query = [mapped("p", ValueSource::Path(0)), mapped("m", ValueSource::MultiQuery("m".into()))].into();
        assert_eq!(target(&proxy, "&"), "/?fixed=1&p=a%2Fb&m=1&m=2");
    }
}
