//! GitHub's own description: imported, deployed, and served by both data nodes as the backend would want it.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::Value;
use sluice_e2e::{
    backend::{Backend, Seen},
    dev::Dev,
    http::call,
};
use tempfile::TempDir;

const CALLS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_random_operations_reach_the_backend_as_they_were_sent() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(3, 2, folder.path());
    let backend = Backend::start().await;
    let cli = dev.cli();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/github.json.zst");
    let imported = cli.json(&["api", "import", file, "--backend", &backend.url()]);
    let api = imported["id"].as_str().unwrap().to_owned();
    drop(cli.text(&["api", "deploy", &api, "--stage", "prod"]));

    let routes = cli.json(&["route", "list", &api, "--all"]);
    let routes: Vec<&Value> =
        routes["items"].as_array().unwrap().iter().filter(|route| route["httpMethod"].is_string()).collect();
    assert!(routes.len() > 1_000, "GitHub has over a thousand operations, not {}", routes.len());
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut verbs = BTreeSet::new();
    for turn in 0..CALLS {
        let route = routes.choose(&mut random).unwrap();
        let verb = route["httpMethod"].as_str().unwrap();
        verbs.insert(verb.to_owned());
        let path = fill(route["path"].as_str().unwrap(), &mut random);
        let query = format!("state=open&q=a%20b%2Fc&turn={turn}");
        let body = if matches!(verb, "POST" | "PUT" | "PATCH") {
            Bytes::from(format!("{{\"turn\":{turn}}}"))
        } else {
            Bytes::new()
        };
        let target = format!("/_aws/execute-api/{api}/prod{path}?{query}");
        let headers = [("x-turn", turn.to_string())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = call(dev.gateway(turn % 2), verb, &target, &headers, body.clone()).await.unwrap();
        assert_eq!(answer.status(), 200, "{verb} {target}: {answer:?}");
        let seen: Seen = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), seen.query.as_deref()),
            (verb, path.as_str(), Some(query.as_str()))
        );
        assert_eq!(seen.body.as_bytes(), body, "{verb} {target}");
        let has = |name: &str, value: &str| seen.headers.iter().any(|(each, text)| each == name && text == value);
        assert!(has("x-turn", &turn.to_string()), "{:?}", seen.headers);
        assert!(has("host", &backend.address.to_string()), "{:?}", seen.headers);
        assert!(has("x-forwarded-for", "127.0.0.1"), "{:?}", seen.headers);
    }
    assert!(verbs.len() > 1, "fifty random operations have more than one verb: {verbs:?}");
    let patient = cli.with(&["--timeout", "60s"]);
    let written = folder.path().join("github.yaml");
    std::fs::write(&written, patient.text(&["get", "RestApi", &api, "-o", "yaml"])).unwrap();
    let diff = patient.run(&["diff", "-f", written.to_str().unwrap()]);
    assert_eq!(diff.status.code(), Some(0), "what was imported differs from itself: {diff:?}");
    dev.stop();
}

/// Puts a random text in the place of each variable.
fn fill(path: &str, random: &mut StdRng) -> String {
    path.split('/')
        .map(|segment| {
            if segment.contains('{') { format!("v{}%2Bx", random.random_range(0..10_000)) } else { segment.to_owned() }
        })
        .collect::<Vec<_>>()
        .join("/")
}
