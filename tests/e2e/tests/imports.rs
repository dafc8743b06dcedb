//! Imports and deployments are whole or do not happen.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use sluice_e2e::{cli::Cli, dev::Dev, fixture, http::get};
use tempfile::TempDir;

/// Routes of the larger files; all fit on one page, which is one read.
const ROUTES: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_deployments_are_whole_or_change_nothing() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let api = fixture::import(&cli, &fixture::mock(folder.path(), "first", &["/one"]), &[]);
    let before_deploy = number(&cli);
    let deployed = cli.json(&["api", "deploy", &api, "--stage", "prod"]);
    assert_eq!(number(&cli), before_deploy + 1, "a deployment is one revision");
    assert_eq!(deployed["revision"]["number"], before_deploy + 1);

    an_import_is_seen_whole_or_not_at_all(&cli, folder.path(), &api).await;
    merging_adds_and_overwriting_replaces(&cli, folder.path(), &api);
    a_file_with_an_error_changes_nothing(&cli, folder.path(), &api);
    assert_eq!(number(&cli), before_deploy + 1, "data nodes see no import before it is deployed");
    what_cannot_run_is_refused_and_what_ran_goes_on(&dev, folder.path(), &api).await;
    dev.stop();
}

fn number(cli: &Cli) -> u64 {
    cli.json(&["cluster", "status"])["revision"]["number"].as_u64().unwrap()
}

fn routes(cli: &Cli, api: &str) -> BTreeSet<String> {
    let listed = cli.json(&["route", "list", api, "--page-size", "500"]);
    assert!(listed["nextToken"].is_null(), "all routes stand on one page: {listed}");
    listed["items"].as_array().unwrap().iter().map(|route| route["path"].as_str().unwrap().to_owned()).collect()
}

fn many(folder: &Path, letter: char) -> std::path::PathBuf {
    let paths: Vec<String> = (0..ROUTES).map(|number| format!("/{letter}{number}")).collect();
    fixture::mock(folder, &format!("many-{letter}"), &paths.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Someone who lists the routes all the while sees one file or the other.
async fn an_import_is_seen_whole_or_not_at_all(cli: &Cli, folder: &Path, api: &str) {
    let files = [many(folder, 'a'), many(folder, 'b')];
    drop(fixture::import(cli, &files[0], &["--update", api]));
    let (writer, target) = (cli.clone(), api.to_owned());
    let writing = tokio::task::spawn_blocking(move || {
        for turn in 1..=4 {
            drop(fixture::import(&writer, &files[turn % 2], &["--update", &target, "--mode", "overwrite"]));
        }
    });
    while !writing.is_finished() {
        let seen = routes(cli, api);
        let letters: BTreeSet<_> = seen.iter().filter_map(|path| path.chars().nth(1)).collect();
        assert_eq!((letters.len(), seen.len()), (1, ROUTES), "a mixture of two imports: {letters:?}");
    }
    writing.await.unwrap();
}

fn merging_adds_and_overwriting_replaces(cli: &Cli, folder: &Path, api: &str) {
    let two = fixture::mock(folder, "two", &["/two", "/deep/{id}"]);
    drop(fixture::import(cli, &two, &["--update", api, "--mode", "overwrite"]));
    let expect = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(routes(cli, api), expect(&["/two", "/deep/{id}"]));
    let three = fixture::mock(folder, "three", &["/three", "/deep/{id}/er"]);
    drop(fixture::import(cli, &three, &["--update", api, "--mode", "merge"]));
    assert_eq!(routes(cli, api), expect(&["/two", "/deep/{id}", "/three", "/deep/{id}/er"]));
}

fn a_file_with_an_error_changes_nothing(cli: &Cli, folder: &Path, api: &str) {
    let (before, present) = (cli.text(&["get", "RestApi", api]), cli.json(&["api", "list"]));
    let file = folder.join("wrong.yaml");
    let text = "openapi: 3.0.1\ninfo: {title: wrong, version: '1'}\npaths:\n  /fine: {get: {x-amazon-apigateway-integration: {type: mock}}}\n  \
                /a: {get: {x-amazon-apigateway-integration: {type: nonsense}}}\n  /b/{id: {get: {x-amazon-apigateway-integration: {type: mock}}}\n";
    std::fs::write(&file, text).unwrap();
    for more in [&[][..], &["--update", api, "--mode", "merge"], &["--update", api]] {
        let arguments = [&["api", "import", file.to_str().unwrap()], more].concat();
        let refused = cli.refused(1, &arguments);
        let places: Vec<_> = diagnostics(&refused).iter().filter_map(|each| each["at"].as_str()).collect();
        let names = |part: &str| places.iter().any(|place| place.contains(part));
        assert!(names("/a") && names("/b/{id"), "all problems are told at once: {places:?}");
    }
    assert_eq!((cli.text(&["get", "RestApi", api]), cli.json(&["api", "list"])), (before, present));
}

async fn what_cannot_run_is_refused_and_what_ran_goes_on(dev: &Dev, folder: &Path, api: &str) {
    let cli = dev.cli();
    let stages = cli.json(&["stage", "list", api]);
    let number = number(&cli);
    let file = folder.join("lambda.yaml");
    let text = "openapi: 3.0.1\ninfo: {title: lambda, version: '1'}\npaths:\n  /lambda: {get: {x-amazon-apigateway-integration: \
                {type: aws_proxy, httpMethod: POST, uri: 'arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:f/invocations'}}}\n";
    std::fs::write(&file, text).unwrap();
    drop(fixture::import(&cli, &file, &["--update", api, "--mode", "merge"]));
    for stage in ["prod", "new"] {
        let refused = cli.refused(1, &["api", "deploy", api, "--stage", stage]);
        let unsupported =
            |each: &&Value| each["code"] == "not-supported-yet" && !each["at"].as_str().unwrap().is_empty();
        assert!(diagnostics(&refused).iter().any(|each| unsupported(&each)), "{refused}");
    }
    assert_eq!(cli.json(&["stage", "list", api]), stages, "a refused deployment makes and moves no stage");
    assert_eq!(cli.json(&["cluster", "status"])["revision"]["number"], number);
    let answer = get(dev.gateway(0), &fixture::route(api, "prod", "/one"), &[]).await.unwrap();
    assert_eq!(answer.status(), 200, "what was deployed before is served");
}

fn diagnostics(refused: &Value) -> &[Value] {
    refused["error"]["diagnostics"].as_array().map_or(&[], Vec::as_slice)
}
