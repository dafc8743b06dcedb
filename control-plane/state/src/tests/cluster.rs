//! A cluster of one state machine in memory, and short names for commands.

use bytes::Bytes;
use prost::Message;
use sluice_model::{
    Digest, StateDigest,
    part::{build_parts, entry},
};
use sluice_proto::raft::{
    Change, Command, DeleteRow, Deploy, Done, FoundCluster, JoinToken, KeyFields, Node, Outcome, PutRow, Rejected,
    ReplaceParts, RequestId, RowChange, RowRef, Stamp, Table, Trim, UploadContent, command, outcome, rejected::Code,
    row_change::Kind,
};

use super::invariants;
use crate::{
    Changed, Draft, Gone, MemoryTables, View, VisibleRow,
    apply::{Bounds, apply_within},
};

pub(super) struct Cluster {
    pub(super) tables: MemoryTables,
    pub(super) bounds: Bounds,
    pub(super) index: u64,
    pub(super) now_ms: u64,
}

impl Cluster {
    pub(super) fn founded() -> Self {
        let mut cluster =
            Self { tables: MemoryTables::new(), bounds: Bounds::PRODUCT, index: 0, now_ms: 1_000_000_000_000 };
        cluster.apply(found());
        cluster
    }

    pub(super) fn view(&self) -> View<&MemoryTables> {
        View(&self.tables)
    }

    /// Applies a command, stamped with now, and checks every invariant.
    pub(super) fn apply(&mut self, kind: command::Kind) -> Outcome {
        self.apply_as(kind, None)
    }

    pub(super) fn apply_as(&mut self, kind: command::Kind, request: Option<RequestId>) -> Outcome {
        let outcome = self.apply_command(&stamped(kind, self.now_ms, request));
        invariants::check(&self.tables);
        outcome
    }

    pub(super) fn apply_command(&mut self, command: &Command) -> Outcome {
        self.index += 1;
        let mut draft = Draft::new(&self.tables);
        let applied = apply_within(self.bounds, &mut draft, self.index, command);
        let writes = draft.into_writes();
        self.tables.write(writes);
        assert_eq!(applied.changes.after, self.view().number());
        applied.outcome
    }

    pub(super) fn change(&mut self, rows: Vec<Kind>) -> Outcome {
        self.apply(change(rows))
    }

    pub(super) fn done(&mut self, rows: Vec<Kind>) -> Done {
        done(self.change(rows))
    }

    pub(super) fn refused(&mut self, rows: Vec<Kind>) -> Rejected {
        refused(self.change(rows))
    }

    /// An API with one method, deployed to the stage `prod`.
    pub(super) fn with_served_api(mut self) -> Self {
        self.done(vec![
            put(Table::RestApi, &["a1"], b"api"),
            put(Table::Resource, &["a1", "r1"], b"/pets"),
            put(Table::Method, &["a1", "r1", "GET"], b"method 1"),
            deploy("a1", "d1", Some("prod")),
        ]);
        self
    }
}

/// A delta, read whole.
pub(super) struct Whole {
    pub(super) to: u64,
    pub(super) digest: StateDigest,
    pub(super) rows: Vec<VisibleRow>,
    pub(super) tombstones: Vec<Gone>,
}

impl Cluster {
    pub(super) fn delta(&self, from: u64) -> Option<Whole> {
        let view = self.view();
        let delta = view.delta(from)?;
        let mut whole = Whole { to: delta.to, digest: delta.digest, rows: Vec::new(), tombstones: Vec::new() };
        for changed in delta.changes {
            match changed {
                Changed::Row(row) => whole.rows.push(row),
                Changed::Gone(gone) => whole.tombstones.push(gone),
            }
        }
        Some(whole)
    }
}

pub(super) fn done(outcome: Outcome) -> Done {
    match outcome.kind {
        Some(outcome::Kind::Done(done)) => done,
        other => panic!("expected done, found {other:?}"),
    }
}

