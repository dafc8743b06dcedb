//! Requests whose end is in doubt: none of them hides a second one from the gateway, or shows one to a backend.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use rig::recorder::Recorder;
use rig::{Backend, Client, blocking, field, frames, node, settings};

/// What of a request would be another one, if its end were elsewhere.
const SMUGGLED: &str = "GET /dev/smuggled HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n\r\n";

/// Values of `Transfer-Encoding` that do not end in one chunked (RFC 9112, section 6.1).
const CODINGS: [&str; 17] = [
    "xchunked",
    "chunk",
    "identity",
    "gzip",
    "chunked, identity",
    "chunked, gzip",
    "chunked;x=y",
    "\"chunked\"",
    "\u{b}chunked",
    "chunked,",
    "",
    "gzip, chunked",
    "chunked, chunked",
    ",chunked",
    "chunked\r\nTransfer-Encoding: identity",
    "x\r\nTransfer-Encoding: chunked",
    "chunked\r\nTransfer-Encoding: chunked",
];

/// Values of `Content-Length` that are no length (RFC 9112, section 6.3, item 5).
const LENGTHS: [&str; 13] = [
    "2\r\nContent-Length: 3",
    "2, 3",
    "+2",
    "-2",
    "0x2",
    "2_0",
    "",
    "2\u{b}",
    "\"2\"",
    "2;",
    "2 2",
    "18446744073709551616",
    "99999999999999999999",
];

/// Chunked bodies that are not (RFC 9112, section 7.1).
const CHUNKS: [&str; 17] = [
    "2\nhi\n0\n\n",
    "2\r\nhi\n0\r\n\r\n",
    "2;\nhi\r\n0\r\n\r\n",
    "2;a=\n\r\nhi\r\n0\r\n\r\n",
    " 2\r\nhi\r\n0\r\n\r\n",
    "0x2\r\nhi\r\n0\r\n\r\n",
    "+2\r\nhi\r\n0\r\n\r\n",
    "-1\r\nhi\r\n0\r\n\r\n",
    "2_0\r\nhi\r\n0\r\n\r\n",
    "ffffffffffffffff1\r\nhi\r\n0\r\n\r\n",
    "2\r\nhixx0\r\n\r\n",
    "\r\nhi\r\n0\r\n\r\n",
    "2\r\rhi\r\n0\r\n\r\n",
    "g\r\nhi\r\n0\r\n\r\n",
    "2\r\nhi\r\n0\n\n",
    "2\r\nhi\r\n0\r\nno colon\r\n\r\n",
    "2\r\nhi\r\n0\r\n folded: x\r\n\r\n",
];

/// Lines of a head that are no field (RFC 9112, sections 2.2 and 5), or one too many.
const FIELDS: [&str; 16] = [
    "Transfer-Encoding : chunked",
    "Content-Length : 2",
    " Transfer-Encoding: chunked",
    "X: y\r\n Z: a",
    "X: y\r\n\tZ: a",
    "X: a\rY: b",
    "X: a\r\r",
    "X Y: a",
    ": a",
    "no colon",
    "X: a\0b",
    "X: a\u{7f}b",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chunked\0",
    "Host: pets.execute-api.localhost",
];

/// Heads whose first line is no request line, or no request of a gateway (RFC 9112, section 3).
const HEADS: [&str; 9] = [
    "POST /dev/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /dev/x\r\n\r\n",
    "GET  /dev/x HTTP/1.1\r\n\r\n",
    "GET /dev/x y HTTP/1.1\r\n\r\n",
    "GET\t/dev/x\tHTTP/1.1\r\n\r\n",
    "GET /dev/x\0 HTTP/1.1\r\n\r\n",
    "GET /dev/x HTTP/1.2\r\n\r\n",
    "GET /dev/x http/1.1\r\n\r\n",
    "CONNECT pets.execute-api.localhost:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
];

/// A request with these fields and what follows its head.
fn post(fields: &str, behind: &str) -> String {
    format!("POST /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n{fields}\r\n\r\n{behind}")
}

