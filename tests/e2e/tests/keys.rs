//! Keys and plans: refused without, accepted with, throttled beyond.

use sluice_e2e::{backend::Backend, dev::Dev, http::get, wait::eventually};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_plan_opens_a_route_on_every_node_and_its_plan_throttles() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(1, 2, folder.path());
    let backend = Backend::start().await;
    let cli = dev.cli();
    let file = folder.path().join("members.yaml");
    let text = "openapi: 3.0.1\ninfo: {title: members, version: '1'}\npaths:\n  /members:\n    get:\n      security: [{api_key: []}]\n      \
                responses: {'200': {description: ok}}\ncomponents:\n  securitySchemes:\n    api_key: {type: apiKey, name: x-api-key, in: header}\n";
    std::fs::write(&file, text).unwrap();
    let imported = cli.json(&["api", "import", file.to_str().unwrap(), "--backend", &backend.url()]);
    let api = imported["id"].as_str().unwrap();
    drop(cli.text(&["api", "deploy", api, "--stage", "prod"]));
    // One token an hour after the first two: what is refused here is refused for good.
    let plan = cli.json(&["plan", "create", "silver", "--rate", "1/h", "--burst", "2"]);
    let plan = plan["id"].as_str().unwrap();
    drop(cli.text(&["plan", "attach", plan, api, "prod"]));
    let key = cli.json(&["key", "create", "alice"]);
    let (id, value) = (key["id"].as_str().unwrap(), key["value"].as_str().unwrap());
    let path = format!("/_aws/execute-api/{api}/prod/members");

    for index in 0..2 {
        let none = get(dev.gateway(index), &path, &[]).await.unwrap();
        assert_eq!((none.status().as_u16(), none.body().as_ref()), (403, br#"{"message":"Forbidden"}"#.as_slice()));
        assert_eq!(none.headers()["x-amzn-errortype"], "ForbiddenException");
        let unplanned = get(dev.gateway(index), &path, &[("x-api-key", value)]).await.unwrap();
        assert_eq!(unplanned.status(), 403, "a key without a plan opens nothing");
    }
    drop(cli.text(&["plan", "add-key", plan, id]));
    // Once more changes nothing, and is no failure.
    drop(cli.text(&["plan", "add-key", plan, id]));
    for index in 0..2 {
        served(&dev, index, &path, value, 200).await;
        let second = get(dev.gateway(index), &path, &[("x-api-key", value)]).await.unwrap();
        assert_eq!(second.status(), 200);
        let third = get(dev.gateway(index), &path, &[("x-api-key", value)]).await.unwrap();
        assert_eq!(
            (third.status().as_u16(), third.body().as_ref()),
            (429, br#"{"message":"Too Many Requests"}"#.as_slice())
        );
    }
    drop(cli.text(&["key", "disable", id]));
    served(&dev, 0, &path, value, 403).await;
    drop(cli.text(&["key", "enable", id]));
    served(&dev, 0, &path, value, 429).await;
    dev.stop();
}

async fn served(dev: &Dev, index: usize, path: &str, key: &str, status: u16) {
    eventually("the key is seen as it was changed", || async {
        let answer = get(dev.gateway(index), path, &[("x-api-key", key)]).await.map_err(|error| error.to_string())?;
        if answer.status() == status { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
}
