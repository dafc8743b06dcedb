//! Requests of HTTP/1.1 that two parsers may read differently, as a table: what they are answered, and what of them reaches
//! a backend that takes HTTP by the letter. `framing.rs` has those that are refused for one line or one chunk.

use std::time::Duration;

use crate::rig::recorder::Recorder;
use crate::rig::{Client, blocking, field, node, settings};

/// What of a request would be another one, if its end were elsewhere.
const SMUGGLED: &str = "GET /dev/smuggled HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nX: ";
/// An honest request behind it.
const NEXT: &str = "GET /dev/next HTTP/1.1\r\nHost: pets.execute-api.localhost\r\nConnection: close\r\n\r\n";

/// One connection of a client.
struct Case {
    name: &'static str,
    /// Of which RFC it is: section of 9112 where no other is named.
    section: &'static str,
    sent: String,
    /// The status of each answer; behind the last one the node closes.
    statuses: &'static [u16],
    /// Method and target of each request that reaches the backend.
    reached: &'static [&'static str],
}

/// A request whose fields are `fields`, followed by `behind`.
fn request(line: &str, fields: &str, behind: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: pets.execute-api.localhost\r\n{fields}\r\n\r\n{behind}")
}

fn case(
    (name, section): (&'static str, &'static str),
    sent: String,
    statuses: &'static [u16],
    reached: &'static [&'static str],
) -> Case {
    Case { name, section, sent, statuses, reached }
}

