//! A follower against control nodes on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod defects;
mod fake_control;

use std::{path::Path, time::Duration};

use fake_control::{CLUSTER, FakeControl, LOOKUP_KEY, Session, State};
use prost::Message;
use sluice_follow::{FollowSettings, Follower, SnapshotCell};
use sluice_identity::{Dialer, Identity, NodeRole, Plaintext};
use sluice_model::{Revision, part::LookupHash};
use sluice_proto::{
    model::{Stage, UsagePlan},
    raft::{KeyView, Table},
    sync::{Detached, from_control, from_data},
};
use sluice_telemetry::Metrics;

/// Text in a row that the follower cannot compile without a panic.
const POISON: &str = "poison";

/// Far above what any step takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

fn follower(folder: &Path, control: &[&str]) -> Follower {
    let identity = Identity::plaintext(CLUSTER, NodeRole::Data, "data-1");
    let settings = FollowSettings {
        data_dir: folder.to_owned(),
        control: control.iter().map(|address| (*address).to_owned()).collect(),
        cluster_id: CLUSTER.into(),
        node_id: "data-1".into(),
        address: "127.0.0.1:8080".into(),
        version: "test".into(),
        fail_compile: Some(POISON.into()),
    };
    let dialer = Dialer::of_node(&identity, Plaintext::LoopbackOnly).unwrap();
    Follower::start(settings, dialer, None, &Metrics::new()).unwrap()
}

fn plan(id: &str) -> Vec<u8> {
    UsagePlan { level: 1, id: id.into(), ..UsagePlan::default() }.encode_to_vec()
}

fn key(id: &str, hash: u8) -> Vec<u8> {
    let hash = vec![hash; 16].into();
    KeyView { key_id: id.into(), hash, enabled: true, plan_ids: vec![], ..KeyView::default() }.encode_to_vec()
}

fn served(cell: &SnapshotCell) -> Option<u64> {
    cell.load().map(|served| served.snapshot.revision.number)
}

async fn serves(follower: &Follower, number: u64) {
    let mut status = follower.status();
    status.wait_for(|status| status.revision.as_ref().is_some_and(|revision| revision.number == number)).await.unwrap();
}

/// Runs a test with a deadline.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the test hangs") });
}

/// A node that has taken a first snapshot.
async fn begun(control: &mut FakeControl, folder: &Path, state: &State) -> (Follower, Session) {
    let follower = follower(folder, &[&control.address]);
    let mut session = control.welcomed().await;
    session.snapshot(state).await;
    assert_eq!(session.applied().await.revision, Some(state.revision()));
    (follower, session)
}

#[test]
fn a_new_node_takes_a_snapshot_and_then_deltas_and_answers_after_the_swap() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let follower = follower(folder.path(), &[&control.address]);
        let cell = follower.cell();
        let mut session = control.welcomed().await;
        assert_eq!((session.hello.revision.clone(), session.hello.node_id.as_str()), (None, "data-1"));
        assert!(cell.load().is_none());

        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1")).put(Table::KeyView, b"k", key("k", 1));
        session.snapshot(&first).await;
        assert_eq!(session.applied().await.revision, Some(first.revision()));
        let before = cell.load().unwrap();
        assert_eq!((before.snapshot.revision.number, before.lookup_key), (7, LOOKUP_KEY));
        assert!(before.snapshot.plan("plan1").is_some());

        let second = first.put(Table::KeyView, b"k", key("k", 2)).without(Table::Plan, b"plan1");
        session.delta(&first, &second).await;
        assert_eq!(session.applied().await.revision, Some(second.revision()));
        let after = cell.load().unwrap().snapshot;
        assert!(after.plan("plan1").is_none());
        assert!(after.key(&LookupHash([1; 16])).is_none() && after.key(&LookupHash([2; 16])).is_some());
        assert!(before.snapshot.plan("plan1").is_some(), "who holds the old snapshot keeps it");
        follower.stop().await;
    });
}

