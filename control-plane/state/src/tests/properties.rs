//! Properties over random logs. A failing case prints the seed that `PROPTEST_RNG_SEED` takes, and its smallest form.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use sluice_proto::raft::{Command, Outcome, Progress, Table, command, outcome, row_change::Kind};

use super::{
    cluster::*,
    invariants::{self, Copy, digest_of, visible},
};
use crate::{Draft, MemoryTables, View, apply, apply::Bounds, apply_encoded, keys, rows};

const BOUNDS: Bounds = Bounds {
    changes_max: 24,
    change_key_bytes_max: 700,
    requests_max: 12,
    part_bytes_max: 4_000,
    audit_rows_max: 5,
    refused_rows_max: 3,
    removed_nodes_max: 4,
};

fn api() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a1"), Just("a2")]
}

fn short(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(names)
}

fn row_change() -> impl Strategy<Value = Kind> {
    let resource = || short(&["r1", "r2", "r3"]);
    let deployment = || short(&["d1", "d2", "d3"]);
    let stage_name = || short(&["prod", "test"]);
    let document = || short(&["one", "two", "three"]);
    let key_id = || short(&["k1", "k2", "k3"]);
    let plan_id = || short(&["p1", "p2"]);
    prop_oneof![
        3 => (api(), document()).prop_map(|(a, d)| put(Table::RestApi, &[a], d.as_bytes())),
        3 => (api(), resource(), document()).prop_map(|(a, r, d)| put(Table::Resource, &[a, r], d.as_bytes())),
        1 => (api(), resource()).prop_map(|(a, r)| delete(Table::Resource, &[a, r])),
        4 => (api(), resource(), short(&["GET", "ANY"]), document())
            .prop_map(|(a, r, v, d)| put(Table::Method, &[a, r, v], d.as_bytes())),
        1 => (api(), resource()).prop_map(|(a, r)| delete(Table::Method, &[a, r, "GET"])),
        2 => (api(), document()).prop_map(|(a, d)| put(Table::Model, &[a, "Pet"], d.as_bytes())),
        4 => (api(), deployment(), proptest::option::of(stage_name()), any::<bool>()).prop_map(|(a, d, s, models)| {
            let Kind::Deploy(mut deploy) = deploy(a, d, s) else { unreachable!() };
            deploy.models = if models { vec!["Pet".to_owned()] } else { Vec::new() };
            Kind::Deploy(deploy)
        }),
        2 => (api(), stage_name(), deployment(), proptest::option::of(deployment()))
            .prop_map(|(a, s, d, canary)| Kind::Put(stage(a, s, d, canary))),
        1 => (api(), stage_name()).prop_map(|(a, s)| delete(Table::Stage, &[a, s])),
        1 => (api(), deployment()).prop_map(|(a, d)| delete(Table::Deployment, &[a, d])),
        1 => (api(), deployment(), document()).prop_map(|(a, d, doc)| put(Table::Deployment, &[a, d], doc.as_bytes())),
        2 => (key_id(), 0..4_u8, any::<bool>()).prop_map(|(k, value, enabled)| key(k, value, enabled)),
        1 => key_id().prop_map(|k| delete(Table::ApiKey, &[k])),
        2 => (plan_id(), vec((api(), stage_name()), 0..2)).prop_map(|(p, s)| plan(p, &s)),
        1 => plan_id().prop_map(|p| delete(Table::Plan, &[p])),
        2 => (plan_id(), key_id()).prop_map(|(p, k)| put(Table::PlanKey, &[p, k], b"member")),
        1 => (plan_id(), key_id()).prop_map(|(p, k)| delete(Table::PlanKey, &[p, k])),
        1 => (api(), document()).prop_map(|(a, d)| import(a, &imported(a, d)).1),
        1 => (short(&["x", "y"]), document()).prop_map(|(s, d)| put(Table::Setting, &[s], d.as_bytes())),
        1 => (api(), 0..20_u64, any::<bool>()).prop_map(|(a, v, gone)| {
            if gone { delete(Table::RestApi, &[a]) } else { put_at(Table::RestApi, &[a], b"at", v) }
        }),
    ]
}

fn imported<'a>(api: &'a str, document: &'a str) -> Vec<(Table, Vec<&'a str>, &'a str)> {
    vec![
        (Table::RestApi, vec![api], document),
        (Table::Resource, vec![api, "r1"], document),
        (Table::Method, vec![api, "r1", "GET"], document),
        (Table::Model, vec![api, "Pet"], document),
    ]
}

