//! Members that lose their vote, go, and take over.

use std::time::{Duration, Instant};

use sluice_proto::raft::{HoldNode, Node, PutNode, RemoveNode, RemovedNode, command::Kind, outcome};
use sluice_raft::RaftFailure;

use crate::harness::{Cluster, command, deadline, plan, wait_until};

fn voters(cluster: &Cluster, at: u64) -> Vec<u64> {
    let members = cluster.raft(at).members().into_iter();
    members.filter(|member| member.voter).map(|member| member.raft_id).collect()
}

fn listed(cluster: &Cluster, at: u64) -> Vec<u64> {
    cluster.raft(at).members().into_iter().map(|member| member.raft_id).collect()
}

/// Writes a row of the node, and whether it is held.
async fn hold(cluster: &Cluster, raft_id: u64, held: bool) {
    let id = format!("c{raft_id}");
    let node = Node { id: id.clone(), role: "control".into(), raft_id, ..Node::default() };
    cluster.propose(command(|stamp| Kind::PutNode(PutNode { stamp, node: Some(node) }))).await;
    let held = cluster.propose(command(|stamp| Kind::HoldNode(HoldNode { stamp, node_id: id, held }))).await;
    assert!(matches!(held.outcome.kind, Some(outcome::Kind::Done(_))), "{held:?}");
}

async fn removed(cluster: &Cluster, raft_id: u64) {
    let node = RemovedNode { id: format!("c{raft_id}"), role: "control".into(), raft_id, ..RemovedNode::default() };
    cluster.propose(command(|stamp| Kind::RemoveNode(RemoveNode { stamp, node: Some(node) }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_member_follows_without_a_vote_until_it_is_held_no_more() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let demoted = leader % 3 + 1;
    hold(&cluster, demoted, true).await;
    cluster.raft(leader).demote(demoted).await.unwrap();
    assert!(!voters(&cluster, leader).contains(&demoted));
    // Longer than it takes to look at learners.
    let last = cluster.propose(plan("after")).await.log_index;
    cluster.wait_applied(last).await;
    let other = (1..=3).find(|id| ![leader, demoted].contains(id)).unwrap();
    cluster.stop(other).await;
    let soon = Instant::now() + Duration::from_secs(2);
    let alone = cluster.raft(leader).propose(plan("alone"), soon).await;
    assert!(alone.is_err(), "a learner is no part of a majority: {alone:?}");
    assert!(!voters(&cluster, leader).contains(&demoted), "it is not made a voter unasked");
    cluster.start(other).await;
    hold(&cluster, demoted, false).await;
    let leader = cluster.leader().await;
    wait_until("it votes again", || voters(&cluster, leader) == [1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_hears_of_it_and_goes_and_its_place_is_taken() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let gone = leader % 3 + 1;
    hold(&cluster, gone, true).await;
    cluster.raft(leader).demote(gone).await.unwrap();
    removed(&cluster, gone).await;
    wait_until("it is no member", || !listed(&cluster, leader).contains(&gone)).await;
    let id = format!("c{gone}");
    wait_until("it has heard of it", || cluster.raft(gone).view().removed_node(&id).is_some()).await;
    cluster.stop(gone).await;
    cluster.add(4).await;
    let after = cluster.propose(plan("after")).await.log_index;
    cluster.wait_applied(after).await;
    assert_eq!(voters(&cluster, cluster.leader().await).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_that_is_down_goes_all_the_same() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let gone = leader % 3 + 1;
    cluster.stop(gone).await;
    let down = || cluster.raft(leader).members().iter().any(|member| member.raft_id == gone && member.down);
    wait_until("it is down", down).await;
    let other = (1..=3).find(|id| ![leader, gone].contains(id)).unwrap();
    let refused = cluster.raft(leader).demote(other).await.unwrap_err();
    assert!(matches!(&refused, RaftFailure::WouldLoseQuorum { down, .. } if *down == [gone]), "{refused}");
    hold(&cluster, gone, true).await;
    cluster.raft(leader).demote(gone).await.unwrap();
    removed(&cluster, gone).await;
    wait_until("it is no member", || !listed(&cluster, leader).contains(&gone)).await;
    assert_eq!(voters(&cluster, leader).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_keeps_its_vote_and_the_leader_hands_over_first() {
    let mut cluster = Cluster::of(1).await;
    assert!(matches!(cluster.raft(1).demote(1).await, Err(RaftFailure::LastVoter)));
    cluster.add(2).await;
    assert!(matches!(cluster.raft(1).demote(1).await, Err(RaftFailure::Members { .. })));
    cluster.raft(1).hand_over(2, deadline()).await.unwrap();
    assert!(matches!(cluster.raft(1).hand_over(2, deadline()).await, Err(RaftFailure::NotLeader { .. })));
    hold(&cluster, 1, true).await;
    cluster.raft(2).demote(1).await.unwrap();
    let refused = cluster.raft(2).hand_over(1, deadline()).await.unwrap_err().to_string();
    assert!(refused.contains("does not vote"), "{refused}");
    cluster.propose(plan("alone")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_wrong_lets_another_lead_whose_clock_is_right() {
    let cluster =
        Cluster::with(3, |settings| settings.clock_skew_ms = if settings.raft_id == 1 { 60_000 } else { 0 }).await;
    let mut watched = cluster.raft(1).leadership();
    let led = tokio::time::timeout(crate::harness::FAST, watched.wait_for(|now| !now.this && now.leader.is_some()));
    let leader = led.await.expect("it hands over").unwrap().leader.unwrap();
    assert_ne!(leader, 1);
    wait_until("the new leader sees whose clock is wrong", || {
        let astray = cluster.raft(leader).clocks_astray();
        astray.iter().map(|one| one.raft_id).collect::<Vec<_>>() == [1] && astray[0].offset_ms > 55_000
    })
    .await;
}