#[test]
fn a_restarted_node_serves_its_copy_without_a_control_node_and_says_what_it_holds() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (running, mut session) = begun(&mut control, folder.path(), &first).await;
        let second = first.put(Table::KeyView, b"k", key("k", 1));
        session.delta(&first, &second).await;
        session.applied().await;
        running.stop().await;

        let alone = follower(folder.path(), &[]);
        serves(&alone, second.number).await;
        let loaded = alone.cell().load().unwrap();
        assert!(loaded.snapshot.plan("plan1").is_some() && loaded.snapshot.key_count() == 1);
        assert_eq!(loaded.lookup_key, LOOKUP_KEY);

        // The copy knows the control node, though the settings do not.
        let mut session = control.session().await;
        assert_eq!(session.hello.revision, Some(second.revision()));
        session.welcome(&[&control.address]).await;
        assert_eq!(session.applied().await.revision, Some(second.revision()));
        let third = second.without(Table::KeyView, b"k");
        session.delta(&second, &third).await;
        session.applied().await;
        assert_eq!(alone.cell().load().unwrap().snapshot.key_count(), 0);
        alone.stop().await;
    });
}

#[test]
fn a_delta_that_does_not_fit_changes_nothing_and_asks_for_all() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (follower, mut session) = begun(&mut control, folder.path(), &first).await;
        let second = first.put(Table::Plan, b"plan2", plan("plan2"));
        let mut wrong = second.since(&first);
        wrong.digest = first.digest();
        session.say(from_control::Kind::Delta(wrong)).await;
        assert!(session.resync().await.contains("digest"));
        assert_eq!(served(&follower.cell()), Some(first.number));

        let other = State { generation: "h".into(), number: 1, rows: second.rows.clone() };
        session.say(from_control::Kind::Delta(other.since(&first))).await;
        session.snapshot(&other).await;
        assert_eq!(session.applied().await.revision, Some(other.revision()), "another generation comes whole");
        assert_eq!(follower.cell().load().unwrap().snapshot.revision, Revision::new("h", 1));
        follower.stop().await;
    });
}

#[test]
fn digests_go_both_ways_and_a_difference_asks_for_all() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (follower, mut session) = begun(&mut control, folder.path(), &first).await;
        let beat = session.beat().await;
        assert_eq!((beat.revision, beat.digest), (Some(first.revision()), first.digest()));
        // Of another revision: says nothing.
        session.say(first.put(Table::Plan, b"x", plan("x")).beat()).await;
        session.say(first.beat()).await;
        let torn = State { rows: vec![], ..first.clone() };
        session.say(torn.beat()).await;
        assert!(session.resync().await.contains("beat"));
        session.snapshot(&first).await;
        assert_eq!(session.applied().await.revision, Some(first.revision()));
        follower.stop().await;
    });
}

#[test]
fn a_node_with_a_wrong_row_says_what_it_holds_by_table_and_takes_one_table() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        // What the control node has, and what came to the node: one row differs.
        let right = State::new(5).put(Table::Plan, b"plan1", plan("plan1")).put(Table::KeyView, b"k", key("k", 1));
        let wrong = State { number: right.number, ..right.put(Table::KeyView, b"k", key("k", 2)) };
        let (follower, mut session) = begun(&mut control, folder.path(), &wrong).await;
        let beat = session.beat().await;
        let sent: Vec<_> = beat.tables.iter().map(|each| (each.table(), each.digest.clone())).collect();
        for table in [Table::Plan, Table::KeyView] {
            assert!(sent.contains(&(table, wrong.digest_of(|row| row.table() == table))), "{table:?}");
        }
        session.say(right.beat()).await;
        let resync = session.resync_whole().await;
        assert_eq!((resync.revision, resync.tables.len()), (Some(wrong.revision()), 2));
        session.table(&right, Table::KeyView).await;
        assert_eq!(session.applied().await.revision, Some(right.revision()));
        let served = follower.cell().load().unwrap().snapshot;
        assert!(served.plan("plan1").is_some() && served.key_count() == 1);
        assert!(served.key(&LookupHash([1; 16])).is_some() && served.key(&LookupHash([2; 16])).is_none());
        let beat = session.beat().await;
        assert_eq!(beat.digest, right.digest());
        follower.stop().await;

        let again = self::follower(folder.path(), &[]);
        serves(&again, right.number).await;
        assert!(
            again.cell().load().unwrap().snapshot.key(&LookupHash([1; 16])).is_some(),
            "the copy on disk is mended"
        );
        again.stop().await;
    });
}

