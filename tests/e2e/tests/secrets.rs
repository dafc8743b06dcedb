//! No secret lies in a file or log of a running cluster, but in those that are there to hold it.
//!
//! What makes the search sound: the secrets are random, so that an LZ4 block of RocksDB, which can only refer back to what
//! stood before, holds the first copy of one as it is, cut at most where four of its bytes happen to stand before; so pieces
//! are looked for, in four spellings. And what is no secret but travels the same way (names of keys, a description) must be
//! found in the logs and tables of every control node and in the copy of every data node, or the search is worth nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rand::{RngExt as _, distr::Alphanumeric};
use regex::bytes::{Regex, RegexSet};
use sluice_e2e::{
    certified::Certified,
    fixture::{import, mock, route},
    http::get,
    wait::eventually,
};
use tempfile::TempDir;

/// Bytes of a piece: more than chance finds in some hundred megabytes.
const PIECE: usize = 10;
/// Files that are there to hold a secret; each is readable by its owner only.
const KEEPERS: [&str; 5] = ["cluster.key", "operator.token", "identity/node.pem", "node.pem", "last-good.key"];

/// Something that is looked for.
struct Wanted {
    name: &'static str,
    pieces: Vec<String>,
}

fn wanted(name: &'static str, secret: &[u8]) -> Wanted {
    let mut pieces = Vec::new();
    for form in forms(secret) {
        pieces.extend(form.chunks_exact(PIECE).map(<[u8]>::to_vec));
    }
    let pieces = pieces.iter().map(|piece| piece.iter().map(|byte| format!("\\x{byte:02x}")).collect()).collect();
    Wanted { name, pieces }
}

/// As it is, in hex, and within base64 of anything that holds it, at each of three places.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
    for before in 0..3 {
        let padded = [&vec![0; before], secret].concat();
        let text = base64(&padded);
        // The first and the last letters depend on what stands around the secret.
        forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |word: u32, shift: u32| char::from(LETTERS[(word >> shift & 63) as usize]);
    let words = bytes
        .chunks(3)
        .map(|chunk| chunk.iter().chain([&0, &0]).take(3).fold(0, |word, byte| word << 8 | u32::from(*byte)));
    words.flat_map(|word| [18, 12, 6, 0].map(|shift| letter(word, shift))).collect()
}

/// The other way.
fn bytes_of_base64(text: &str) -> Vec<u8> {
    let bits = |letter: u8| (0..64).find(|bits| base64(&[(bits << 2) as u8]).as_bytes()[0] == letter);
    let bits: Vec<u32> = text.bytes().map_while(bits).collect();
    let words = bits
        .chunks(4)
        .map(|four| (four.iter().fold(0, |word, bits| word << 6 | bits) << (6 * (4 - four.len())), four.len() - 1));
    words.flat_map(|(word, bytes)| word.to_be_bytes()[1..=bytes].to_vec()).collect()
}

fn random(chars: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(chars).map(char::from).collect()
}

/// Every file of the nodes, and their logs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                // The operator's own copy of a token.
                path if path.extension().is_some_and(|extension| extension == "join") => {}
                path => found.push(path),
            }
        }
    }
    found
}

/// What is found where; files that go away meanwhile are RocksDB's, which has written them elsewhere.
fn search(folder: &Path, wanted: &[Wanted]) -> Vec<(PathBuf, &'static str)> {
    let patterns: Vec<String> = wanted.iter().map(|wanted| format!("(?-u){}", wanted.pieces.join("|"))).collect();
    let all = Regex::new(&format!(
        "(?-u){}",
        wanted.iter().flat_map(|wanted| &wanted.pieces).cloned().collect::<Vec<_>>().join("|")
    ));
    let (all, each) = (all.unwrap(), RegexSet::new(patterns).unwrap());
    let mut found = Vec::new();
    for path in files(folder) {
        let Ok(bytes) = fs::read(&path) else { continue };
        // RocksDB makes room for its logs ahead.
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if all.is_match(&bytes[..end]) {
            found.extend(each.matches(&bytes[..end]).into_iter().map(|index| (path.clone(), wanted[index].name)));
        }
    }
    found
}

