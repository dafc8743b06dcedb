//! What counts as a response, where its body ends, and whether its connection lives on.

use http::Method;
use sluice_integrate::{FaultKind, RequestBody};

use crate::harness::{Backend, call, get, on_a_core, proxy, upstreams, upstreams_with, whole};

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Closed,
}

/// What the backend does after its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Stays,
    Ends,
}

type Expected = Result<(u16, &'static str, Then), FaultKind>;

struct Case {
    section: &'static str,
    method: Method,
    response: &'static str,
    then: After,
    expected: Expected,
}

fn case(section: &'static str, response: &'static str, expected: Expected) -> Case {
    Case { section, method: Method::GET, response, then: After::Stays, expected }
}

fn ended(section: &'static str, response: &'static str, expected: Expected) -> Case {
    Case { then: After::Ends, ..case(section, response, expected) }
}

fn head(section: &'static str, response: &'static str, expected: Expected) -> Case {
    Case { method: Method::HEAD, ..case(section, response, expected) }
}

fn good() -> Vec<Case> {
    use Then::{Closed, Kept};
    vec![
        case("RFC 9112, 6.3, 6: a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok((200, "hi", Kept))),
        case(
            "RFC 9112, 6.3, 6: no length at all is none",
            "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
            Ok((200, "", Kept)),
        ),
        case(
            "RFC 9110, 8.6: 204 has no length, so what it announces may still come",
            "HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\n",
            Ok((204, "", Closed)),
        ),
        case(
            "RFC 9110, 8.6: a length of nothing hides nothing",
            "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n",
            Ok((204, "", Kept)),
        ),
        case(
            "RFC 9112, 6.1: nor has 204 a coding",
            "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
            Ok((204, "", Closed)),
        ),
        case(
            "RFC 9112, 4: a status line without a reason",
            "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
            Ok((299, "", Kept)),
        ),
        case("RFC 9112, 4: nor the space before it", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Ok((200, "", Kept))),
        case("RFC 9110, 15: an unknown status", "HTTP/1.1 799 x\r\nContent-Length: 0\r\n\r\n", Ok((799, "", Kept))),
        case(
            "RFC 9112, 2.2: bare line feeds end lines",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9112, 6.3, 5: equal lengths on two lines",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9112, 6.3, 5: equal lengths in a list",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9112, 7.1: chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9112, 7: names of codings have no case",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\n\r\n0\r\n\r\n",
            Ok((200, "", Kept)),
        ),
        case(
            "RFC 9112, 7.1: several chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n you\r\n0\r\n\r\n",
            Err(FaultKind::BadResponse),
        ),
        case(
            "RFC 9112, 7.1: several chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n",
            Ok((200, "hi you", Kept)),
        ),
        case(
            "RFC 9112, 6.3, 3: chunked overrides a length, and ends the connection",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Ok((200, "hi", Closed)),
        ),
        ended(
            "RFC 9112, 6.3, 8: until the end of the connection",
            "HTTP/1.1 200 OK\r\n\r\nhi you",
            Ok((200, "hi you", Closed)),
        ),
        ended("RFC 9112, 6.3, 8: HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhi", Ok((200, "hi", Closed))),
        ended("RFC 9112, 6.3, 8: nothing until the end", "HTTP/1.1 200 OK\r\n\r\n", Ok((200, "", Closed))),
        head(
            "RFC 9112, 6.3, 1: no body in answer to HEAD, whatever its fields",
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            Ok((200, "", Kept)),
        ),
        head(
            "RFC 9112, 6.3, 1: no body in answer to HEAD, also chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Ok((200, "", Kept)),
        ),
        head("RFC 9112, 6.3, 1: no body in answer to HEAD, nor an end", "HTTP/1.1 200 OK\r\n\r\n", Ok((200, "", Kept))),
        case("RFC 9112, 6.3, 1: 204 has no body", "HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "", Kept))),
        case(
            "RFC 9112, 6.3, 1: 304 has no body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
            Ok((304, "", Kept)),
        ),
        case(
            "RFC 9110, 15.2.1: 100 is not the answer",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9110, 15.2: interim responses may be many, with fields",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Ok((200, "", Kept)),
        ),
        case(
            "RFC 9110, 15.2: an unknown one is as 100, whatever framing it claims",
            "HTTP/1.1 199 x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Kept)),
        ),
        case(
            "RFC 9112, 9.3: close",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Closed)),
        ),
        case(
            "RFC 9112, 9.3: close among other options, in any case",
            "HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Closed)),
        ),
        case(
            "RFC 9112, 9.3: HTTP/1.0 closes",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Closed)),
        ),
        case(
            "RFC 9112, 9.3 and C.2.2: HTTP/1.0 with keep-alive does not",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            Ok((200, "hi", Kept)),
        ),
    ]
}