#[test]
fn a_control_node_that_is_behind_detached_or_gone_is_left_for_another() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (follower, session) = begun(&mut control, folder.path(), &first).await;
        drop(session);

        let session = control.session().await;
        session.say(from_control::Kind::Behind(Default::default())).await;
        let session = control.welcomed().await;
        session.say(from_control::Kind::Detached(Detached {})).await;
        let session = control.welcomed().await;
        session.snapshot(&State::new(2)).await;
        let mut session = control.welcomed().await;
        assert_eq!(session.hello.revision, Some(first.revision()), "an older snapshot was not taken");
        session.applied().await;
        assert_eq!(served(&follower.cell()), Some(first.number));
        let second = first.without(Table::Plan, b"plan1");
        session.delta(&first, &second).await;
        assert_eq!(session.applied().await.revision, Some(second.revision()));
        follower.stop().await;
    });
}

#[test]
fn another_control_node_takes_over() {
    run(async {
        let (folder, mut one, mut two) =
            (tempfile::tempdir().unwrap(), FakeControl::start().await, FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let follower = follower(folder.path(), &[&one.address]);
        let mut session = one.session().await;
        session.welcome(&[&one.address, &two.address]).await;
        session.snapshot(&first).await;
        session.applied().await;
        drop((session, one));
        let session = two.welcomed().await;
        assert_eq!(session.hello.revision, Some(first.revision()));
        follower.stop().await;
    });
}

#[test]
fn half_a_snapshot_is_never_served_and_forgotten_with_its_stream() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let first = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (follower, session) = begun(&mut control, folder.path(), &first).await;
        let second = first.put(Table::Plan, b"plan2", plan("plan2"));
        let start = sluice_proto::sync::SnapshotStart { revision: Some(second.revision()), tables: vec![] };
        session.say(from_control::Kind::SnapshotStart(start)).await;
        session
            .say(from_control::Kind::SnapshotRows(sluice_proto::sync::SnapshotRows { rows: second.rows.clone() }))
            .await;
        drop(session);
        let mut session = control.welcomed().await;
        session.applied().await;
        let end = sluice_proto::sync::SnapshotEnd {
            revision: Some(second.revision()),
            digest: second.digest(),
            rows: second.rows.len() as u64,
        };
        session.say(from_control::Kind::SnapshotEnd(end)).await;
        session.resync().await;
        assert_eq!(served(&follower.cell()), Some(first.number));
        follower.stop().await;
    });
}

#[test]
fn what_is_broken_is_reported_with_the_revision_and_again_to_the_next_control_node() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let stage = Stage {
            level: 1,
            api_id: "api1".into(),
            stage_name: "prod".into(),
            deployment_id: "gone".into(),
            ..Stage::default()
        };
        let state = State::new(5).put(Table::Stage, b"api1/prod", stage.encode_to_vec());
        let follower = follower(folder.path(), &[&control.address]);
        let mut session = control.welcomed().await;
        session.snapshot(&state).await;
        let broken = session.applied().await.broken;
        assert_eq!((broken.len(), broken[0].api_id.as_str()), (1, "api1"));
        assert_eq!(broken[0].diagnostics[0].code, "content-missing");
        drop(session);
        let mut session = control.welcomed().await;
        assert_eq!(session.applied().await.broken, broken);
        follower.stop().await;
    });
}

#[test]
fn a_node_of_another_cluster_takes_nothing() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let follower = follower(folder.path(), &[&control.address]);
        let mut session = control.session().await;
        session
            .say(from_control::Kind::Welcome(sluice_proto::sync::Welcome {
                cluster_id: "another".into(),
                lookup_key: LOOKUP_KEY.to_vec().into(),
                ..Default::default()
            }))
            .await;
        assert!(matches!(session.heard().await, None | Some(from_data::Kind::Hello(_))));
        assert!(follower.cell().load().is_none());
        control.session().await;
        follower.stop().await;
    });
}
