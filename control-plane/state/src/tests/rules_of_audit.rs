//! Rules of the audit trail, case by case.

use sluice_model::limits;
use sluice_proto::raft::{AuditCall, AuditEntry, Command, RecordCalls, Stamp, Table, command::Kind, rejected::Code};

use super::cluster::*;
use crate::{apply::Bounds, rows};

fn call() -> AuditCall {
    AuditCall { role: "admin".to_owned(), method: "/a/B".to_owned(), ..AuditCall::default() }
}

/// The command, as a call of `ann`'s causes it.
fn audited(cluster: &Cluster, kind: Kind, tail: u8) -> Command {
    let mut command = stamped(kind, cluster.now_ms, Some(request(cluster.now_ms, tail, 1)));
    if let Some(Kind::Change(change)) = &mut command.kind {
        let stamp = change.stamp.as_mut().unwrap();
        *stamp = Stamp { actor: "ann".to_owned(), audit: Some(call()), ..stamp.clone() };
    }
    command
}

fn record(outcomes: &[&str]) -> Kind {
    let entry = |outcome: &&str| AuditEntry { outcome: (*outcome).to_owned(), time_ms: 1, ..AuditEntry::default() };
    Kind::RecordCalls(RecordCalls { stamp: None, entries: outcomes.iter().map(entry).collect() })
}

fn outcomes(cluster: &Cluster) -> Vec<String> {
    cluster.view().audit(None).map(|(_, entry)| entry.outcome).collect()
}

#[test]
fn a_call_leaves_one_entry_in_the_command_that_it_causes_and_none_when_nothing_was_done() {
    let mut cluster = Cluster::founded();
    let command = audited(&cluster, change(vec![plan("p1", &[])]), 1);
    done(cluster.apply_command(&command));
    done(cluster.apply_command(&command));
    let refused = audited(&cluster, change(vec![delete(Table::Plan, &["p9"])]), 2);
    assert_eq!(code(cluster.apply_command(&refused)), Code::NotFound);
    cluster.done(vec![plan("p2", &[])]);
    let entries: Vec<_> = cluster.view().audit(None).map(|(_, entry)| entry).collect();
    let expected = AuditEntry {
        actor: "ann".to_owned(),
        call: Some(call()),
        request_id: request(cluster.now_ms, 1, 1).id,
        number: 1,
        outcome: "done".to_owned(),
        time_ms: cluster.now_ms,
        ..AuditEntry::default()
    };
    assert_eq!(entries, [expected], "a repetition and a refusal are no second call that was carried out");
    assert_eq!(cluster.view().number(), 2, "the entries move nothing");
}

#[test]
fn entries_are_listed_newest_first_across_both_tables_and_from_a_key_on() {
    let mut cluster = Cluster::founded();
    done(cluster.apply(record(&["denied", "done", "invalid"])));
    done(cluster.apply(record(&["done"])));
    done(cluster.apply(record(&["conflict"])));
    assert_eq!(outcomes(&cluster), ["conflict", "done", "invalid", "done", "denied"]);
    let view = cluster.view();
    let (third, _) = view.audit(None).nth(2).unwrap();
    let rest: Vec<_> = view.audit(Some(&third)).map(|(_, entry)| entry.outcome).collect();
    assert_eq!(rest, ["done", "denied"]);
    assert_eq!(view.number(), 0);
}

#[test]
fn refused_calls_push_out_each_other_and_no_change() {
    let mut cluster =
        Cluster { bounds: Bounds { audit_rows_max: 3, refused_rows_max: 2, ..Bounds::PRODUCT }, ..Cluster::founded() };
    for tail in 1..=5 {
        let command = audited(&cluster, change(vec![plan("p1", &[])]), tail);
        done(cluster.apply_command(&command));
        done(cluster.apply(record(&["denied", "invalid"])));
    }
    assert_eq!(outcomes(&cluster), ["invalid", "denied", "done", "done", "done"]);
    assert_eq!(rows::progress(&cluster.tables).audit_rows, 3);
}

#[test]
fn entries_age_and_then_a_trim_is_due() {
    let mut cluster = Cluster::founded();
    let command = audited(&cluster, change(Vec::new()), 1);
    done(cluster.apply_command(&command));
    cluster.now_ms += limits::AUDIT_MS_MAX - 1;
    done(cluster.apply(trim()));
    assert_eq!(outcomes(&cluster), ["done"]);
    assert!(!cluster.view().trim_is_due(cluster.now_ms));
    cluster.now_ms += 1;
    assert!(cluster.view().trim_is_due(cluster.now_ms));
    done(cluster.apply(trim()));
    assert!(outcomes(&cluster).is_empty());
    assert!(!cluster.view().trim_is_due(cluster.now_ms));
}

#[test]
fn too_many_and_too_large_entries_are_refused() {
    let mut cluster = Cluster::founded();
    assert_eq!(code(cluster.apply(record(&["denied"; limits::RECORDED_CALLS_MAX + 1]))), Code::Invalid);
    let large = "x".repeat(limits::AUDIT_CALL_BYTES_MAX * 2);
    assert_eq!(code(cluster.apply(record(&[&large]))), Code::Invalid);
    let mut command = audited(&cluster, change(Vec::new()), 1);
    if let Some(Kind::Change(change)) = &mut command.kind {
        change.stamp.as_mut().unwrap().audit.as_mut().unwrap().method = large;
    }
    assert_eq!(code(cluster.apply_command(&command)), Code::Invalid);
}
