//! Whole nodes in this process, over real sockets and disks.

mod several;

use std::{path::Path, time::Duration};

use sluice_identity::{ClusterKey, IdentityFailure, JoinToken, NodeRole};
use sluice_raft::RaftFailure;
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
