//! Configuration as files: applied, compared, written back.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_e2e::{cli::Cli, dev::Dev, fixture, http::get};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_back_is_what_was_applied() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    write(&files, "one");
    assert_eq!(diff(&cli, &files), Some(1), "nothing of it is there yet");
    assert_eq!(cli.json(&["apply", "-f", path(&files), "--dry-run"])["revision"], Value::Null);
    assert_eq!(cli.json(&["api", "list"])["items"], serde_json::json!([]), "a dry run makes nothing");
    let applied = cli.json(&["apply", "-f", path(&files)]);
    assert_eq!(effects(&applied), [("RestApi", "created"), ("UsagePlan", "created"), ("ApiKey", "created")]);
    let api = applied["items"][0]["id"].as_str().unwrap().to_owned();
    unchanged(&cli, &files);
    answers(&dev, &cli, &api, "one").await;

    write(&files, "two");
    assert_eq!(diff(&cli, &files), Some(1));
    let applied = cli.json(&["apply", "-f", path(&files)]);
    assert_eq!(effects(&applied), [("RestApi", "changed"), ("UsagePlan", "unchanged"), ("ApiKey", "unchanged")]);
    unchanged(&cli, &files);
    answers(&dev, &cli, &api, "two").await;
    round_trip(&cli, folder.path());

    drop(cli.json(&["stage", "rollback", &api, "prod", "--yes"]));
    answers(&dev, &cli, &api, "one").await;
    round_trip(&cli, folder.path());
    answers(&dev, &cli, &api, "one").await;
    dev.stop();
}

/// An API whose answer holds `word`, a plan for it and a key of the plan.
fn write(files: &Path, word: &str) {
    let text = format!(
        "kind: RestApi\nname: hello\nspec:\n  description: says {word}\n  resources:\n    /hello:\n      methods:\n        GET:\n          \
         apiKeyRequired: true\n          methodIntegration:\n            type: MOCK\n            requestTemplates: {{application/json: '{{\"statusCode\": 200}}'}}\n            \
         integrationResponses:\n              '200': {{statusCode: '200', responseTemplates: {{application/json: '{word}'}}}}\n          \
         methodResponses: {{'200': {{statusCode: '200'}}}}\n  stages: {{prod: {{deploy: true, variables: {{colour: red}}}}}}\n"
    );
    std::fs::write(files.join("1-api.yaml"), text).unwrap();
    let text = "kind: UsagePlan\nname: gold\nspec: {apiStages: [{api: hello, stage: prod}], keys: [alice], throttle: {rateLimit: 1000, burstLimit: 1000}}\n---\n\
                kind: ApiKey\nname: alice\nspec: {valueFrom: {file: alice.key}}\n";
    std::fs::write(files.join("2-plan.yaml"), text).unwrap();
    std::fs::write(files.join("alice.key"), "a-secret-of-twenty-characters").unwrap();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn diff(cli: &Cli, files: &Path) -> Option<i32> {
    cli.run(&["diff", "-f", path(files)]).status.code()
}

fn effects(applied: &Value) -> Vec<(&str, &str)> {
    let items = applied["items"].as_array().unwrap().iter();
    items.map(|item| (item["kind"].as_str().unwrap(), item["effect"].as_str().unwrap())).collect()
}

fn unchanged(cli: &Cli, files: &Path) {
    let output = cli.run(&["diff", "-f", path(files)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let applied = cli.json(&["apply", "-f", path(files)]);
    assert!(effects(&applied).iter().all(|(_, effect)| *effect == "unchanged"), "{applied}");
    assert_eq!(applied["revision"], Value::Null, "what changes nothing is no revision");
}

/// Writes every kind back into a folder of its own, which then differs from nothing.
fn round_trip(cli: &Cli, folder: &Path) {
    let back: PathBuf = folder.join("back");
    drop(std::fs::remove_dir_all(&back));
    std::fs::create_dir(&back).unwrap();
    for kind in ["RestApi", "UsagePlan", "ApiKey"] {
        let text = cli.text(&["get", kind, "-o", "yaml"]);
        assert!(text.contains(&format!("kind: {kind}")), "{text}");
        assert!(!text.contains("a-secret-of-twenty-characters"), "secrets are not written back: {text}");
        std::fs::write(back.join(format!("{kind}.yaml")), text).unwrap();
    }
    unchanged(cli, &back);
}

async fn answers(dev: &Dev, cli: &Cli, api: &str, word: &str) {
    let status = cli.json(&["cluster", "status"]);
    let number = status["revision"]["number"].as_u64().unwrap();
    sluice_e2e::wait::eventually("the data node serves what was applied", || async {
        let nodes = cli.json(&["node", "list"]);
        let items = nodes["items"].as_array().cloned().unwrap_or_default();
        let data = items.iter().find(|node| node["role"] == "data").and_then(|node| node["appliedNumber"].as_u64());
        if data.is_some_and(|applied| applied >= number) { Ok(()) } else { Err(nodes) }
    })
    .await;
    let key = [("x-api-key", "a-secret-of-twenty-characters")];
    let answer = get(dev.gateway(0), &fixture::route(api, "prod", "/hello"), &key).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, word.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_no_longer_holds_is_pruned_after_consent() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    write(&files, "one");
    drop(cli.json(&["key", "create", "by hand"]));
    let owned = ["-f", path(&files), "--owner", "shop"];
    let with = |more: &[&'static str]| [&["apply"][..], &owned, more].concat();
    assert_eq!(effects(&cli.json(&with(&[]))).len(), 3);
    std::fs::remove_file(files.join("1-api.yaml")).unwrap();
    std::fs::write(files.join("2-plan.yaml"), "kind: ApiKey\nname: alice\nspec: {valueFrom: {file: alice.key}}\n")
        .unwrap();
    assert_eq!(cli.run(&[&["diff"][..], &owned].concat()).status.code(), Some(0), "without --prune nothing goes");
    assert_eq!(cli.run(&[&["diff"][..], &owned, &["--prune"]].concat()).status.code(), Some(1));
    let expected = [("ApiKey", "unchanged"), ("UsagePlan", "deleted"), ("RestApi", "deleted")];
    assert_eq!(effects(&cli.json(&with(&["--prune", "--dry-run"]))), expected);
    let asked = cli.refused(2, &with(&["--prune"]));
    assert!(asked["error"]["message"].as_str().unwrap().contains("delete UsagePlan gold, RestApi hello"), "{asked}");
    assert_eq!(cli.json(&["api", "list"])["items"].as_array().unwrap().len(), 1);
    let pruned = cli.json(&with(&["--prune", "--yes"]));
    assert_eq!(effects(&pruned), expected);
    assert!(pruned["revision"]["number"].is_u64(), "one revision: {pruned}");
    assert_eq!(cli.json(&["api", "list"])["items"], serde_json::json!([]));
    assert_eq!(cli.json(&["key", "list"])["items"].as_array().unwrap().len(), 2, "what others made stays");
    assert_eq!(effects(&cli.json(&with(&["--prune"]))), [("ApiKey", "unchanged")], "nothing to ask for");
    assert_eq!(cli.run(&["apply", "-f", path(&files), "--prune"]).status.code(), Some(2), "whose?");
    dev.stop();
}
