//! Importing keys by CSV: what was cut off is sent again, and each row is there once.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, process::Command};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use sluice_e2e::{
    cluster::Cluster,
    grpc::{channel, request_id},
    process::{Process, program},
    wait::eventually,
};
use sluice_proto::admin::{ImportCsvRequest, ImportCsvStart, import_csv_reply, import_csv_request};
use sluice_rpc::admin::keys_client::KeysClient;

/// Eight commits, so that something can come between them.
const ROWS: usize = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_keys_that_was_cut_off_goes_on_where_it_stopped() {
    let mut cluster = Cluster::start(3, &[]).await;
    let (file, csv) = keys(&cluster);
    after_the_first_commit_its_caller_hangs_up(&cluster, &csv).await;

    // The next one loses the leader that carries it out, as soon as it is known to be at work.
    let before = count(&cluster);
    let mut command = Command::new(program("sluice"));
    command.env("SLUICE_CONTROL", (0..3).map(|index| cluster.url(index)).collect::<Vec<_>>().join(","));
    command.args(["-o", "json", "key", "import"]).arg(&file);
    let mut importing = Process::start("key import", &mut command, Some(cluster.folder("import.log")));
    let mut moved = || if count(&cluster) > before || !importing.runs() { Ok(()) } else { Err("no key is new") };
    eventually("the import goes on", || std::future::ready(moved())).await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let code = importing.wait();
    assert!(matches!(code, Some(0 | 3)), "done, or not known: {code:?}");

    let patient = cluster.cli().with(&["--timeout", "60s"]);
    let result = patient.json(&["key", "import", file.to_str().unwrap()]);
    assert_eq!(result["failed"], 0, "{result}");
    let told = result["created"].as_u64().unwrap() + result["unchanged"].as_u64().unwrap();
    assert_eq!(told, ROWS as u64, "{result}");
    let again = patient.json(&["key", "import", file.to_str().unwrap()]);
    assert_eq!((&again["created"], &again["unchanged"]), (&Value::from(0), &Value::from(ROWS)), "{again}");
    let listed = patient.json(&["key", "list", "--all"]);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().filter_map(|key| key["name"].as_str()).collect();
    assert_eq!((names.len(), names.iter().collect::<BTreeSet<_>>().len()), (ROWS, ROWS), "each key is there once");
}

fn keys(cluster: &Cluster) -> (PathBuf, String) {
    let mut csv = "name,key\n".to_owned();
    (0..ROWS).for_each(|row| writeln!(csv, "key-{row},value-of-key-number-{row:06}").unwrap());
    let file = cluster.folder("keys.csv");
    std::fs::write(&file, &csv).unwrap();
    (file, csv)
}

async fn after_the_first_commit_its_caller_hangs_up(cluster: &Cluster, csv: &str) {
    let start = ImportCsvStart { request_id: request_id(), size: csv.len() as u64 };
    let chunks = csv.as_bytes().chunks(256 * 1024).map(|chunk| import_csv_request::Kind::Chunk(chunk.to_vec()));
    let kinds: Vec<_> = std::iter::once(import_csv_request::Kind::Start(start)).chain(chunks).collect();
    let sent = stream::iter(kinds).map(|kind| ImportCsvRequest { kind: Some(kind) });
    let mut replies = KeysClient::new(channel(&cluster.url(0))).import_csv(sent).await.unwrap().into_inner();
    let first = replies.message().await.unwrap().unwrap();
    assert!(matches!(first.kind, Some(import_csv_reply::Kind::Progress(_))), "{first:?}");
    drop(replies);
    let some = count(cluster);
    assert!(some > 0, "what was committed is there");
}

/// Keys that are there now; none when no one answers.
fn count(cluster: &Cluster) -> usize {
    let listed = cluster.cli().run(&["-o", "json", "key", "list", "--all"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    listed["items"].as_array().map_or(0, Vec::len)
}
