//! `sluice dev` without `--processes`: a whole cluster in one process.

use std::path::Path;

use sluice_e2e::{backend::Backend, dev::Dev, fixture, http::get};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_one_process_imports_serves_and_is_there_again_after_a_stop() {
    let folder = TempDir::new().unwrap();
    let backend = Backend::start().await;
    let file = fixture::proxied(folder.path(), "hello", &["/hello"]);
    let data = folder.path().join("data");
    let key = {
        let dev = start(&data, &file, &backend);
        assert!(dev.ready.pids.is_empty(), "no node has a process of its own: {:?}", dev.ready.pids);
        serves(&dev).await;
        let status = dev.cli().json(&["cluster", "status"]);
        assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "{status}");
        let key = dev.cli().json(&["key", "create", "kept"]);
        dev.stop();
        key
    };
    let dev = start(&data, &file, &backend);
    serves(&dev).await;
    assert_eq!(dev.cli().json(&["key", "get", "kept", "--show-value"])["value"], key["value"]);
    dev.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_cluster_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let dev = Dev::ephemeral(1, 1, &temporary, &folder.path().join("dev.log"));
    drop(dev.cli().json(&["key", "create", "forgotten"]));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1, "its data is in one temporary folder");
    dev.stop();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

fn start(data: &Path, file: &Path, backend: &Backend) -> Dev {
    let url = backend.url();
    Dev::in_process(3, 2, data, &["--import", file.to_str().unwrap(), "--backend", &url, "--stage", "live"])
}

async fn serves(dev: &Dev) {
    let apis = dev.cli().json(&["api", "list"]);
    let items = apis["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "a second start updates what the first one made: {apis}");
    let path = fixture::route(items[0]["id"].as_str().unwrap(), "live", "/hello");
    for index in 0..2 {
        assert_eq!(get(dev.gateway(index), &path, &[]).await.unwrap().status(), 200);
    }
}