/// A command and how many milliseconds after the one before.
fn step() -> impl Strategy<Value = (u64, Command)> {
    let kind = prop_oneof![
        12 => prop_oneof![3 => vec(row_change(), 1), 1 => vec(row_change(), 2..5)].prop_map(change),
        2 => (api(), short(&["one", "two", "three"])).prop_map(|(a, d)| import(a, &imported(a, d)).0),
        1 => Just(trim()),
        1 => (short(&["ann", "bob"]), short(&["admin", "viewer"]), 0..3_u8).prop_map(|(name, role, hash)| {
            command::Kind::CreateOperator(sluice_proto::raft::CreateOperator {
                stamp: None,
                operator: Some(sluice_proto::raft::Operator {
                    name: name.to_owned(),
                    role: role.to_owned(),
                    token_hash: vec![hash; 32].into(),
                    ..Default::default()
                }),
            })
        }),
        1 => short(&["ann", "bob"]).prop_map(|name| {
            command::Kind::DeleteOperator(sluice_proto::raft::DeleteOperator { stamp: None, name: name.to_owned() })
        }),
        1 => (short(&["done", "denied"]), 1..4_usize).prop_map(|(outcome, count)| {
            let entry = sluice_proto::raft::AuditEntry { outcome: outcome.to_owned(), ..Default::default() };
            command::Kind::RecordCalls(sluice_proto::raft::RecordCalls { stamp: None, entries: vec![entry; count] })
        }),
        1 => (1..4_u64).prop_map(|n| command::Kind::PutNode(sluice_proto::raft::PutNode {
            stamp: None,
            node: Some(node(&format!("n{n}"), "control", n % 2 + 1)),
        })),
    ];
    let named = proptest::option::weighted(0.5, (0..4_u8, 0..2_u8));
    (prop_oneof![Just(1_000_u64), Just(5 * 60_000)], kind, named).prop_map(|(elapsed, kind, named)| {
        // The time of the id is filled in when the log is written.
        (elapsed, stamped(kind, 0, named.map(|(tail, hash)| request(0, tail, hash))))
    })
}

/// A log with times: first the founding and an API that is served.
pub(super) fn log() -> impl Strategy<Value = Vec<Command>> {
    vec(step(), 1..80).prop_map(|steps| {
        let mut now_ms = 1_000_000_000_000;
        let mut log: Vec<Command> = prelude().into_iter().map(|kind| stamped(kind, now_ms, None)).collect();
        for (elapsed, mut command) in steps {
            now_ms += elapsed;
            let mut kind = command.kind.take().unwrap();
            let request = match &mut kind {
                command::Kind::Change(command) => command.stamp.take().and_then(|stamp| stamp.request),
                _ => None,
            };
            // Ids of the same half hour are the same requests: some commands are replays.
            let request = request.map(|named| request_at(now_ms / 1_800_000 * 1_800_000, &named));
            log.push(stamped(kind, now_ms, request));
        }
        log
    })
}

/// Something for the random commands to work on: without it, most would be refused.
fn prelude() -> Vec<command::Kind> {
    let api = |api: &str| {
        let mut rows = vec![put(Table::RestApi, &[api], b"one")];
        rows.extend(["r1", "r2", "r3"].map(|resource| put(Table::Resource, &[api, resource], b"one")));
        rows.extend(["r1", "r2"].map(|resource| put(Table::Method, &[api, resource, "GET"], b"two")));
        rows.extend([put(Table::Model, &[api, "Pet"], b"pet"), deploy(api, "d1", Some("prod"))]);
        change(rows)
    };
    let others =
        vec![plan("p1", &[]), key("k1", 0, true), key("k2", 1, true), put(Table::PlanKey, &["p1", "k1"], b"m")];
    vec![found(), api("a1"), api("a2"), change(others)]
}

fn request_at(time_ms: u64, named: &sluice_proto::raft::RequestId) -> sluice_proto::raft::RequestId {
    request(time_ms, named.id[15], named.hash[0])
}

/// Applies a log, checking every invariant after each command; returns the visible rows at each number.
pub(super) fn run(log: &[Command]) -> (Cluster, BTreeMap<u64, Copy>, Vec<Outcome>) {
    let mut cluster = Cluster { tables: MemoryTables::new(), bounds: BOUNDS, index: 0, now_ms: 0 };
    let (mut history, mut outcomes) = (BTreeMap::from([(0, Copy::new())]), Vec::new());
    for command in log {
        let before = cluster.tables.clone();
        let outcome = cluster.apply_command(command);
        invariants::check(&cluster.tables);
        let number = cluster.view().number();
        let copy = visible(&cluster.tables);
        if let Some(known) = history.insert(number, copy.clone()) {
            assert_eq!(known, copy, "what data nodes see changes only with the number");
        }
        if matches!(outcome.kind, Some(outcome::Kind::Rejected(_))) {
            assert_eq!(without_bookkeeping(&before), without_bookkeeping(&cluster.tables), "a refusal leaves no trace");
        }
        outcomes.push(outcome);
    }
    (cluster, history, outcomes)
}

