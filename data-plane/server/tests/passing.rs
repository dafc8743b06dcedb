//! What goes through a node as it is, and what does not, seen on both of its sides.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod rig;

use fixture::{Api, Board, Rows, mock, proxy, stage};
use rig::script::{Then, hasty};
use rig::{Backend, Client, blocking, field, frames, get, node, settings};
use sluice_data::DataNode;
use sluice_proto::model::Integration;

const HOST: &str = "Host: pets.execute-api.localhost\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn names_of_headers_are_in_lower_case_on_both_sides() {
    let says = "HTTP/1.1 200 OK\r\nX-Request-ID: 7\r\nETag: \"a\"\r\nWWW-Authenticate: x\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::start();
    let (echoing, fixed) = (node(settings(), backend.address).await, node(settings(), hasty(says, Then::Keeps)).await);
    let (echo, answer) = (echoing.http(), fixed.http());
    blocking(move || {
        let request = format!("GET /dev/x HTTP/1.1\r\n{HOST}X-Request-ID: 7\r\nSOAPAction: go\r\n\r\n");
        let seen = Client::connect(echo).request(&request).body;
        assert!(seen.contains("\nx-request-id: 7\n") && seen.contains("\nsoapaction: go\n"), "RFC 9110, 5.1: {seen}");
        let head = Client::connect(answer).request(&get("/x")).head;
        for line in ["x-request-id: 7", "etag: \"a\"", "www-authenticate: x"] {
            assert!(head.contains(&format!("\n{line}\n")), "RFC 9110, 5.1: {line} in {head}");
        }
    })
    .await;
    echoing.shutdown().await;
    fixed.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn informational_answers_end_at_the_gateway_and_the_final_one_goes_on() {
    let says = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 199 Whatever\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let node = node(settings(), hasty(says, Then::Keeps)).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        for _ in 0..2 {
            let answer = client.request(&get("/x"));
            assert_eq!(
                (answer.status, &*answer.body, field(&answer.head, "link")),
                (200, "hi", None),
                "RFC 9110, 15.2"
            );
        }
        let mut wire = frames::Wire::connect(address);
        wire.get("pets.execute-api.localhost", "/dev/x");
        assert_eq!(wire.answer(), (1, b"hi".to_vec()), "one header block, and it is the final one's");
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_queries_reach_the_backend_as_they_were_sent() {
    let backend = Backend::start();
    let node = node(settings(), backend.address).await;
    let address = node.http();
    blocking(move || {
        let mut client = Client::connect(address);
        for (sent, seen) in [
            ("/a//b", "/base/a//b"),
            ("//a", "/base//a"),
            ("/a/b/", "/base/a/b"),
            ("/a//", "/base/a/"),
            ("/a%2Fb%20c", "/base/a%2Fb%20c"),
            ("/a?b=1&&c;d=%20+|", "/base/a?b=1&&c;d=%20+|"),
            ("/a?", "/base/a"),
        ] {
            let line = client.request(&get(sent)).body.lines().next().unwrap().to_owned();
            assert_eq!(line, format!("GET {seen} HTTP/1.1"), "{sent}");
        }
    })
    .await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_answer_in_the_integrations_time_is_504() {
    let head = "HTTP/1.1 200 OK\r\nX-Long: a";
    for (what, says, then) in [
        ("says nothing", "", Then::Keeps),
        ("says half a head", head, Then::Keeps),
        ("says only that it is at work", "HTTP/1.1 102 Processing\r\n\r\n", Then::Keeps),
        ("dribbles its head", "HTTP/1.1 200 OK and so on", Then::Dribbles),
    ] {
        let uri = format!("http://{}/", hasty(says, then));
        let hurried = Integration { timeout_in_millis: Some(50), ..proxy(&uri) };
        let api = Api::new("pets").method("GET", "/mock", mock("200", "mock")).method("ANY", "/slow", hurried);
        let node = DataNode::start_with(settings(), Board::of(Rows::default().deploy(&api, stage()))).await.unwrap();
        let address = node.http();
        blocking(move || {
            let mut client = Client::connect(address);
            let answer = client.request(&get("/slow"));
            let expected = (504, r#"{"message": "Endpoint request timed out"}"#);
            assert_eq!((answer.status, &*answer.body), expected, "it {what}");
            let error = field(&answer.head, "x-amzn-errortype");
            assert_eq!(error.as_deref(), Some("InternalServerErrorException"), "it {what}");
            assert_eq!(client.request(&get("/mock")).body, "mock", "it {what}; the client's connection lives on");
        })
        .await;
        node.shutdown().await;
    }
}
