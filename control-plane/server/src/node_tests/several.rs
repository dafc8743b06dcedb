//! Clusters of several nodes: joining, moving, and what a follower does for its callers.

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use sluice_identity::{
    Channel, Dialer, Identity, NodeRole, OperatorProof, Plaintext, Purpose, ServerTrust, read_secret,
};
use sluice_proto::{
    admin::CreateTokenRequest,
    raft::{Command, DeleteNode, Stamp, command},
    sync::{FromData, Hello, from_control, from_data},
};
use sluice_rpc::{admin::cluster_client::ClusterClient, sync::sync_client::SyncClient};
use tokio::time::timeout;

use super::{DEADLINE, founding, settings, start};
use crate::{ControlNode, Settings};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_was_removed_is_refused_ends_and_does_not_start_again() {
    for plaintext in [false, true] {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let first = start(Settings { plaintext, ..founding(folders[0].path()) }).await;
        let file = folders[0].path().join("token");
        let mut nodes = Vec::new();
        for folder in &folders[1..] {
            if !plaintext {
                let request = CreateTokenRequest { role: "control".into(), ..CreateTokenRequest::default() };
                let mut admin = ClusterClient::new(operator(folders[0].path(), &first));
                std::fs::write(&file, admin.create_token(request).await.unwrap().into_inner().token).unwrap();
            }
            nodes.push(
                start(Settings {
                    join: vec![first.admin_url()],
                    join_token_file: (!plaintext).then(|| file.clone()),
                    join_patience: DEADLINE,
                    ..settings(folder.path())
                })
                .await,
            );
        }
        let (mut third, second) = (nodes.remove(1), nodes.remove(0));
        voters(&[&first, &second, &third], 3).await;
        let node_id = third.identity().node_id.clone();
        // By its own state or by the others' words, whichever comes first.
        let delete = DeleteNode { stamp: None, node_id, revoked_until_ms: u64::MAX };
        let stamp = Stamp { actor: "local".into(), ..Stamp::default() };
        let delete = command::Kind::DeleteNode(DeleteNode { stamp: Some(stamp), ..delete });
        let command = Command { kind: Some(delete) };
        let leader = [&first, &second].into_iter().find(|node| node.raft().leadership().borrow().this).unwrap();
        leader.raft().propose(command, std::time::Instant::now() + DEADLINE).await.unwrap();
        let ended = timeout(DEADLINE, third.failed()).await.unwrap();
        assert_eq!(ended.exit_status(), sluice_identity::REMOVED_STATUS, "{ended}");
        third.shutdown().await;
        let refused = ControlNode::start(settings(folders[2].path())).await.unwrap_err().to_string();
        assert!(refused.contains("was removed from its cluster"), "{refused}");
        second.shutdown().await;
        first.shutdown().await;
    }
}

/// A channel of the operator whose token the founding left.
fn operator(folder: &Path, node: &ControlNode) -> Channel {
    let token = read_secret(&folder.join("operator.token")).unwrap();
    let ca = std::fs::read_to_string(Identity::ca_path(&folder.join("identity"))).unwrap();
    let dialer =
        Dialer::of_operator(&ServerTrust::Ca(ca), OperatorProof::Token(&token), Plaintext::LoopbackOnly).unwrap();
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

    let local = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly).unwrap();
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
