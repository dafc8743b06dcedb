//! What heads look like on the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
        began: Instant::now(),
    };
    let text = String::from_utf8(head(proxy, call.method, &call).unwrap()).unwrap();
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
        "cookie: a=1; b=2",
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
    let client =
        [("connection", "close, X-Hop"), ("connection", "x-other"), ("x-hop", "1"), ("x-other", "2"), ("x-stay", "3")];
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
    assert_eq!(target(&proxy, "b=%20&a=1+2&a;c=|"), "/?b=%20&a=1+2&a;c=|", "as sent where nothing is mapped");
    proxy.uri.query = [literal("fixed=1")].into();
    assert_eq!(target(&proxy, ""), "/?fixed=1");
    assert_eq!(target(&proxy, "a=1"), "/?fixed=1&a=1");
    proxy.query =
        [mapped("page no", ValueSource::Query("page".into())), mapped("gone", ValueSource::Query("none".into()))]
            .into();
    let expected = "/?fixed=1&a=1&b&page%20no=2%20%26%20more%2F%C3%BC";
    assert_eq!(target(&proxy, "a=1&page%20no=9&b&page+no&gone=forged"), expected);
    assert_eq!(target(&proxy, "a=1;page%20no=9;b;page+no;g%6fne=forged;gone"), expected, "split as AWS does");
    proxy.query = [mapped("p", ValueSource::Path(0)), mapped("m", ValueSource::MultiQuery("m".into()))].into();
    assert_eq!(target(&proxy, "&"), "/?fixed=1&p=a%2Fb&m=1&m=2");
}

#[test]
fn a_value_that_is_a_dot_segment_stops_the_call() {
    #[derive(Debug)]
    struct Says(&'static str);
    impl Values for Says {
        fn each(&self, _: &ValueSource, take: &mut dyn FnMut(&str)) {
            take(self.0);
        }
    }
    let headers = HeaderMap::new();
    let mut proxy = proxy();
    let stopped = |proxy: &HttpProxy, value: &'static str| {
        let call = Call {
            method: &Method::GET,
            headers: &headers,
            query: "path=/../",
            body: RequestBody::empty(),
            values: &Says(value),
            api_id: "abc123",
            trace_id: None,
            forwarded: Forwarded { address: "192.0.2.7", port: "443", proto: "https" },
            began: Instant::now(),
        };
        head(proxy, call.method, &call).err().map(|fault| fault.kind)
    };
    for source in [ValueSource::Path(0), ValueSource::Query("q".into())] {
        proxy.uri.path = [literal("/public/"), Piece::Value(source)].into();
        for value in ["..", ".", "../admin"] {
            assert_eq!(stopped(&proxy, value), Some(FaultKind::DotSegment), "{value}");
        }
        assert_eq!(stopped(&proxy, "a..b"), None);
    }
    proxy.uri.path = [literal("/public/../x")].into();
    assert_eq!(stopped(&proxy, ".."), None, "what the API's author wrote is no request's value");
}
