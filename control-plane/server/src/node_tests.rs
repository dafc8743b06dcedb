//! Whole nodes in this process, over real sockets and disks.

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use sluice_identity::{
    Channel, ClusterKey, Dialer, Identity, IdentityFailure, JoinToken, NodeRole, Plaintext, Purpose, ServerTrust,
    read_secret,
};
use sluice_proto::{
    admin::CreateTokenRequest,
    sync::{FromData, Hello, from_control, from_data},
};
use sluice_raft::RaftFailure;
use sluice_rpc::{admin::cluster_client::ClusterClient, sync::sync_client::SyncClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{ControlNode, Settings, StartFailure};

/// Far beyond what anything here takes; a hang ends as a failure.
const DEADLINE: Duration = Duration::from_secs(60);

fn settings(folder: &Path) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        listen_admin: "127.0.0.1:0".into(),
        listen_peer: "127.0.0.1:0".into(),
        listen_http: "127.0.0.1:0".into(),
        join_patience: Duration::ZERO,
        ..Settings::default()
    }
}

fn founding(folder: &Path) -> Settings {
    Settings { bootstrap: true, plaintext: true, ..settings(folder) }
}

async fn start(settings: Settings) -> ControlNode {
    let node = timeout(DEADLINE, ControlNode::start(settings)).await.unwrap().unwrap();
    timeout(DEADLINE, node.ready()).await.unwrap();
    node
}

async fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founded_node_is_ready_tells_its_numbers_and_lists_itself() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(founding(folder.path())).await;
    for (path, status) in [("/healthz", "200"), ("/readyz", "200"), ("/nothing", "404")] {
        let answer = get(&node.http_url(), path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let metrics = get(&node.http_url(), "/metrics").await;
    assert!(metrics.contains("sluice_raft_leader 1"), "{metrics}");
    let listed = async {
        while node.raft().view().nodes().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, listed).await.unwrap();
    let row = node.raft().view().nodes().remove(0);
    assert_eq!((row.id, row.raft_id, row.role), (node.identity().node_id.clone(), 1, "control".to_owned()));
    assert_eq!(row.peer_address, node.peer_address().to_string());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_starts_again_with_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(founding(folder.path())).await;
    let cluster = first.raft().view().cluster().unwrap();
    let ports = (first.admin_url(), first.peer_address().to_string());
    first.shutdown().await;
    let again = Settings {
        listen_admin: ports.0.trim_start_matches("http://").to_owned(),
        listen_peer: ports.1,
        ..settings(folder.path())
    };
    let second = start(again).await;
    assert_eq!(second.raft().view().cluster().unwrap(), cluster);
    assert_eq!(second.identity().cluster_id, cluster.cluster_id);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_two_clusters_live_in_one_process() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = start(founding(folders[0].path())).await;
    let b = start(founding(folders[1].path())).await;
    assert_ne!(a.identity().cluster_id, b.identity().cluster_id);
    a.shutdown().await;
    timeout(DEADLINE, b.ready()).await.unwrap();
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_bootstrap_is_refused_and_a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(founding(folder.path())).await;
    let refused = ControlNode::start(founding(folder.path())).await.unwrap_err();
    assert!(matches!(refused, StartFailure::AlreadyFounded { .. }), "{refused}");
    let elsewhere = tempfile::tempdir().unwrap();
    let taken = node.peer_address().to_string();
    let clash = Settings { listen_peer: taken.clone(), ..founding(elsewhere.path()) };
    let refused = ControlNode::start(clash).await.unwrap_err().to_string();
    assert!(refused.contains(&taken), "{refused}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_refused_leaves_nothing_that_the_next_start_would_find() {
    let folder = tempfile::tempdir().unwrap();
    let open = Settings { listen_http: "0.0.0.0:0".into(), ..founding(folder.path()) };
    let refused = ControlNode::start(open).await.unwrap_err();
    let expected = matches!(refused, StartFailure::Identity(IdentityFailure::PlaintextOffLoopback { .. }));
    assert!(expected, "{refused}");
    let slow = Settings { raft_heartbeat: Duration::from_secs(10), ..founding(folder.path()) };
    let refused = ControlNode::start(slow).await.unwrap_err();
    assert!(matches!(refused, StartFailure::Raft(RaftFailure::Settings { .. })), "{refused}");
    let idle = Settings { listen_http: "0.0.0.0:0".into(), ..settings(folder.path()) };
    let refused = ControlNode::start(idle).await.unwrap_err();
    assert!(matches!(refused, StartFailure::Nothing { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was founded");
    let first = start(founding(folder.path())).await;

    let joining = tempfile::tempdir().unwrap();
    let join = Settings { join: vec![first.admin_url()], join_patience: DEADLINE, ..settings(joining.path()) };
    let open = Settings { listen_peer: "0.0.0.0:0".into(), advertise: Some("127.0.0.1:7".into()), ..join.clone() };
    let refused = ControlNode::start(open).await.unwrap_err();
    let expected = matches!(refused, StartFailure::Identity(IdentityFailure::PlaintextOffLoopback { .. }));
    assert!(expected, "{refused}");
    assert_eq!(std::fs::read_dir(joining.path()).unwrap().count(), 0, "nothing was joined");
    assert_eq!(first.raft().members().len(), 1);
    let second = start(join).await;
    second.shutdown().await;
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_join_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let key = ClusterKey::generate().unwrap();
    let token = JoinToken::of_request(&key, ("local", b"1"), "c1", NodeRole::Data, None);
    std::fs::write(&file, token.to_text().expose()).unwrap();
    let join = Settings {
        join: vec!["http://127.0.0.1:1".into()],
        join_token_file: Some(file),
        ..settings(&folder.path().join("node"))
    };
    let refused = ControlNode::start(join.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("for a data node, this is a control node"), "{refused}");
    let unreachable = Settings { join_token_file: None, ..join };
    let refused = ControlNode::start(unreachable).await.unwrap_err().to_string();
    assert!(refused.contains("no control node could take the request"), "{refused}");
}

/// Waits until every node sees `count` voters.
async fn voters(nodes: &[&ControlNode], count: usize) {
    let all_vote = async {
        for node in nodes {
            while node.raft().members().iter().filter(|member| member.voter).count() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    timeout(DEADLINE, all_vote).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_nodes_join_become_voters_and_outlive_the_founder() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = start(founding(folders[0].path())).await;
    let joining =
        |folder: &Path| Settings { join: vec![first.admin_url()], join_patience: DEADLINE, ..settings(folder) };
    let second = start(joining(folders[1].path())).await;
    let third = start(joining(folders[2].path())).await;
    voters(&[&first, &second, &third], 3).await;
    assert_eq!(second.identity().cluster_id, first.identity().cluster_id);
    first.shutdown().await;
    for node in [&second, &third] {
        timeout(DEADLINE, node.ready()).await.unwrap();
        assert_eq!(node.raft().view().nodes().len(), 3);
    }
    second.shutdown().await;
    third.shutdown().await;
}

/// Waits until every node calls `moved` at its address, and all of them serve.
async fn reachable(nodes: &[&ControlNode], moved: &ControlNode) {
    let address = moved.peer_address().to_string();
    let (raft_id, row) = (moved.raft().raft_id(), moved.identity().node_id.clone());
    let known = async {
        for node in nodes {
            let knows = |node: &ControlNode| {
                let mut members = node.raft().members().into_iter();
                members.any(|member| member.raft_id == raft_id && member.address == address)
                    && node.raft().view().nodes().iter().any(|node| node.id == row && node.peer_address == address)
            };
            while !knows(node) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            node.ready().await;
        }
    };
    timeout(DEADLINE, known).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_under_another_address_is_found_again() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = start(founding(folders[0].path())).await;
    let join = vec![first.admin_url()];
    let joining = |folder: &Path| Settings { join: join.clone(), join_patience: DEADLINE, ..settings(folder) };
    let second = start(joining(folders[1].path())).await;
    let third = start(joining(folders[2].path())).await;
    voters(&[&first, &second, &third], 3).await;
    // A follower or the leader: the settings take free ports, which are others each time.
    let mut nodes = vec![first, second, third];
    for _ in 0..2 {
        let leader = nodes.iter().position(|node| node.raft().leadership().borrow().this).unwrap();
        for moves in [(leader + 1) % 3, leader] {
            let (old, folder) = (nodes.remove(moves), folders[moves].path());
            let address = old.peer_address();
            let held = old.admin_url();
            old.shutdown().await;
            // The old port is taken, so that it is not given out again.
            let _taken = std::net::TcpListener::bind(address).unwrap();
            let moved = timeout(DEADLINE, ControlNode::start(settings(folder))).await.unwrap().unwrap();
            assert!(moved.peer_address() != address && moved.admin_url() != held);
            nodes.insert(moves, moved);
            reachable(&nodes.iter().collect::<Vec<_>>(), &nodes[moves]).await;
        }
    }
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_a_certified_cluster_with_a_token_that_serves_once() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = start(Settings { plaintext: false, ..founding(folders[0].path()) }).await;
    assert!(first.admin_url().starts_with("https://"));
    let mut admin = ClusterClient::new(operator(folders[0].path(), &first));
    let request = CreateTokenRequest { role: "control".into(), ..CreateTokenRequest::default() };
    let token = admin.create_token(request).await.unwrap().into_inner().token;
    let file = folders[1].path().join("token");
    std::fs::write(&file, token).unwrap();
    let join = |folder: &Path| Settings {
        join: vec![first.admin_url()],
        join_token_file: Some(file.clone()),
        join_patience: DEADLINE,
        ..settings(folder)
    };
    let second = start(join(&folders[1].path().join("node"))).await;
    voters(&[&first, &second], 2).await;
    assert!(!second.identity().is_plaintext());
    let refused = ControlNode::start(join(folders[2].path())).await.unwrap_err().to_string();
    assert!(refused.contains("join token"), "{refused}");
    second.shutdown().await;
    first.shutdown().await;
}

/// A channel of the operator whose token the founding left.
fn operator(folder: &Path, node: &ControlNode) -> Channel {
    let token = read_secret(&folder.join("operator.token")).unwrap();
    let ca = std::fs::read_to_string(Identity::ca_path(&folder.join("identity"))).unwrap();
    let dialer = Dialer::of_operator(&ServerTrust::Ca(ca), Some(&token), Plaintext::LoopbackOnly).unwrap();
    dialer.channel(&node.admin_url(), NodeRole::Control, Purpose::Admin).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_carries_a_call_to_the_leader_and_streams_end_when_their_node_stops() {
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = start(founding(folders[0].path())).await;
    let join = vec![first.admin_url()];
    let second = start(Settings { join, join_patience: DEADLINE, ..settings(folders[1].path()) }).await;
    voters(&[&first, &second], 2).await;
    let follower = if first.raft().leadership().borrow().this { &second } else { &first };

    let local = Dialer::of_operator(&ServerTrust::None, None, Plaintext::LoopbackOnly).unwrap();
    let channel = local.channel(&follower.admin_url(), NodeRole::Control, Purpose::Admin).unwrap();
    let request = CreateTokenRequest { role: "data".into(), ..CreateTokenRequest::default() };
    ClusterClient::new(channel).create_token(request).await.unwrap();

    let data = Identity::plaintext(&first.identity().cluster_id, NodeRole::Data, "d1");
    let data = Dialer::of_node(&data, Plaintext::LoopbackOnly).unwrap();
    let channel = data.channel(&follower.admin_url(), NodeRole::Control, Purpose::Sync).unwrap();
    let hello = Hello { cluster_id: first.identity().cluster_id.clone(), node_id: "d1".into(), ..Hello::default() };
    let hello = FromData { kind: Some(from_data::Kind::Hello(hello)) };
    let outgoing = futures_util::stream::iter([hello]).chain(futures_util::stream::pending());
    let mut stream = SyncClient::new(channel).follow(outgoing).await.unwrap().into_inner();
    let welcome = timeout(DEADLINE, stream.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(welcome.kind, Some(from_control::Kind::Welcome(_))), "{welcome:?}");

    let (stays, goes) = if first.raft().leadership().borrow().this { (first, second) } else { (second, first) };
    goes.shutdown().await;
    let ended = async { while let Ok(Some(_)) = stream.message().await {} };
    timeout(DEADLINE, ended).await.unwrap();
    stays.shutdown().await;
}