fn is_keeper(path: &Path) -> bool {
    KEEPERS.iter().any(|keeper| path.ends_with(keeper))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn no_file_and_no_log_of_a_cluster_holds_a_secret() {
    let mut cluster = Certified::start(3, 1, &["--log", "debug"]).await;
    let input = TempDir::new().unwrap();
    let cli = cluster.cli();
    let mark = random(40);
    let (given, listed) = (random(40), random(40));
    let value_file = input.path().join("value");
    fs::write(&value_file, &given).unwrap();
    let made = cli.json(&["key", "create", &format!("made-{mark}")]);
    drop(cli.json(&["key", "create", &format!("given-{mark}"), "--value-file", value_file.to_str().unwrap()]));
    let csv = input.path().join("keys.csv");
    fs::write(&csv, format!("name,key\nlisted-{mark},{listed}\n")).unwrap();
    drop(cli.json(&["key", "import", csv.to_str().unwrap()]));
    let api = import(&cli, &mock(input.path(), &format!("api-{mark}"), &["/pets"]), &[]);
    drop(cli.text(&["api", "deploy", &api, "--stage", "prod", "--description", &mark]));
    let shown = cli.json(&["key", "get", &format!("given-{mark}"), "--show-value"]);
    assert_eq!(shown["value"], given.as_str());
    let token = cli.json(&["cluster", "token", "create", "--role", "control"]);
    let answer = get(cluster.gateway(0), &route(&api, "prod", "/pets"), &[("x-api-key", &given)]).await.unwrap();
    assert_eq!(answer.status(), 200);

    let read = |path: PathBuf| fs::read_to_string(path).unwrap().trim().to_owned();
    let cluster_key = read(cluster.control_dir(0).join("cluster.key"));
    let (_, key_text) = cluster_key.split_once(':').unwrap();
    let node_key = read(cluster.control_dir(0).join("identity/node.pem"));
    let (_, node_key) = node_key.split_once("PRIVATE KEY-----").unwrap();
    let join_secret = sluice_identity::JoinToken::parse(token["token"].as_str().unwrap()).unwrap().secret;
    let secrets = [
        wanted("the value of a key that was made", made["value"].as_str().unwrap().as_bytes()),
        wanted("the value of a key that was given", given.as_bytes()),
        wanted("the value of a key that was imported", listed.as_bytes()),
        wanted("the operator's token", read(cluster.control_dir(0).join("operator.token")).as_bytes()),
        wanted("the secret of a join token", join_secret.expose().as_bytes()),
        wanted("the cluster key", key_text.as_bytes()),
        wanted("the cluster key's bytes", &bytes_of_base64(key_text)),
        wanted("the private key of a node", node_key.lines().nth(1).unwrap().as_bytes()),
    ];
    let marks = [wanted("the mark", mark.as_bytes())];

    let none_leaks = |when: &str| {
        let found = search(cluster.folder(), &secrets);
        let leaks: Vec<_> = found.iter().filter(|(path, _)| !is_keeper(path)).collect();
        assert!(leaks.is_empty(), "{when}: {leaks:?}");
        assert!(found.len() >= 3, "the files that hold a secret are searched too: {found:?}");
    };
    let marked = || -> Vec<PathBuf> { search(cluster.folder(), &marks).into_iter().map(|(path, _)| path).collect() };
    let of = |folder: PathBuf, paths: &[PathBuf], end: &str| {
        paths.iter().any(|path| path.starts_with(&folder) && path.to_string_lossy().ends_with(end))
    };
    none_leaks("while it runs");
    eventually("what is no secret is found with every node", || async {
        let paths = marked();
        let control = (0..3).all(|index| of(cluster.control_dir(index).join("raft/log"), &paths, ".log"));
        if control && of(cluster.data_dir(0), &paths, "") { Ok(()) } else { Err(paths) }
    })
    .await;

    // A RocksDB that is opened writes what its log holds to a table, which is compressed.
    for index in 0..3 {
        cluster.kill_control(index);
    }
    for index in 0..3 {
        cluster.restart_control(index);
    }
    cluster.states("voter", 3).await;
    let none_leaks =
        || search(cluster.folder(), &secrets).into_iter().filter(|(path, _)| !is_keeper(path)).collect::<Vec<_>>();
    assert_eq!(none_leaks(), []);
    let paths: Vec<PathBuf> = search(cluster.folder(), &marks).into_iter().map(|(path, _)| path).collect();
    for index in 0..3 {
        for part in ["raft/log", "raft/state"] {
            assert!(of(cluster.control_dir(index).join(part), &paths, ".sst"), "a table of {part}: {paths:?}");
        }
    }
}