/// All rows but those of request ids, and the stamp.
pub(super) fn without_bookkeeping(tables: &MemoryTables) -> (BTreeMap<Vec<u8>, Vec<u8>>, Progress) {
    let mut progress = rows::progress(tables);
    progress.stamp_ms = 0;
    progress.requests = 0;
    progress.requests_next_ms = 0;
    progress.requests_trimmed_ms = 0;
    let mut rows = tables.rows().clone();
    rows.retain(|key, _| !matches!(key[0], 10 | 11) && key != keys::PROGRESS);
    (rows, progress)
}

fn take_delta(copy: &mut Copy, delta: Whole) {
    for gone in delta.tombstones {
        copy.remove(&(gone.table, gone.key));
    }
    for row in delta.rows {
        copy.insert((row.table, row.key), (row.number, row.value.to_vec()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_and_any_delta_leads_from_an_old_copy_to_the_new_rows(log in log()) {
        let (cluster, history, _) = run(&log);
        let now = visible(&cluster.tables);
        let trimmed = cluster.view().trimmed_through();
        for (number, mut copy) in history {
            let delta = cluster.delta(number);
            prop_assert_eq!(delta.is_some(), number >= trimmed);
            let Some(delta) = delta else { continue };
            prop_assert_eq!(delta.digest, digest_of(&now));
            take_delta(&mut copy, delta);
            prop_assert_eq!(&copy, &now, "from {}", number);
        }
        prop_assert!(cluster.delta(cluster.view().number() + 1).is_none());
        let progress = rows::progress(&cluster.tables);
        prop_assert!(progress.changes <= BOUNDS.changes_max);
        prop_assert!(progress.change_key_bytes <= BOUNDS.change_key_bytes_max);
        prop_assert!(progress.requests <= BOUNDS.requests_max + 1);
    }

    #[test]
    fn the_same_log_gives_the_same_bytes_however_it_is_batched(
        log in log(), cuts in vec(1..9_usize, 1..9),
    ) {
        let (one_by_one, _, outcomes) = run(&log);
        let mut tables = MemoryTables::new();
        let (mut rest, mut index, mut batched) = (&log[..], 0, Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            let mut draft = Draft::new(&tables);
            for command in batch {
                index += 1;
                batched.push(apply::apply_within(BOUNDS, &mut draft, index, command).outcome);
            }
            let writes = draft.into_writes();
            tables.write(writes);
            rest = later;
        }
        prop_assert_eq!(batched, outcomes);
        prop_assert_eq!(&tables, &one_by_one.tables);
        prop_assert_eq!(View(&tables).digest(), one_by_one.view().digest());
    }

    #[test]
    fn a_request_that_is_sent_again_gets_the_same_answer_and_does_nothing(log in log()) {
        let (mut cluster, _, _) = run(&log);
        for command in &log {
            let Some(command::Kind::Change(change)) = &command.kind else { continue };
            let Some(stamp) = &change.stamp else { continue };
            let Some(request) = &stamp.request else { continue };
            let id: [u8; 16] = request.id[..].try_into().unwrap();
            let Some(known) = cluster.view().request(&stamp.actor, &id) else { continue };
            let before = cluster.tables.clone();
            let again = cluster.apply_command(command);
            prop_assert_eq!(&cluster.tables, &before);
            if known.hash == request.hash {
                prop_assert_eq!(Some(&again), known.outcome.as_ref());
            } else {
                prop_assert_eq!(code(again), sluice_proto::raft::rejected::Code::RequestReused);
            }
        }
    }

    #[test]
    fn no_bytes_make_apply_panic(
        log in log(), garbage in vec(any::<u8>(), 0..200), flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut tables = MemoryTables::new();
        for (index, command) in log.iter().enumerate() {
            let mut bytes = prost::Message::encode_to_vec(command);
            if index > 0 && index % 2 == 0 {
                let place = flip.index(bytes.len());
                bytes[place] ^= 1 << bit;
            }
            let mut draft = Draft::new(&tables);
            apply_encoded(&mut draft, index as u64 + 1, &bytes);
            apply_encoded(&mut draft, index as u64 + 1, &garbage);
            let writes = draft.into_writes();
            tables.write(writes);
        }
        invariants::check(&tables);
    }
}
