//! Rules of request ids, case by case.

use sluice_model::limits;
use sluice_proto::raft::{RequestId, Table, rejected::Code};

use super::cluster::*;
use crate::apply::Bounds;

#[test]
fn the_same_request_is_answered_and_not_run_again() {
    let mut cluster = Cluster::founded();
    let request = request(cluster.now_ms, 1, 1);
    let first = done(cluster.apply_as(change(vec![put_at(Table::Plan, &["p1"], b"1", 0)]), Some(request.clone())));
    let again = done(cluster.apply_as(change(vec![put_at(Table::Plan, &["p1"], b"1", 0)]), Some(request)));
    assert_eq!(first, again);
    assert_eq!(cluster.view().number(), 1);
}

#[test]
fn a_refusal_is_replayed_too() {
    let mut cluster = Cluster::founded();
    let request = request(cluster.now_ms, 1, 1);
    let stage_first = || change(vec![put(Table::Resource, &["a1", "r1"], b"x")]);
    let first = refused(cluster.apply_as(stage_first(), Some(request.clone())));
    cluster.done(vec![put(Table::RestApi, &["a1"], b"api")]);
    assert_eq!(refused(cluster.apply_as(stage_first(), Some(request))), first);
}

#[test]
fn an_id_is_used_for_one_request() {
    let mut cluster = Cluster::founded();
    done(cluster.apply_as(change(vec![plan("p1", &[])]), Some(request(cluster.now_ms, 1, 1))));
    let other = cluster.apply_as(change(vec![plan("p2", &[])]), Some(request(cluster.now_ms, 1, 2)));
    assert_eq!(code(other), Code::RequestReused);
}

#[test]
fn an_id_older_than_what_was_forgotten_is_refused() {
    let mut cluster = Cluster::founded();
    let old = request(cluster.now_ms, 1, 1);
    done(cluster.apply_as(change(vec![plan("p1", &[])]), Some(old.clone())));
    cluster.now_ms += limits::REQUEST_MS_MAX;
    assert!(cluster.view().trim_is_due(cluster.now_ms));
    done(cluster.apply(trim()));
    assert_eq!(code(cluster.apply_as(change(vec![plan("p1", &[])]), Some(old))), Code::RequestTooOld);
    let fresh = request(cluster.now_ms, 1, 1);
    done(cluster.apply_as(change(vec![plan("p1", &[])]), Some(fresh)));
}

#[test]
fn an_id_of_a_fast_clock_is_kept_until_its_own_time_is_old() {
    let mut cluster = Cluster::founded();
    let ahead = request(cluster.now_ms + limits::REQUEST_MS_MAX, 1, 1);
    let first = done(cluster.apply_as(change(vec![plan("p1", &[])]), Some(ahead.clone())));
    cluster.now_ms += limits::REQUEST_MS_MAX + 1;
    done(cluster.apply(trim()));
    assert_eq!(done(cluster.apply_as(change(vec![plan("p1", &[])]), Some(ahead))), first);
    let too_far = request(cluster.now_ms + limits::REQUEST_MS_MAX + 1, 2, 1);
    assert_eq!(code(cluster.apply_as(change(Vec::new()), Some(too_far))), Code::Invalid);
}

#[test]
fn malformed_ids_are_invalid() {
    let mut cluster = Cluster::founded();
    let good = request(cluster.now_ms, 1, 1);
    let mut version_4 = good.id.to_vec();
    version_4[6] = 0x40;
    for wrong in [
        RequestId { id: good.id.slice(1..), ..good.clone() },
        RequestId { hash: good.hash.slice(1..), ..good.clone() },
        RequestId { id: version_4.into(), ..good.clone() },
    ] {
        assert_eq!(code(cluster.apply_as(change(Vec::new()), Some(wrong))), Code::Invalid);
    }
}

#[test]
fn remembered_requests_are_bounded_and_the_oldest_go_first() {
    let mut cluster = Cluster::founded();
    cluster.bounds = Bounds { requests_max: 5, ..Bounds::PRODUCT };
    let first = request(cluster.now_ms, 1, 1);
    done(cluster.apply_as(change(Vec::new()), Some(first.clone())));
    for tail in 2..10 {
        cluster.now_ms += 10;
        done(cluster.apply_as(change(Vec::new()), Some(request(cluster.now_ms, tail, 1))));
    }
    assert!(cluster.tables.rows().keys().filter(|key| key[0] == 10).count() <= 6);
    assert_eq!(code(cluster.apply_as(change(Vec::new()), Some(first))), Code::RequestTooOld);
}

#[test]
fn refused_requests_are_bounded_too() {
    let mut cluster = Cluster::founded();
    cluster.bounds = Bounds { requests_max: 5, ..Bounds::PRODUCT };
    for tail in 1..10 {
        cluster.now_ms += 10;
        let orphan = change(vec![put(Table::Resource, &["a1", "r1"], b"x")]);
        refused(cluster.apply_as(orphan, Some(request(cluster.now_ms, tail, 1))));
    }
    assert!(cluster.tables.rows().keys().filter(|key| key[0] == 10).count() <= 6);
}

#[test]
fn the_last_of_all_times_is_a_time() {
    let mut cluster = Cluster::founded();
    cluster.now_ms = u64::MAX;
    let made = request(cluster.now_ms >> 16, 1, 1);
    done(cluster.apply_as(change(Vec::new()), Some(made)));
    done(cluster.apply(trim()));
}

#[test]
fn deltas_reach_as_far_back_as_the_bound() {
    let mut cluster = Cluster::founded();
    cluster.bounds = Bounds { changes_max: 10, ..Bounds::PRODUCT };
    for number in 0..30 {
        cluster.done(vec![plan(&format!("p{number}"), &[])]);
    }
    assert_eq!(cluster.view().trimmed_through(), 20);
    assert!(cluster.delta(19).is_none());
    assert_eq!(cluster.delta(20).unwrap().rows.len(), 10);
}
