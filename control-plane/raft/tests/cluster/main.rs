//! Nodes of Raft in one process, over real sockets and disks.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod harness;
mod members;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{Cluster, FAST, plan, wait_until};
use sluice_proto::raft::outcome;
use sluice_raft::{ProposeFailure, Raft, RaftFailure};
use sluice_telemetry::Metrics;

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_founded_proposes_and_shows_its_state() {
    let cluster = Cluster::of(1).await;
    let raft = cluster.raft(1);
    assert!(!raft.is_pristine());
    let mut revisions = raft.revisions();
    let before = raft.view();
    let first = cluster.propose(plan("one")).await;
    let second = cluster.propose(plan("two")).await;
    assert!(matches!(first.outcome.kind, Some(outcome::Kind::Done(_))), "{first:?}");
    assert!(second.log_index > first.log_index && second.revision.number > first.revision.number);
    assert_eq!(second.revision.number, raft.view().revision().number);
    assert_eq!(second.revision.generation, raft.view().revision().generation);
    revisions.wait_for(|number| *number == second.revision.number).await.unwrap();
    assert!(harness::has_plan(raft, "two") && !harness::view_has_plan(&before, "two"));
    assert!(matches!(raft.initialize(harness::found()).await, Err(RaftFailure::NotPristine)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_finds_everything_again() {
    let mut cluster = Cluster::of(1).await;
    let last = cluster.propose(plan("kept")).await;
    let rows = harness::rows(cluster.raft(1));
    cluster.stop(1).await;
    cluster.start(1).await;
    wait_until("the log is applied again", || cluster.raft(1).applied_index() >= Some(last.log_index)).await;
    assert_eq!(harness::rows(cluster.raft(1)), rows);
    cluster.propose(plan("after")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_followed_to_another_address_by_streams_that_know_its_old_one() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let moved = 1 + leader % 3;
    cluster.stop(moved).await;
    cluster.propose(plan("meanwhile")).await;
    let address = cluster.start_elsewhere(moved).await;
    cluster.raft(leader).set_address(moved, &address).await.unwrap();
    let last = cluster.propose(plan("after")).await;
    cluster.wait_applied(last.log_index).await;
    for id in 1..=3 {
        wait_until("all know the address", || {
            cluster.raft(id).members().iter().any(|member| member.raft_id == moved && member.address == address)
        })
        .await;
    }
    let refused = cluster.raft(moved).set_address(leader, "127.0.0.1:1").await;
    assert!(matches!(refused, Err(RaftFailure::NotLeader { .. })), "{refused:?}");
    cluster.raft(leader).set_address(9, "127.0.0.1:1").await.unwrap();
    assert_eq!(cluster.raft(leader).members().len(), 3, "what is no member does not become one");
    // Two of three decide, over the new address.
    cluster.stop(1 + moved % 3).await;
    cluster.propose(plan("last")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_no_message_could_carry_never_enters_the_log() {
    let cluster = Cluster::of(1).await;
    let large = harness::plan_with("large", &"x".repeat(2 << 20));
    let refused = cluster.raft(1).propose(large, harness::deadline()).await;
    assert!(matches!(refused, Err(ProposeFailure::TooLarge { .. })), "{refused:?}");
    cluster.propose(plan("small")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_go_on_says_so() {
    let cluster = Cluster::with(1, |settings| settings.snapshot_log_bytes = 4_096).await;
    let raft = cluster.raft(1);
    // No checkpoint can be taken there any more.
    let snapshots = cluster.settings(1).data_dir.join("raft/snapshots");
    std::fs::remove_dir_all(&snapshots).unwrap();
    std::fs::write(&snapshots, "in the way").unwrap();
    let grown = harness::plan_with("large", &"x".repeat(8_192));
    let _ = raft.propose(grown, harness::deadline()).await;
    tokio::time::timeout(FAST, raft.stopped()).await.expect("it is told of the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_node_or_cluster_is_refused() {
    let mut cluster = Cluster::of(1).await;
    cluster.stop(1).await;
    let mut settings = cluster.settings(1);
    settings.raft_id = 2;
    let refused = Raft::open(settings, cluster.dialer(2), &Metrics::new()).await;
    assert!(matches!(refused, Err(RaftFailure::WrongNode { expected: 2, found: 1, .. })), "{refused:?}");
    let mut settings = cluster.settings(1);
    settings.cluster_id = "another".to_owned();
    let refused = Raft::open(settings, cluster.dialer(1), &Metrics::new()).await;
    assert!(matches!(refused, Err(RaftFailure::WrongCluster { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_forgot_its_log_is_refused_and_one_that_starts_all_the_same_never_ends_the_leader() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let forgetful = leader % 3 + 1;
    let last = cluster.propose(plan("before")).await.log_index;
    cluster.wait_applied(last).await;
    cluster.stop(forgetful).await;
    std::fs::remove_dir_all(cluster.settings(forgetful).data_dir.join("raft")).unwrap();
    let refused = Raft::open(cluster.settings(forgetful), cluster.dialer(forgetful), &Metrics::new()).await;
    assert!(matches!(refused, Err(RaftFailure::LostLog { .. })), "{refused:?}");

    cluster.wipe(forgetful);
    let heard = |cluster: &Cluster| {
        let members = cluster.raft(leader).members();
        members.into_iter().find(|member| member.raft_id == forgetful).unwrap().heard
    };
    cluster.start(forgetful).await;
    for name in ["after-1", "after-2", "after-3"] {
        // An answer to a heartbeat, which says that it has nothing.
        let (began, before) = (Instant::now(), heard(&cluster));
        wait_until("it has answered the leader", || {
            heard(&cluster).is_some_and(|heard| heard > began && Some(heard) > before)
        })
        .await;
        let end = harness::deadline();
        cluster.raft(leader).propose(plan(name), end).await.expect("the leader leads on, with the other");
    }
    assert!(cluster.raft(leader).leadership().borrow().this);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_gone_is_down_to_the_leader_until_it_is_back() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let gone = leader % 3 + 1;
    let down = |cluster: &Cluster| -> Vec<u64> {
        let members = cluster.raft(leader).members().into_iter();
        members.filter(|member| member.down).map(|member| member.raft_id).collect()
    };
    wait_until("all are heard", || down(&cluster).is_empty()).await;
    cluster.stop(gone).await;
    wait_until("it is down", || down(&cluster) == [gone]).await;
    cluster.start(gone).await;
    wait_until("it is back", || down(&cluster).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_nodes_become_voters_and_hold_the_same_state() {
    let cluster = Cluster::of(3).await;
    let mut last = 0;
    for number in 0..20 {
        last = cluster.propose(plan(&format!("p{number}"))).await.log_index;
    }
    cluster.wait_applied(last).await;
    let leader = cluster.leader().await;
    let rows = harness::rows(cluster.raft(leader));
    for id in 1..=3 {
        assert_eq!(harness::rows(cluster.raft(id)), rows);
    }
    let members = cluster.raft(leader).members();
    assert_eq!(members.iter().map(|member| member.raft_id).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(members.iter().all(|member| member.voter && member.free_bytes.is_some()), "{members:?}");
    wait_until("the leader knows how far all are", || {
        cluster.raft(leader).members().iter().all(|member| member.matched >= Some(last))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_when_the_leader_is_lost() {
    let mut cluster = Cluster::of(3).await;
    cluster.propose(plan("before")).await;
    let lost = cluster.leader().await;
    cluster.kill(lost);
    let after = cluster.propose(plan("after")).await;
    assert_ne!(cluster.leader().await, lost);
    cluster.start(lost).await;
    cluster.wait_applied(after.log_index).await;
    assert!(harness::has_plan(cluster.raft(lost), "before") && harness::has_plan(cluster.raft(lost), "after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_killed_at_once_finds_everything_again() {
    let mut cluster = Cluster::of(3).await;
    let mut last = 0;
    for number in 0..10 {
        last = cluster.propose(plan(&format!("p{number}"))).await.log_index;
    }
    for id in 1..=3 {
        cluster.kill(id);
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let after = cluster.propose(plan("after")).await;
    assert!(after.log_index > last);
    cluster.wait_applied(after.log_index).await;
    for id in 1..=3 {
        assert!((0..10).all(|number| harness::has_plan(cluster.raft(id), &format!("p{number}"))), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_to_propose_but_reads_what_was_acknowledged() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    for (number, id) in (1..=3).filter(|id| *id != leader).enumerate() {
        let follower = cluster.raft(id);
        let refused = follower.propose(plan("refused"), harness::deadline()).await.unwrap_err();
        assert_eq!(refused, ProposeFailure::NotLeader { leader: Some(leader) });
        let name = format!("read{number}");
        cluster.propose(plan(&name)).await;
        follower.read_barrier(harness::deadline()).await.unwrap();
        assert!(harness::has_plan(follower, &name));
    }
    cluster.raft(leader).read_barrier(harness::deadline()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_are_counted_by_what_became_of_them_and_the_log_says_where_it_stands() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = if leader == 1 { 2 } else { 1 };
    let proposals = |id, kind: &str| cluster.counted(id, &format!("sluice_raft_proposals_total{{kind=\"{kind}\"}}"));
    let before = proposals(leader, "applied");
    let last = cluster.propose(plan("one")).await.log_index;
    assert_eq!(proposals(leader, "applied"), before + 1);
    let large = harness::plan_with("large", &"x".repeat(2 << 20));
    cluster.raft(leader).propose(large, harness::deadline()).await.unwrap_err();
    cluster.raft(follower).propose(plan("refused"), harness::deadline()).await.unwrap_err();
    assert_eq!((proposals(leader, "too_large"), proposals(follower, "not_leader")), (1, 1));
    assert_eq!(cluster.counted(leader, "sluice_raft_proposals_in_flight"), 0);
    assert!(cluster.counted(leader, "sluice_raft_elections_total") > 0);
    wait_until("the log says that it has come there", || {
        let found = cluster.raft(leader).log_positions();
        [found.last, found.committed, found.applied].iter().all(|index| *index >= Some(last))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_acknowledged() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let soon = std::time::Instant::now() + Duration::from_millis(300);
    assert!(cluster.raft(leader).propose(plan("lost"), soon).await.is_err());
    let soon = std::time::Instant::now() + Duration::from_millis(300);
    assert!(cluster.raft(leader).read_barrier(soon).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_when_asked() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let next = if leader == 1 { 2 } else { 1 };
    cluster.propose(plan("before")).await;
    cluster.raft(leader).transfer_leadership(next).await;
    let mut watched = cluster.raft(next).leadership();
    tokio::time::timeout(FAST, watched.wait_for(|seen| seen.this)).await.unwrap().unwrap();
    cluster.propose(plan("after")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_gets_the_state_and_then_the_log() {
    let mut cluster = Cluster::with(3, |settings| {
        settings.snapshot_log_bytes = 64 << 10;
        settings.kept_log_entries = 4;
    })
    .await;
    let leader = cluster.leader().await;
    let behind = if leader == 3 { 2 } else { 3 };
    let missed = cluster.raft(leader).log_positions().committed;
    cluster.kill(behind);
    let filler = "x".repeat(4 << 10);
    let mut last = 0;
    for number in 0..64 {
        last = cluster.propose(harness::plan_with(&format!("p{number}"), &filler)).await.log_index;
    }
    let leader = cluster.leader().await;
    wait_until("no log holds what the node missed", || {
        [1, 2, 3].into_iter().filter(|id| *id != behind).all(|id| cluster.raft(id).log_positions().purged > missed)
    })
    .await;
    let view = cluster.raft(leader).view();
    cluster.start(behind).await;
    last = last.max(cluster.propose(plan("after")).await.log_index);
    cluster.wait_applied(last).await;
    let rows = harness::rows(cluster.raft(leader));
    assert_eq!(harness::rows(cluster.raft(behind)), rows);
    assert_ne!(harness::state_folder(&cluster.settings(behind)), "state-1");
    assert!(!harness::view_has_plan(&view, "after"));
    cluster.stop(behind).await;
    cluster.start(behind).await;
    cluster.wait_applied(last).await;
    assert_eq!(harness::rows(cluster.raft(behind)), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_gets_the_state_over_the_wire() {
    let mut cluster = Cluster::with(1, |settings| {
        settings.snapshot_log_bytes = 32 << 10;
        settings.kept_log_entries = 1;
    })
    .await;
    let filler = "x".repeat(4 << 10);
    for number in 0..32 {
        cluster.propose(harness::plan_with(&format!("p{number}"), &filler)).await;
    }
    wait_until("a snapshot is taken", || harness::snapshots(&cluster.settings(1)) > 0).await;
    let old = cluster.raft(1).view();
    cluster.add(2).await;
    let last = cluster.propose(plan("after")).await.log_index;
    cluster.wait_applied(last).await;
    assert_eq!(harness::rows(cluster.raft(2)), harness::rows(cluster.raft(1)));
    assert_ne!(harness::state_folder(&cluster.settings(2)), "state-1");
    assert!(harness::view_has_plan(&old, "p0") && !harness::view_has_plan(&old, "after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_another_node_or_cluster_is_refused() {
    use sluice_proto::raft::ReadIndexRequest;
    use sluice_rpc::raft::raft_client::RaftClient;
    let cluster = Cluster::of(1).await;
    let channel = cluster.raft(1).peer_channel(1).await.unwrap();
    let mut client = RaftClient::new(channel);
    for (cluster_id, target) in [("another", 1), (harness::CLUSTER, 2)] {
        let refused =
            client.read_index(ReadIndexRequest { cluster_id: cluster_id.to_owned(), target }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    }
    let asked = ReadIndexRequest { cluster_id: harness::CLUSTER.to_owned(), target: 1 };
    assert!(client.read_index(asked).await.unwrap().into_inner().read_log_id.is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute of every core; run it when timeouts or threads of raft change"]
async fn leadership_is_held_for_a_minute_while_every_core_is_busy() {
    let cluster = Cluster::of(3).await;
    let before = *cluster.raft(cluster.leader().await).leadership().borrow();
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..3 * std::thread::available_parallelism().unwrap().get() {
        let stop = stop.clone();
        std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
    }
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while std::time::Instant::now() < end {
        cluster.propose(plan("busy")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(*cluster.raft(cluster.leader().await).leadership().borrow(), before);
}