fn bad() -> Vec<Case> {
    use FaultKind::{BadResponse, Reset};
    vec![
        ended("RFC 9112, 8: no response", "", Err(Reset)),
        ended("RFC 9112, 8: half a head", "HTTP/1.1 200 OK\r\nContent-Le", Err(Reset)),
        ended("RFC 9112, 8: only an interim response", "HTTP/1.1 100 Continue\r\n\r\n", Err(Reset)),
        ended("RFC 9112, 8: less than the length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Err(Reset)),
        ended("RFC 9112, 8: nothing of the length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Err(Reset)),
        ended(
            "RFC 9112, 8: inside a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
            Err(Reset),
        ),
        ended(
            "RFC 9112, 8: before the last chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            Err(Reset),
        ),
        ended(
            "RFC 9112, 8: before the end of the trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            Err(Reset),
        ),
        case("RFC 9112, 2.1: not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", Err(BadResponse)),
        case("RFC 9112, 2.3: another major version", "HTTP/2.0 200 OK\r\n\r\n", Err(BadResponse)),
        case("RFC 9113, 3.4: HTTP/2 frames", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", Err(BadResponse)),
        case("RFC 9112, 4: a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", Err(BadResponse)),
        case("RFC 9110, 15: a status below 100", "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", Err(BadResponse)),
        case(
            "RFC 9110, 7.8: 101 without an invitation",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            Err(BadResponse),
        ),
        case("RFC 9112, 5.1: space before a colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Err(BadResponse)),
        case(
            "RFC 9112, 5.2: a folded line",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9110, 5.5: NUL in a value",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9110, 5.1: a name that is not a token",
            "HTTP/1.1 200 OK\r\nX(: a\r\nContent-Length: 0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.3, 5: lengths that differ",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.3, 5: lengths that differ in a list",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nhi",
            Err(BadResponse),
        ),
        case(
            "RFC 9110, 8.6: a length that is no number",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
            Err(BadResponse),
        ),
        case(
            "RFC 9110, 8.6: a length that is too large",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhi",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.3, 4: a coding beside chunked, which was not offered",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.3, 4: chunked is not the last coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.1: chunked twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 6.1: a coding in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Err(BadResponse),
        ),
        case(
            "RFC 9112, 7.1: a bad chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Err(BadResponse),
        ),
    ]
}

/// Runs one case, the response cut into pieces of `step` bytes.
async fn check(case: &Case, step: usize) {
    let backend = Backend::start().await;
    let upstreams = upstreams();
    let proxy = proxy(backend.port);
    let serve = async {
        let mut peer = backend.accept().await;
        peer.head().await;
        for piece in case.response.as_bytes().chunks(step) {
            peer.offer(piece).await;
            tokio::task::yield_now().await;
        }
        if case.then == After::Ends {
            peer.shut_down().await;
        }
        peer.closed().await;
    };
    let ask = async {
        let outcome = whole(call(&upstreams, &proxy, case.method.clone(), RequestBody::empty()).await).await;
        let kept = if upstreams.counters().idle.get() == 1 { Then::Kept } else { Then::Closed };
        let seen = outcome.map(|whole| (whole.status.as_u16(), String::from_utf8(whole.body.to_vec()).unwrap(), kept));
        let seen = seen.as_ref().map(|(status, body, kept)| (*status, &**body, *kept)).map_err(|kind| *kind);
        assert_eq!(seen, case.expected, "{}: {:?} in steps of {step}", case.section, case.response);
        if kept == Then::Closed {
            assert_eq!(upstreams.counters().open.get(), 0, "{}: the connection is closed", case.section);
        }
        drop(upstreams);
    };
    tokio::join!(serve, ask);
}

#[test]
fn responses_are_read_as_the_rfcs_say_however_they_are_cut() {
    on_a_core(async {
        for case in good().iter().chain(&bad()) {
            for step in [1, 5, case.response.len().max(1)] {
                check(case, step).await;
            }
        }
    });
}

#[test]
fn bytes_behind_a_response_end_its_connection() {
    on_a_core(async {
        let section = "RFC 9112, 9.3: what follows a response is not another's";
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n";
        let case = case(section, response, Ok((200, "hi", Then::Closed)));
        check(&case, response.len()).await;
    });
}

#[test]
fn fields_of_one_hop_end_here_and_aws_remaps_some() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let response = "HTTP/1.1 200 OK\r\nDate: today\r\nServer: nginx\r\nVia: 1.1 x\r\nConnection: keep-alive, X-Hop\r\n\
            Keep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: y\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\
            Set-Cookie: a\r\nSet-Cookie: b\r\nX-Empty:\r\nX-Latin: \u{e4}\r\n\r\nhi";
        let (answer, _) =
            tokio::join!(get(&upstreams, &proxy), async { backend.accept().await.answer(response).await });
        let mut seen: Vec<(String, Vec<u8>)> = whole(answer)
            .await
            .unwrap()
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        seen.sort();
        let expected = [
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("x-amzn-remapped-connection", "keep-alive, X-Hop"),
            ("x-amzn-remapped-content-length", "2"),
            ("x-amzn-remapped-date", "today"),
            ("x-amzn-remapped-server", "nginx"),
            ("x-empty", ""),
            ("x-latin", "\u{e4}"),
        ];
        let expected: Vec<(String, Vec<u8>)> =
            expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into();
        assert_eq!(seen, expected, "RFC 9110, 7.6.1");
    });
}

#[test]
fn an_answer_to_head_keeps_the_length_that_get_would_have() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let asked = call(&upstreams, &proxy, Method::HEAD, RequestBody::empty());
        let (answer, _) = tokio::join!(asked, async {
            backend.accept().await.answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await
        });
        assert_eq!(answer.unwrap().headers[http::header::CONTENT_LENGTH], "500", "RFC 9110, 8.6");
    });
}