pub(super) fn refused(outcome: Outcome) -> Rejected {
    match outcome.kind {
        Some(outcome::Kind::Rejected(rejected)) => rejected,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

pub(super) fn code(outcome: Outcome) -> Code {
    refused(outcome).code()
}

pub(super) fn found() -> command::Kind {
    command::Kind::FoundCluster(FoundCluster {
        cluster_id: "c1".to_owned(),
        generation: "g1".to_owned(),
        plaintext: true,
        ..FoundCluster::default()
    })
}

pub(super) fn change(rows: Vec<Kind>) -> command::Kind {
    let rows = rows.into_iter().map(|kind| RowChange { kind: Some(kind) }).collect();
    command::Kind::Change(Change { stamp: None, rows })
}

pub(super) fn trim() -> command::Kind {
    command::Kind::Trim(Trim::default())
}

pub(super) fn stamped(mut kind: command::Kind, time_ms: u64, request: Option<RequestId>) -> Command {
    let stamp = Some(Stamp { actor: "local".to_owned(), time_ms, request, ..Default::default() });
    match &mut kind {
        command::Kind::Change(command) => command.stamp = stamp,
        command::Kind::UploadContent(command) => command.stamp = stamp,
        command::Kind::RaiseLevel(command) => command.stamp = stamp,
        command::Kind::Trim(command) => command.stamp = stamp,
        command::Kind::FoundCluster(command) => command.stamp = stamp,
        command::Kind::PutNode(command) => command.stamp = stamp,
        command::Kind::DeleteNode(command) => command.stamp = stamp,
        command::Kind::PutJoinToken(command) => command.stamp = stamp,
        command::Kind::DeleteJoinToken(command) => command.stamp = stamp,
        command::Kind::UseJoinToken(command) => command.stamp = stamp,
        command::Kind::RenewCertificate(command) => command.stamp = stamp,
        command::Kind::RotateKey(command) => command.stamp = stamp,
        command::Kind::Reseal(command) => command.stamp = stamp,
        command::Kind::CreateOperator(command) => command.stamp = stamp,
        command::Kind::ChangeOperator(command) => command.stamp = stamp,
        command::Kind::DeleteOperator(command) => command.stamp = stamp,
        command::Kind::RecordCalls(command) => command.stamp = stamp,
        command::Kind::StageRestore(command) => command.stamp = stamp,
        command::Kind::Restore(command) => command.stamp = stamp,
        command::Kind::DropRestore(command) => command.stamp = stamp,
        command::Kind::RemoveNode(command) => command.stamp = stamp,
        command::Kind::HoldNode(command) => command.stamp = stamp,
        command::Kind::Probe(command) => command.stamp = stamp,
    }
    Command { kind: Some(kind) }
}

pub(super) fn row(table: Table, key: &[&str]) -> RowRef {
    RowRef { table: table as i32, key: key.iter().map(|&part| part.to_owned()).collect() }
}

pub(super) fn put_row(table: Table, key: &[&str], document: &[u8]) -> PutRow {
    PutRow { row: Some(row(table, key)), document: Bytes::copy_from_slice(document), ..PutRow::default() }
}

pub(super) fn put(table: Table, key: &[&str], document: &[u8]) -> Kind {
    Kind::Put(put_row(table, key, document))
}

pub(super) fn put_at(table: Table, key: &[&str], document: &[u8], expected_version: u64) -> Kind {
    Kind::Put(PutRow { expected_version: Some(expected_version), ..put_row(table, key, document) })
}

pub(super) fn delete(table: Table, key: &[&str]) -> Kind {
    Kind::Delete(DeleteRow { row: Some(row(table, key)), expected_version: None })
}

pub(super) fn stage(api: &str, name: &str, deployment: &str, canary: Option<&str>) -> PutRow {
    let document = format!("stage {name} of {deployment} and {canary:?}");
    let deployments = [Some(deployment), canary].into_iter().flatten();
    PutRow {
        refs: deployments.map(|id| row(Table::Deployment, &[api, id])).collect(),
        ..put_row(Table::Stage, &[api, name], document.as_bytes())
    }
}

pub(super) fn deploy(api: &str, deployment: &str, stage_name: Option<&str>) -> Kind {
    Kind::Deploy(Deploy {
        api_id: api.to_owned(),
        deployment_id: deployment.to_owned(),
        deployment: Bytes::from(format!("deployment {deployment}")),
        stage: stage_name.map(|name| stage(api, name, deployment, None)),
        ..Deploy::default()
    })
}

pub(super) fn key(id: &str, value: u8, enabled: bool) -> Kind {
    let hash = Bytes::from(vec![value; 16]);
    Kind::Put(PutRow {
        name: format!("key {id}"),
        unique: hash.clone(),
        key_fields: Some(KeyFields { hash, enabled, usage_identifier: String::new(), ..KeyFields::default() }),
        ..put_row(Table::ApiKey, &[id], format!("document of {id}").as_bytes())
    })
}

pub(super) fn plan(id: &str, stages: &[(&str, &str)]) -> Kind {
    let refs = stages.iter().map(|(api, name)| row(Table::Stage, &[api, name])).collect();
    Kind::Put(PutRow { refs, ..put_row(Table::Plan, &[id], format!("plan {id} of {stages:?}").as_bytes()) })
}

pub(super) fn request(time_ms: u64, tail: u8, hash: u8) -> RequestId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    id[6] = 0x70;
    id[15] = tail;
    RequestId { id: Bytes::copy_from_slice(&id), hash: Bytes::from(vec![hash; 32]) }
}

/// What an import uploads and commits: entries of `api` by table, key and document.
pub(super) fn import(api: &str, entries: &[(Table, Vec<&str>, &str)]) -> (command::Kind, Kind) {
    let contents = entries.iter().map(|(_, _, document)| Bytes::copy_from_slice(document.as_bytes())).collect();
    let parts = build_parts(entries.iter().map(|(table, key, document)| {
        entry(*table, key.iter().map(|&part| part.to_owned()).collect(), Digest::of(document.as_bytes()))
    }));
    let encoded: Vec<Bytes> = parts.iter().map(|part| part.encode_to_vec().into()).collect();
    let digests = encoded.iter().map(|part| Bytes::copy_from_slice(Digest::of(part).as_bytes())).collect();
    let replace =
        ReplaceParts { api_id: api.to_owned(), name: format!("api {api}"), parts: digests, expected_version: None };
    (command::Kind::UploadContent(UploadContent { stamp: None, contents, parts: encoded }), Kind::ReplaceParts(replace))
}

pub(super) fn node(id: &str, role: &str, raft_id: u64) -> Node {
    Node { id: id.to_owned(), role: role.to_owned(), raft_id, ..Node::default() }
}

pub(super) fn token(id: &str, expires_ms: u64) -> JoinToken {
    JoinToken {
        id: id.to_owned(),
        role: "data".to_owned(),
        secret_hash: Bytes::from_static(&[7; 32]),
        expires_ms,
        ..JoinToken::default()
    }
}
