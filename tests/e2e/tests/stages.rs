//! Stages: set, throttled, pointed at earlier deployments, deleted; each seen at the data node.

use serde_json::Value;
use sluice_e2e::{cli::Cli, dev::Dev, fixture, http::get, wait::eventually};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_set_rolled_back_and_deleted_and_the_data_node_follows() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 1, folder.path());
    let cli = dev.cli();
    let api = fixture::import(&cli, &fixture::mock(folder.path(), "first", &["/one"]), &[]);
    let first = deploy(&cli, &api);
    drop(fixture::import(&cli, &fixture::mock(folder.path(), "second", &["/two"]), &["--update", &api]));
    let second = deploy(&cli, &api);
    answers(&dev, &api, "/one", 403).await;
    answers(&dev, &api, "/two", 200).await;

    drop(cli.json(&["stage", "rollback", &api, "prod", "--yes"]));
    answers(&dev, &api, "/one", 200).await;
    assert_eq!(cli.json(&["stage", "get", &api, "prod"])["deploymentId"], first);
    drop(cli.json(&["stage", "rollback", &api, "prod", "--to", &second, "--yes"]));
    answers(&dev, &api, "/two", 200).await;
    let listed = cli.json(&["deployment", "list", &api]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "a rollback makes no deployment: {listed}");
    let unknown = cli.refused(1, &["stage", "rollback", &api, "prod", "--to", "nosuch", "--yes"]);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("nosuch"), "{unknown}");
    let unasked = cli.run(&["stage", "rollback", &api, "prod", "--to", &first]);
    assert!(!unasked.status.success(), "what clients see changes only with a yes: {unasked:?}");

    let settings = ["*/*/throttling/rateLimit=0.001", "*/*/throttling/burstLimit=1", "description=slow"];
    drop(cli.json(&[&["stage", "set", &api, "prod"], &settings[..]].concat()));
    answers(&dev, &api, "/two", 429).await;
    let shown = cli.json(&["stage", "get", &api, "prod"]);
    assert_eq!(
        (&shown["description"], &shown["methodSettings"]["*/*"]["throttlingBurstLimit"]),
        (&"slow".into(), &1.into())
    );
    drop(cli.json(&[
        "stage",
        "set",
        &api,
        "prod",
        "*/*/throttling/rateLimit-",
        "*/*/throttling/burstLimit-",
        "description-",
    ]));
    answers(&dev, &api, "/two", 200).await;
    assert_eq!(cli.json(&["stage", "get", &api, "prod"])["description"], Value::Null);

    drop(cli.json(&["stage", "delete", &api, "prod", "--yes"]));
    answers(&dev, &api, "/two", 403).await;
    assert_eq!(
        cli.json(&["deployment", "get", &api, &second])["id"],
        second.as_str(),
        "a deployment outlives its stage"
    );
    dev.stop();
}

fn deploy(cli: &Cli, api: &str) -> String {
    let deployed = cli.json(&["api", "deploy", api, "--stage", "prod"]);
    deployed["deploymentId"].as_str().unwrap().to_owned()
}

/// A change that is not a deployment is not waited for by the command line.
async fn answers(dev: &Dev, api: &str, path: &str, status: u16) {
    let path = fixture::route(api, "prod", path);
    eventually("the data node answers", || async {
        let answer = get(dev.gateway(0), &path, &[]).await.map_err(|error| error.to_string())?;
        if answer.status() == status { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