#[test]
fn trailers_are_passed_on() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        for body in ["2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", "0\r\nX-Sum: 7\r\n\r\n"] {
            let response = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let (answer, _) =
                tokio::join!(get(&upstreams, &proxy), async { backend.accept().await.answer(&response).await });
            assert_eq!(whole(answer).await.unwrap().trailers["x-sum"], "7", "RFC 9112, 7.1.2");
        }
    });
}

#[test]
fn heads_and_interim_responses_are_bounded() {
    on_a_core(async {
        let settings = sluice_integrate::UpstreamSettings { response_head_bytes_max: 1_000, ..Default::default() };
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams_with(settings), proxy(backend.port));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X:y\r\n".repeat(150));
        let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(40);
        for response in [long, many, endless] {
            let (answer, _) =
                tokio::join!(get(&upstreams, &proxy), async { backend.accept().await.answer(&response).await });
            assert_eq!(answer.unwrap_err().kind, FaultKind::BadResponse, "{response}");
        }
        let exact =
            format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(900), "y".repeat(2_000));
        let (answer, _) = tokio::join!(get(&upstreams, &proxy), async { backend.accept().await.answer(&exact).await });
        assert_eq!(whole(answer).await.unwrap().body.len(), 2_000, "the bound is of the head alone");
    });
}

#[test]
fn long_bodies_stream_whole_in_every_framing() {
    on_a_core(async {
        let backend = Backend::start().await;
        let (upstreams, proxy) = (upstreams(), proxy(backend.port));
        let body: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
        for framing in ["Content-Length: 1500000", "Transfer-Encoding: chunked", "Connection: close"] {
            let serve = async {
                let mut peer = backend.accept().await;
                peer.head().await;
                peer.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n")).await;
                for piece in body.chunks(70_001) {
                    if framing.contains("chunked") {
                        peer.send(format!("{:x}\r\n", piece.len())).await;
                        peer.send(piece).await;
                        peer.send("\r\n").await;
                    } else {
                        peer.send(piece).await;
                    }
                }
                if framing.contains("chunked") {
                    peer.send("0\r\n\r\n").await;
                }
            };
            let (answer, ()) = tokio::join!(async { whole(get(&upstreams, &proxy).await).await }, serve);
            assert!(answer.unwrap().body == body, "{framing}");
        }
    });
}