/// Bodies that one side would take for a request.
fn smuggling() -> Vec<Case> {
    let length = |body: &str| format!("Content-Length: {}", body.len());
    let ended = format!("{SMUGGLED}y\r\n\r\n");
    let chunk = format!("{:x}\r\n{ended}\r\n0\r\n\r\n", ended.len());
    let chunked = "Transfer-Encoding: chunked";
    let post = "POST /dev/x";
    vec![
        case(
            ("CL.TE", "6.1"),
            request(post, &format!("{}\r\n{chunked}", length("0\r\n\r\nG")), "0\r\n\r\n") + SMUGGLED + NEXT,
            &[200],
            &["POST /base/x"],
        ),
        case(
            ("TE.CL", "6.1"),
            request(post, &format!("{chunked}\r\nContent-Length: 4"), &chunk) + NEXT,
            &[200],
            &["POST /base/x"],
        ),
        case(
            ("0.CL", "6.3"),
            request("GET /dev/x", &length(&ended), &ended) + NEXT,
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("CL.0", "6.3"),
            request(post, &length(&ended), &ended) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("CL.0 of a method without a body", "RFC 9110, 9.3.5"),
            request("DELETE /dev/x", &length(&ended), &ended) + NEXT,
            &[200, 200],
            &["DELETE /base/x", "GET /base/next"],
        ),
        case(
            ("0.TE", "6.3"),
            request("GET /dev/x", chunked, &chunk) + NEXT,
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("a body behind Expect", "RFC 9110, 10.1.1"),
            request(post, &format!("Expect: 100-continue\r\n{}", length(&ended)), &ended) + NEXT,
            &[100, 200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("a body behind an Expect that is none", "RFC 9110, 10.1.1"),
            request(post, &format!("Expect: y 100-continue\r\n{}", length(&ended)), &ended) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("a length that Connection names", "7.6.1 of RFC 9110"),
            request(post, &format!("Connection: content-length\r\n{}", length(&ended)), &ended) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("a coding that Connection names", "7.6.1 of RFC 9110"),
            request(post, &format!("Connection: transfer-encoding\r\n{chunked}"), &chunk) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("an upgrade to h2c", "RFC 9113, 3.1"),
            request(
                "GET /dev/x",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
                "",
            ) + NEXT,
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("an upgrade to a websocket", "RFC 9110, 7.8"),
            request(
                "GET /dev/x",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
                "",
            ) + NEXT,
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("a name with an underscore for a hyphen", "RFC 9110, 5.1"),
            request(post, &format!("Content_Length: 0\r\n{}", length(&ended)), &ended) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
        case(
            ("the rest of a refused request", "11.2"),
            request(post, "Content-Length: 1\r\nContent-Length: 2", &ended) + NEXT,
            &[400],
            &[],
        ),
        case(
            ("a body that the gateway answers itself", "9.3"),
            request("POST /nowhere/x", &length(&ended), &ended) + NEXT,
            &[403, 200],
            &["GET /base/next"],
        ),
        case(
            ("a body for an answer of the gateway", "9.3"),
            request("GET /dev/mock", &length(&ended), &ended) + NEXT,
            &[200, 200],
            &["GET /base/next"],
        ),
    ]
}

/// Ends of lines, and what stands in a line.
fn lines() -> Vec<Case> {
    let get = |fields: &str| request("GET /dev/x", fields, "");
    vec![
        // A lone line feed may end a line; what goes on has whole ends.
        case(
            ("a bare line feed ends a field", "2.2"),
            get("X: a\nY: b") + NEXT,
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("a coding behind a bare line feed", "2.2"),
            request("POST /dev/x", "Content-Length: 3\r\nX: a\nTransfer-Encoding: chunked", "0\r\n\r\n")
                + SMUGGLED
                + NEXT,
            &[200],
            &["POST /base/x"],
        ),
        case(("a bare carriage return in a value", "2.2"), get("X: a\rTransfer-Encoding: chunked") + NEXT, &[400], &[]),
        case(
            ("a bare carriage return ends the request line", "2.2"),
            "GET /dev/x HTTP/1.1\rHost: pets.execute-api.localhost\r\n\r\n".to_owned() + NEXT,
            &[400],
            &[],
        ),
        case(("an obsolete fold of a coding", "5.2"), get("Transfer-Encoding:\r\n chunked") + NEXT, &[400], &[]),
        case(("a first line that is folded", "2.2"), " GET /dev/x HTTP/1.1\r\n\r\n".to_owned() + NEXT, &[400], &[]),
        case(("a space before the colon", "5.1"), get("Content-Length : 5") + NEXT, &[400], &[]),
        case(("NUL in a name", "5.1"), get("X\0: a") + NEXT, &[400], &[]),
        case(("a control in a name", "5.1"), get("X\u{1}Y: a") + NEXT, &[400], &[]),
        case(("a control in a value", "RFC 9110, 5.5"), get("X: a\u{1}b") + NEXT, &[400], &[]),
        case(("a letter beyond ASCII in a name", "5.1"), get("X\u{e9}: a") + NEXT, &[400], &[]),
        case(("a control in the target", "3.2"), request("GET /dev/x\u{1}y", "X: a", "") + NEXT, &[400], &[]),
        case(("empty lines before a request", "2.2"), "\r\n\r\n".to_owned() + NEXT, &[200], &["GET /base/next"]),
        case(
            ("the end of a line in a target, encoded", "RFC 3986, 2.1"),
            request("GET /dev/x%0d%0aX:%20y", "X: a", "") + NEXT,
            &[200, 200],
            &["GET /base/x%0d%0aX:%20y", "GET /base/next"],
        ),
        case(
            ("half of the preface of HTTP/2", "RFC 9113, 3.4"),
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned() + NEXT,
            &[400],
            &[],
        ),
    ]
}

/// Who is asked, said twice.
fn hosts() -> Vec<Case> {
    let to = |target: &str, hosts: &str| format!("GET {target} HTTP/1.1\r\n{hosts}\r\n\r\n{NEXT}");
    let (ours, theirs) = ("Host: pets.execute-api.localhost", "Host: evil.execute-api.localhost");
    let whole = "http://pets.execute-api.localhost/dev/x";
    vec![
        case(
            ("an absolute target goes before Host", "3.2.2"),
            to(whole, theirs),
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
        case(
            ("an absolute target of another", "3.2.2"),
            to("http://evil.execute-api.localhost/dev/x", ours),
            &[403, 200],
            &["GET /base/next"],
        ),
        case(
            ("an absolute target with a user", "RFC 9110, 4.2.4"),
            to("http://a@pets.execute-api.localhost/dev/x", ours),
            &[400],
            &[],
        ),
        case(("two hosts", "3.2"), to("/dev/x", &format!("{ours}\r\n{theirs}")), &[400], &[]),
        case(("the same host twice", "3.2"), to("/dev/x", &format!("{ours}\r\n{ours}")), &[400], &[]),
        case(
            ("two hosts, one by another spelling", "3.2"),
            to("/dev/x", &format!("{ours}\r\nhOST: evil")),
            &[400],
            &[],
        ),
        case(("no host", "3.2"), to("/dev/x", "X: y"), &[400], &[]),
        case(("two hosts in one field", "3.2"), to("/dev/x", &format!("{ours}, evil")), &[400], &[]),
        case(("a host with a path", "3.2"), to("/dev/x", &format!("{ours}/dev")), &[400], &[]),
        case(("a host with a user", "3.2"), to("/dev/x", "Host: a@pets.execute-api.localhost"), &[400], &[]),
        case(("a host with two ports", "3.2"), to("/dev/x", &format!("{ours}:80:81")), &[400], &[]),
        case(("a host with a space", "3.2"), to("/dev/x", "Host: pets.execute-api.localhost x"), &[400], &[]),
        case(
            ("a target of the whole server", "3.2.4"),
            format!("OPTIONS * HTTP/1.1\r\n{ours}\r\n\r\n{NEXT}"),
            &[400],
            &[],
        ),
        case(("a target of no form", "3.2"), to("dev/x", ours), &[400], &[]),
        case(
            ("an address of this gateway's own", "3.2.2"),
            to("/dev/x", "Host: localhost"),
            &[403, 200],
            &["GET /base/next"],
        ),
        case(
            ("a host that Connection names", "RFC 9110, 7.6.1"),
            to("/dev/x", &format!("{ours}\r\nConnection: host")),
            &[200, 200],
            &["GET /base/x", "GET /base/next"],
        ),
    ]
}

/// More than a bound lets through.
fn sizes() -> Vec<Case> {
    let get = |fields: &str| request("GET /dev/x", fields, "");
    let many = |count: usize| (0..count).map(|at| format!("X-{at}: y")).collect::<Vec<_>>().join("\r\n");
    let chunked = |behind: &str| request("POST /dev/x", "Transfer-Encoding: chunked", behind);
    let long = "a".repeat(9_000);
    vec![
        case(
            ("a target of 20 KiB", "3"),
            request(&format!("GET /dev/{}", "a".repeat(20_000)), "X: y", "") + NEXT,
            &[414, 200],
            &["GET /base/next"],
        ),
        case(
            ("a target larger than any buffer", "3"),
            request(&format!("GET /dev/{}", "a".repeat(100_000)), "X: y", "") + NEXT,
            &[431],
            &[],
        ),
        case(("a method without an end", "3"), "G".repeat(100_000) + NEXT, &[431], &[]),
        case(
            ("values of 11 KiB", "5"),
            get(&format!("X: {}", "a".repeat(11_000))) + NEXT,
            &[431, 200],
            &["GET /base/next"],
        ),
        case(("a field larger than any buffer", "5"), get(&format!("X: {}", "a".repeat(100_000))) + NEXT, &[431], &[]),
        case(("a name larger than any buffer", "5"), get(&format!("{}: y", "a".repeat(100_000))) + NEXT, &[431], &[]),
        case(("more fields than are counted", "5"), get(&many(120)) + NEXT, &[431], &[]),
        case(
            ("a chunk's extensions without an end", "7.1.1"),
            chunked(&format!("2;{long}{long}\r\nhi\r\n0\r\n\r\n")) + NEXT,
            &[400],
            &[],
        ),
        case(
            ("extensions of many chunks", "7.1.1"),
            chunked(&format!("1;{}\r\na\r\n", "e".repeat(800)).repeat(40)) + "0\r\n\r\n" + NEXT,
            &[400],
            &[],
        ),
        case(
            ("trailers without an end", "7.1.2"),
            chunked(&format!("2\r\nhi\r\n0\r\nX: {long}{long}\r\n\r\n")) + NEXT,
            &[400],
            &[],
        ),
        case(
            ("more trailers than are counted", "7.1.2"),
            chunked(&format!("2\r\nhi\r\n0\r\n{}\r\n\r\n", many(2_000))) + NEXT,
            &[400],
            &[],
        ),
        case(
            ("a chunk's size beyond 64 bits", "7.1"),
            chunked("10000000000000002\r\nhi\r\n0\r\n\r\n") + NEXT,
            &[400],
            &[],
        ),
        case(
            ("a chunk's size with leading zeros", "7.1"),
            chunked(&format!("{}2\r\nhi\r\n0\r\n\r\n", "0".repeat(100))) + NEXT,
            &[200, 200],
            &["POST /base/x", "GET /base/next"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_parsers_may_read_differently_is_one_thing_to_client_and_backend() {
    let recorder = Recorder::start();
    let node = node(settings(), recorder.address).await;
    let address = node.http();
    blocking(move || {
        let mut wrong = Vec::new();
        for case in [smuggling(), lines(), hosts(), sizes()].into_iter().flatten() {
            let mut client = Client::connect(address);
            client.send(&case.sent);
            let answers = client.answers();
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            let seen = recorder.take();
            let reached: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
            if statuses != case.statuses || reached != case.reached {
                wrong.push(format!("{} ({}): answered {statuses:?}, reached {reached:?}", case.name, case.section));
            }
            for seen in &seen {
                for name in ["upgrade", "http2-settings", "expect", "keep-alive", "trailer", "te"] {
                    assert_eq!(seen.field(name), None, "{}: {name} is of one connection", case.name);
                }
                assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"), "{}", case.name);
                assert_eq!(seen.field("host").map(str::to_owned), Some(recorder.address.to_string()), "{}", case.name);
            }
            if let Some(refused) = answers.last().filter(|answer| answer.status == 400) {
                assert_eq!(field(&refused.head, "connection").as_deref(), Some("close"), "{}: 9.6", case.name);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pipelined_behind_a_refused_request_is_never_a_request() {
    let recorder = Recorder::start();
    let node = node(settings(), recorder.address).await;
    let address = node.http();
    blocking(move || {
        let refused = request("POST /dev/x", "Content-Length: +5", "hello");
        for cut in [0, 1, refused.len() / 2, refused.len() - 1] {
            let mut client = Client::connect(address);
            // In two segments, so that what was read with the refused one is not all there is.
            client.send(&refused[..cut]);
            std::thread::sleep(Duration::from_millis(5));
            client.send(&(refused[cut..].to_owned() + &NEXT.replace("close", "keep-alive").repeat(50)));
            let statuses: Vec<u16> = client.answers().iter().map(|answer| answer.status).collect();
            assert_eq!((statuses, recorder.take()), (vec![400], vec![]), "cut at {cut}");
        }
    })
    .await;
    node.shutdown().await;
}
