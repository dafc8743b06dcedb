//! Who the client is, behind proxies that are trusted and those that are not; what of it a backend and an operator see.

use http::Request;
use http_body_util::Full;
use sluice_e2e::{
    backend::{Backend, Seen},
    cluster::Cluster,
    fixture,
    http::{get, send},
    node::DataNode,
    wait::eventually,
};

/// What proxies on the way have written; the right-most one is on this machine.
const CHAIN: &str = "198.51.100.7, 203.0.113.9, 127.0.0.2";

#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_trusted_proxies_is_told_to_the_backend_and_a_strangers_word_is_not_believed() {
    let cluster = Cluster::start(1, &[]).await;
    let backend = Backend::start().await;
    let cli = cluster.cli();
    let file = cluster.folder("seen.yaml");
    let text = format!(
        "openapi: 3.0.1\ninfo: {{title: seen, version: '1'}}\npaths:\n  /seen:\n    get:\n      x-amazon-apigateway-integration:\n        \
         type: http_proxy\n        httpMethod: GET\n        uri: {}/seen\n        \
         requestParameters: {{integration.request.header.x-source: context.identity.sourceIp}}\n",
        backend.url()
    );
    std::fs::write(&file, text).unwrap();
    let api = fixture::import(&cli, &file, &[]);
    drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
    let host = format!("{api}.execute-api.localhost");
    let node = |name: &str, trusted: &[&str]| {
        let flags = [&["--drain-delay", "0s"], trusted].concat();
        DataNode::with(&[], &cluster.folder(name), &cluster.url(0), &flags)
    };
    let trusting = node("trusting", &["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    let wary = node("wary", &[]);

    let (source, forwarded) = seen(&trusting, &host, Some(CHAIN)).await;
    assert_eq!(source, "203.0.113.9", "the right-most entry that no trusted proxy wrote is the client");
    assert_eq!(forwarded, format!("{CHAIN}, 127.0.0.1"), "the chain goes on");
    assert_eq!(seen(&trusting, &host, None).await.0, "127.0.0.1");
    let (by_path, chain) = (fixture::route(&api, "prod", "/seen"), [("x-forwarded-for", CHAIN)]);
    let refused = get(trusting.address, &by_path, &chain).await.unwrap();
    assert_eq!(refused.status(), 403, "addresses by path are for clients of this machine");
    let (source, forwarded) = seen(&wary, &host, Some(CHAIN)).await;
    assert_eq!(source, "127.0.0.1", "who is not trusted is the client");
    assert!(forwarded.ends_with("127.0.0.1"), "{forwarded}");

    let page = get(trusting.operations, "/metrics", &[]).await.unwrap();
    let page = String::from_utf8_lossy(page.body());
    for series in ["sluice_requests_total", "sluice_request_seconds_count", "sluice_integration_seconds_count"] {
        let of_stage = |line: &&str| line.starts_with(series) && line.contains(&format!("api_id=\"{api}\""));
        let line = page.lines().find(of_stage).unwrap_or_else(|| panic!("no {series} of the api in {page}"));
        assert!(line.contains("stage=\"prod\"") && line.ends_with(" 2"), "two requests were answered: {line}");
    }
}

/// Source address and `X-Forwarded-For` as the backend saw them.
async fn seen(node: &DataNode, host: &str, forwarded_for: Option<&str>) -> (String, String) {
    eventually("the node has its configuration", || async {
        let answer = get(node.operations, "/readyz", &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let request = Request::get("/prod/seen").header("host", host);
    let request = forwarded_for.into_iter().fold(request, |request, chain| request.header("x-forwarded-for", chain));
    let answer = send(node.address, request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let seen: Seen = serde_json::from_slice(answer.body()).unwrap();
    let header = |name: &str| seen.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.clone());
    (header("x-source").unwrap(), header("x-forwarded-for").unwrap())
}
