//! What AWS answers, as data: each case is a request to one small set of APIs and the response that is expected.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fixture::{Api, Board, Rows, mock, proxy, stage};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use sluice_integrate::{RequestBody, SystemRoots, UpstreamSettings, UpstreamTls, Upstreams};
use sluice_pipeline::limits::{Buckets, CoreLimits};
use sluice_pipeline::tally::CoreTally;
use sluice_pipeline::{Connection, Gateway, GatewaySettings, PathAddresses, Scheme, TrustedProxies};
use sluice_proto::model::{Integration, Stage};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `VERB /target`
    request: String,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    peer: Option<String>,
    #[serde(default)]
    send: BTreeMap<String, String>,
    status: u16,
    /// `null`: the response has no such header.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    body: String,
}

fn apis() -> Rows {
    let mut rows = Rows::default();
    let pets = Api::new("pets")
        .method("GET", "/", mock("200", "root"))
        .method("GET", "/pets", mock("200", "pets"))
        .method("ANY", "/any", mock("200", "any"))
        .method("GET", "/nothing-to-say", mock("204", "something"))
        .method("GET", "/refused", proxy("http://127.0.0.1:1/"))
        .method("GET", "/files/{rest+}", proxied_path("http://127.0.0.1:1/public/{rest}"))
        .keyed_method("GET", "/keyed", mock("200", "keyed"));
    let mut disabled = Api::new("disabled").method("GET", "/pets", mock("200", "pets"));
    disabled.rest_api.disable_execute_api_endpoint = Some(true);
    let broken = Api::new("broken").method("GET", "/pets", proxy("not a uri"));
    let own = r#"{"said":"$context.error.message","quoted":$context.error.messageString,"type":"$context.error.responseType","stage":"$context.stage","color":"$stageVariables.color"}"#;
    let headers = [
        ("x-static", "'yes'"),
        ("x-asked", "method.request.header.X-Ask"),
        ("x-path", "context.resourcePath"),
        ("x-absent", "method.request.header.X-None"),
    ];
    let custom = Api::new("custom")
        .keyed_method("GET", "/keyed", mock("200", "keyed"))
        .gateway_response("INVALID_API_KEY", Some("401"), &headers, own)
        .gateway_response("DEFAULT_4XX", Some("404"), &[("Access-Control-Allow-Origin", "'*'")], "");
    let framing = [
        ("content-length", "method.request.header.x-length"),
        ("transfer-encoding", "'chunked'"),
        ("connection", "'close'"),
        ("x-length", "method.request.header.x-length"),
    ];
    let framed = Api::new("framed").method("GET", "/", mock("200", "root")).gateway_response(
        "DEFAULT_4XX",
        None,
        &framing,
        r#"{"said":"own"}"#,
    );
    let colored = Stage { variables: BTreeMap::from([("color".to_owned(), "blue".to_owned())]), ..stage() };
    rows.deploy(&pets, stage())
        .deploy(&disabled, stage())
        .deploy(&broken, stage())
        .deploy(&custom, colored)
        .deploy(&framed, stage());
    rows.plan("plan", &[("pets", "dev")], None).plan("other", &[("custom", "prod")], None);
    rows.key("k1", "enabled-key-000000000", true, &["other", "plan"]);
    rows.key("k2", "disabled-key-00000000", false, &["plan"]);
    rows.key("k3", "elsewhere-key-0000000", true, &["other"]);
    rows
}

fn proxied_path(uri: &str) -> Integration {
    let mapping = ("integration.request.path.rest".to_owned(), "method.request.path.rest".to_owned());
    Integration { request_parameters: [mapping].into(), ..proxy(uri) }
}

fn gateway(source: Arc<Board>) -> Gateway {
    let tls = UpstreamTls::load(SystemRoots::Ignored, &[]).unwrap();
    Gateway::new(sluice_pipeline::Parts {
        settings: GatewaySettings {
            path_addresses: PathAddresses::Loopback,
            trusted_proxies: TrustedProxies::parse(&["127.0.0.9"]).unwrap(),
        },
        source,
        limits: Box::new(CoreLimits::new(Arc::new(Buckets::new(Instant::now())))),
        upstreams: Upstreams::new(UpstreamSettings::default(), tls),
        tally: Arc::new(CoreTally::default()),
        seed: 1,
    })
}

async fn check(gateway: &Gateway, case: &Case) {
    let (verb, target) = case.request.split_once(' ').unwrap();
    let host = case.host.as_deref().unwrap_or("pets.execute-api.localhost");
    let mut request = http::Request::builder().method(verb).uri(target).header("host", host);
    for (name, value) in &case.send {
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let peer = case.peer.as_deref().unwrap_or("127.0.0.1").parse().unwrap();
    let connection = Connection::new(peer, 8080, Scheme::Http);
    let response = gateway.answer(&mut parts, Ok(RequestBody::empty()), &connection).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(String::from_utf8_lossy(&body), case.body, "{}: body", case.name);
    assert_eq!(head.status.as_u16(), case.status, "{}: status", case.name);
    for (name, expect) in &case.headers {
        let found = head.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(found, expect.as_deref(), "{}: {name}", case.name);
    }
    let id = head.headers["x-amzn-requestid"].to_str().unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{}: request id {id}", case.name);
    assert_eq!(head.headers["x-amz-apigw-id"].len(), 16, "{}: extended id", case.name);
}

#[test]
fn every_case_is_answered_as_aws_does() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("parity/faults.json")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let gateway = gateway(Board::of(&apis()));
        for case in &cases {
            check(&gateway, case).await;
        }
    });
}
