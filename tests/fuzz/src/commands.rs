//! The replicated log: any commands, however malformed, are applied or refused, and everywhere with the same bytes.
//!
//! An input is encoded commands, each after its length, as protobuf delimits messages. What is left at the end is one
//! more command. Before them stands the founding of a cluster.

use prost::Message;
use sluice_proto::raft::{
    AuditCall, AuditEntry, Change, ChangeOperator, Command, CreateOperator, DeleteOperator, DeleteRow, Deploy,
    FoundCluster, HoldNode, JoinToken, KeyFields, Node, Operator, OperatorCertificate, PutJoinToken, PutNode, PutRow,
    RecordCalls, RemoveNode, RemovedNode, RequestId, RowChange, RowRef, Stamp, Table, Trim, UploadContent,
    UseJoinToken, command, row_change::Kind,
};
use sluice_state::{Draft, MemoryTables, View, apply_encoded};

use crate::Target;

/// Commands of one input.
const COMMANDS_MAX: usize = 64;
const NOW_MS: u64 = 1_700_000_000_000;

/// The target.
pub const TARGET: Target = Target { name: "commands", run, seeds, words: &["a1", "r1", "GET", "prod", "d1", "k1"] };

/// Applies the commands one by one, and all in one draft.
///
/// # Panics
/// When a promise of apply is broken.
pub fn run(input: &[u8]) {
    let founding = encoded(command::Kind::FoundCluster(FoundCluster {
        stamp: stamp(None),
        cluster_id: "c".into(),
        generation: "g".into(),
        plaintext: true,
        ..FoundCluster::default()
    }));
    let mut log = vec![founding.as_slice()];
    log.extend(pieces(input));
    let mut one_by_one = MemoryTables::new();
    for (index, command) in log.iter().enumerate() {
        let mut draft = Draft::new(&one_by_one);
        let applied = apply_encoded(&mut draft, index as u64 + 1, command);
        let writes = draft.into_writes();
        one_by_one.write(writes);
        let view = View(&one_by_one);
        assert_eq!(view.number(), applied.changes.after);
        assert!(applied.changes.after - applied.changes.before <= 1, "{:?}", applied.changes);
        assert!(applied.outcome.kind.is_some(), "every command has an outcome");
    }
    let empty = MemoryTables::new();
    let mut draft = Draft::new(&empty);
    for (index, command) in log.iter().enumerate() {
        apply_encoded(&mut draft, index as u64 + 1, command);
    }
    let mut at_once = MemoryTables::new();
    at_once.write(draft.into_writes());
    assert!(at_once == one_by_one, "the same log leads to the same bytes, however it is batched");
    let view = View(&one_by_one);
    drop((view.nodes(), view.join_tokens(), view.cluster(), view.digest(), view.operators(), view.audit(None).count()));
}

fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !input.is_empty() && pieces.len() < COMMANDS_MAX {
        let whole = input;
        let length = prost::decode_length_delimiter(&mut input).ok().filter(|length| *length <= input.len());
        let (piece, rest) = length.map_or((whole, &whole[whole.len()..]), |length| input.split_at(length));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

fn seeds() -> Vec<Vec<u8>> {
    let api = [
        put(Table::RestApi, &["a1"]),
        put(Table::Resource, &["a1", "r1"]),
        put(Table::Method, &["a1", "r1", "GET"]),
        put(Table::Model, &["a1", "Pet"]),
    ];
    let stage = PutRow { refs: vec![row(Table::Deployment, &["a1", "d1"])], ..put_row(Table::Stage, &["a1", "prod"]) };
    let deploy = Kind::Deploy(Deploy {
        api_id: "a1".into(),
        deployment_id: "d1".into(),
        deployment: "deployment".into(),
        models: vec!["Pet".into()],
        stage: Some(stage),
        ..Deploy::default()
    });
    let key = PutRow {
        name: "alice".into(),
        unique: vec![7; 16].into(),
        key_fields: Some(KeyFields {
            hash: vec![7; 16].into(),
            enabled: true,
            usage_identifier: String::new(),
            ..KeyFields::default()
        }),
        ..put_row(Table::ApiKey, &["k1"])
    };
    let plan = PutRow { refs: vec![row(Table::Stage, &["a1", "prod"])], ..put_row(Table::Plan, &["p1"]) };
    let members = vec![Kind::Put(key), Kind::Put(plan), put(Table::PlanKey, &["p1", "k1"])];
    let delete = |table, key: &[&str]| Kind::Delete(DeleteRow { row: Some(row(table, key)), expected_version: None });
    let gone = vec![
        delete(Table::PlanKey, &["p1", "k1"]),
        delete(Table::Plan, &["p1"]),
        delete(Table::Stage, &["a1", "prod"]),
        delete(Table::RestApi, &["a1"]),
    ];
    let served = vec![change(api.to_vec()), change(vec![deploy]), change(members)];
    vec![log(&served), log(&[&served[..], &[change(gone)]].concat()), log(&membership()), log(&access())]
}

fn membership() -> Vec<command::Kind> {
    let token = JoinToken {
        id: "t1".into(),
        role: "data".into(),
        secret_hash: vec![1; 32].into(),
        expires_ms: NOW_MS + 1_000,
        ..JoinToken::default()
    };
    let node = |id: &str, role: &str| Some(Node { id: id.into(), role: role.into(), ..Node::default() });
    vec![
        command::Kind::PutNode(PutNode { stamp: stamp(None), node: node("n1", "control") }),
        command::Kind::PutJoinToken(PutJoinToken { stamp: stamp(None), token: Some(token) }),
        command::Kind::UseJoinToken(UseJoinToken {
            stamp: stamp(Some(RequestId { id: vec![0x70; 16].into(), hash: vec![2; 32].into() })),
            id: "t1".into(),
            secret_hash: vec![1; 32].into(),
            node: node("n2", "data"),
        }),
        command::Kind::UploadContent(UploadContent {
            stamp: stamp(None),
            contents: vec!["content".into()],
            parts: Vec::new(),
        }),
        command::Kind::Trim(Trim { stamp: stamp(None) }),
        command::Kind::HoldNode(HoldNode { stamp: stamp(None), node_id: "n1".into(), held: true }),
        command::Kind::RemoveNode(RemoveNode {
            stamp: stamp(None),
            node: Some(RemovedNode { id: "n2".into(), role: "data".into(), ..RemovedNode::default() }),
        }),
    ]
}

fn access() -> Vec<command::Kind> {
    let operator =
        Operator { name: "ann".into(), role: "admin".into(), token_hash: vec![1; 32].into(), ..Operator::default() };
    let call = AuditCall { method: "/a/B".into(), rows: vec!["put".into()], ..AuditCall::default() };
    let audited = Some(Stamp { audit: Some(call.clone()), ..stamp(None).unwrap_or_default() });
    let entry = AuditEntry { call: Some(call), outcome: "denied".into(), ..AuditEntry::default() };
    let owned = Kind::Put(PutRow { name: "shop".into(), ..put_row(Table::Owned, &["ApiKey", "k1"]) });
    vec![
        command::Kind::CreateOperator(CreateOperator { stamp: audited, operator: Some(operator) }),
        command::Kind::ChangeOperator(ChangeOperator {
            stamp: stamp(None),
            name: "ann".into(),
            token_hash: Some(vec![2; 32].into()),
            certificate: Some(OperatorCertificate { serial: "0a".into(), expires_ms: NOW_MS }),
        }),
        command::Kind::DeleteOperator(DeleteOperator { stamp: stamp(None), name: "ann".into() }),
        command::Kind::RecordCalls(RecordCalls { stamp: stamp(None), entries: vec![entry] }),
        change(vec![owned]),
    ]
}

fn log(kinds: &[command::Kind]) -> Vec<u8> {
    kinds.iter().flat_map(|kind| Command { kind: Some(kind.clone()) }.encode_length_delimited_to_vec()).collect()
}

fn encoded(kind: command::Kind) -> Vec<u8> {
    Command { kind: Some(kind) }.encode_to_vec()
}

fn stamp(request: Option<RequestId>) -> Option<Stamp> {
    Some(Stamp { actor: "local".into(), time_ms: NOW_MS, request, ..Default::default() })
}

fn change(kinds: Vec<Kind>) -> command::Kind {
    let rows = kinds.into_iter().map(|kind| RowChange { kind: Some(kind) }).collect();
    command::Kind::Change(Change { stamp: stamp(None), rows })
}

fn put(table: Table, key: &[&str]) -> Kind {
    Kind::Put(put_row(table, key))
}

fn put_row(table: Table, key: &[&str]) -> PutRow {
    PutRow { row: Some(row(table, key)), document: "document".into(), ..PutRow::default() }
}

fn row(table: Table, key: &[&str]) -> RowRef {
    RowRef { table: table as i32, key: key.iter().map(|part| (*part).to_owned()).collect() }
}