/// A request with these bytes in the place of one field.
fn get(line: &str) -> String {
    format!("GET /dev/x HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n{line}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_framing_is_not_valid_is_refused_and_its_connection_ends() {
    let recorder = Recorder::start();
    let node = node(settings(), recorder.address).await;
    let address = node.http();
    blocking(move || {
        let coded = |coding| post(&format!("Transfer-Encoding: {coding}"), &format!("0\r\n\r\n{SMUGGLED}"));
        let long = |length| post(&format!("Content-Length: {length}"), &format!("hi{SMUGGLED}"));
        let in_chunks = |chunks| post("Transfer-Encoding: chunked", &format!("{chunks}{SMUGGLED}"));
        let requests = (CODINGS.into_iter().map(coded))
            .chain(LENGTHS.into_iter().map(long))
            .chain(CHUNKS.into_iter().map(in_chunks))
            .chain(FIELDS.into_iter().map(|line| get(line) + SMUGGLED))
            .chain(HEADS.into_iter().map(|head| head.to_owned() + SMUGGLED));
        for request in requests {
            let mut client = Client::connect(address);
            let answer = client.request(&request);
            assert_eq!(answer.status, 400, "{request:?}");
            assert_eq!(field(&answer.head, "connection").as_deref(), Some("close"), "{request:?}: RFC 9112, 9.6");
            assert!(client.is_closed(), "{request:?}");
            assert_eq!(recorder.take(), [], "{request:?}: a backend may see it begin, and no more");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_and_its_connection_ends() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
        for (what, request) in [
            ("announced", post("Content-Length: 20000000", "")),
            ("found", post("Transfer-Encoding: chunked", &chunk.repeat(11))),
        ] {
            let mut client = Client::connect(address);
            let answer = client.request(&request);
            assert_eq!((answer.status, &*answer.body), (413, r#"{"message":"Request Too Long"}"#), "{what}");
            assert_eq!(field(&answer.head, "connection").as_deref(), Some("close"), "{what}: RFC 9112, 9.6");
            assert!(client.is_closed(), "{what}");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_framed_twice_is_framed_anew_and_its_connection_ends() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let (length, chunked) = (format!("Content-Length: {}", 5 + SMUGGLED.len()), "Transfer-Encoding: chunked");
        for fields in [format!("{length}\r\n{chunked}"), format!("{chunked}\r\n{length}")] {
            let mut client = Client::connect(address);
            let answer = client.request(&post(&fields, &format!("0\r\n\r\n{SMUGGLED}")));
            assert_eq!(answer.status, 200, "RFC 9112, 6.3, 3: the coding overrides the length");
            let (seen, framing) = (&answer.body, field(&answer.body, "transfer-encoding"));
            assert_eq!((framing.as_deref(), field(seen, "content-length")), (Some("chunked"), None), "{seen}");
            assert!(seen.starts_with("POST /base/x ") && seen.ends_with("\n\n"), "{seen}");
            assert!(client.is_closed(), "RFC 9112, 6.1: and the connection ends");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_request_is_the_next_one_whatever_the_first_was() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let chunked = "Transfer-Encoding: chunked";
        for (what, first, ending) in [
            ("GET may have a body", get("Content-Length: 2") + "hi", "hi"),
            ("OPTIONS may have a body", get(chunked).replace("GET", "OPTIONS") + "2\r\nhi\r\n0\r\n\r\n", "hi"),
            ("lengths that agree are one", post("Content-Length: 2\r\nContent-Length: 2", "hi"), "hi"),
            ("names of codings have no case", post("Transfer-Encoding: ChUnKeD", "2\r\nhi\r\n0\r\n\r\n"), "hi"),
            ("extensions of chunks end here", post(chunked, "2;a=\"b\"\r\nhi\r\n0;c\r\n\r\n"), "\nhi"),
            ("trailers do not frame", post(chunked, "2\r\nhi\r\n0\r\nContent-Length: 9\r\n\r\n"), "\nhi"),
            ("Connection takes no framing away", post("Connection: content-length\r\nContent-Length: 2", "hi"), "hi"),
            ("no body", get("X: y"), "\n\n"),
            ("refused", post("Content-Length: 2", "hi").replace("/dev/", "/nowhere/"), r#"{"message":"Forbidden"}"#),
        ] {
            let mut client = Client::connect(address);
            let answer = client.request(&format!("{first}{SMUGGLED}"));
            assert!(answer.body.ends_with(ending), "{what}: {answer:?}");
            let second = client.answer(true);
            assert!(second.body.starts_with("GET /base/smuggled HTTP/1.1\n"), "{what}: {second:?}");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_http2_cannot_frame_or_name_what_http1_would_read() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let host = "pets.execute-api.localhost";
        for (what, fields) in [
            ("RFC 9113, 8.2.2: a coding", &[("transfer-encoding", "chunked")][..]),
            ("RFC 9113, 8.2.2: connection", &[("connection", "x")]),
            ("RFC 9113, 8.2.2: te", &[("te", "gzip")]),
            ("RFC 9113, 8.2.1: a line feed in a value", &[("x", "a\nb: c")]),
            ("RFC 9113, 8.2.1: the end of a line in a value", &[("x", "a\r\nb: c")]),
            ("RFC 9113, 8.2.1: NUL in a value", &[("x", "a\0")]),
            ("RFC 9113, 8.2.1: a colon in a name", &[("a:b", "c")]),
            ("RFC 9113, 8.2.1: a space in a name", &[("a b", "c")]),
            ("RFC 9113, 8.2.1: capitals in a name", &[("X", "a")]),
            ("RFC 9113, 8.1.1: a length that is not the body's", &[("content-length", "2")]),
            ("RFC 9110, 8.6: lengths that differ", &[("content-length", "0"), ("content-length", "1")]),
            ("RFC 9113, 8.3.1: a second path", &[(":path", "/dev/y")]),
            ("RFC 9113, 8.3.1: a second authority", &[(":authority", host)]),
        ] {
            let mut wire = frames::Wire::connect(address);
            wire.get_with(host, "/dev/x", fields);
            assert!(wire.is_refused(), "{what}");
        }
        for path in ["/dev/x HTTP/1.1\r\nX: y", "/dev/x y", "/dev/x\n", "", "dev/x", "http://evil/dev/x"] {
            let mut wire = frames::Wire::connect(address);
            wire.get(host, path);
            assert!(wire.is_refused(), "RFC 9113, 8.3.1: {path:?}");
        }
        for (what, fields) in [
            ("RFC 9113, 8.3.1: a host that is not the authority", &[("host", "evil.execute-api.localhost")][..]),
            ("RFC 9112, 3.2: two hosts", &[("host", host), ("host", host)]),
        ] {
            let mut wire = frames::Wire::connect(address);
            wire.get_with(host, "/dev/x", fields);
            assert_eq!(wire.answer().1, br#"{"message":"Bad Request"}"#, "{what}");
        }
        let mut wire = frames::Wire::connect(address);
        wire.get_with(host, "/dev/x", &[("host", "PETS.execute-api.localhost")]);
        assert!(wire.answer().1.starts_with(b"GET /base/x "), "the same host");
    })
    .await;
    node.shutdown().await;
}
