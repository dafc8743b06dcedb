//! The log that `golden` keeps of operators, the audit trail and owners of files.

use bytes::Bytes;
use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{
    AuditCall, AuditEntry, ChangeOperator, CreateOperator, DeleteOperator, FoundCluster, Operator, OperatorCertificate,
    PutRow, RecordCalls, Stamp, Table, command::Kind, row_change,
};

use super::cluster::*;

/// Commands as they come, a second after each other.
struct Log {
    commands: Vec<Vec<u8>>,
    now_ms: u64,
}

/// The log, encoded.
pub(super) fn commands() -> Vec<Vec<u8>> {
    let mut log = Log { commands: Vec::new(), now_ms: 1_700_000_000_000 };
    log.operators();
    log.trail();
    log.owners();
    log.age();
    log.commands
}

impl Log {
    fn add(&mut self, kind: Kind) {
        self.now_ms += 1_000;
        self.commands.push(stamped(kind, self.now_ms, None).encode_to_vec());
    }

    fn operators(&mut self) {
        self.add(Kind::FoundCluster(FoundCluster {
            cluster_id: "c1".to_owned(),
            generation: "g1".to_owned(),
            bootstrap_token_hash: Bytes::from_static(&[9; 32]),
            ..FoundCluster::default()
        }));
        let operator = |name: &str, role: &str, hash: u8, expires_ms: u64| Operator {
            name: name.to_owned(),
            role: role.to_owned(),
            token_hash: vec![hash; 32].into(),
            expires_ms,
            created_ms: 1,
            created_by: "bootstrap".to_owned(),
            token_made_ms: 1,
            ..Operator::default()
        };
        let create = |operator| Kind::CreateOperator(CreateOperator { stamp: None, operator });
        let delete = |name: &str| Kind::DeleteOperator(DeleteOperator { stamp: None, name: name.to_owned() });
        self.add(create(Some(operator("ann", "viewer", 1, 0))));
        self.add(create(Some(operator("ann", "admin", 2, 0))));
        self.add(create(Some(operator("bob", "boss", 2, 0))));
        self.add(create(Some(operator("bob", "deployer", 1, 0))));
        self.add(create(None));
        self.add(create(Some(operator("tim", "admin", 3, self.now_ms + 1))));
        let change = |name: &str, hash: Option<u8>, certificate: Option<OperatorCertificate>| {
            let token_hash = hash.map(|hash| vec![hash; 32].into());
            Kind::ChangeOperator(ChangeOperator { stamp: None, name: name.to_owned(), token_hash, certificate })
        };
        let certificate = || Some(OperatorCertificate { serial: "0a".to_owned(), expires_ms: 7 });
        self.add(change("ann", Some(4), None));
        self.add(change("ann", None, certificate()));
        self.add(change("eve", Some(5), None));
        self.add(change("bootstrap", Some(6), None));
        self.add(change("bootstrap", None, certificate()));
        self.add(delete("bootstrap"));
        self.add(create(Some(operator("amy", "admin", 7, 0))));
        self.add(delete("bootstrap"));
        self.add(delete("bootstrap"));
        self.add(delete("amy"));
        self.add(delete("ann"));
    }

    fn trail(&mut self) {
        let call = AuditCall {
            role: "admin".to_owned(),
            address: "192.0.2.1:1".to_owned(),
            taken_by: "n1".to_owned(),
            method: "/a/B".to_owned(),
            rows: vec!["put plan p1".to_owned()],
            more_rows: 1,
        };
        for (nth, name) in ["p1", "p2", "p3", "p4", "p5"].into_iter().enumerate() {
            self.now_ms += 1_000;
            let mut command = stamped(
                change(vec![plan(name, &[])]),
                self.now_ms,
                Some(request(self.now_ms, u8::try_from(nth).unwrap(), 1)),
            );
            if let Some(Kind::Change(change)) = &mut command.kind {
                let stamp = change.stamp.clone().unwrap();
                change.stamp = Some(Stamp { audit: Some(call.clone()), ..stamp });
            }
            // Asked again: one entry.
            self.commands.extend([command.encode_to_vec(), command.encode_to_vec()]);
        }
        let entry = |outcome: &str, time_ms: u64| AuditEntry {
            actor: "ann".to_owned(),
            call: Some(call.clone()),
            outcome: outcome.to_owned(),
            time_ms,
            count: 2,
            dropped: 3,
            ..AuditEntry::default()
        };
        let record = |entries| Kind::RecordCalls(RecordCalls { stamp: None, entries });
        self.add(record(vec![entry("denied", 1), entry("done", 2), entry("invalid", 3)]));
        self.add(record(vec![entry("denied", self.now_ms); limits::RECORDED_CALLS_MAX + 1]));
        self.add(record(vec![entry("denied", self.now_ms)]));
    }

    fn owners(&mut self) {
        let owned = |kind: &str, id: &str| {
            row_change::Kind::Put(PutRow { name: "shop".to_owned(), ..put_row(Table::Owned, &[kind, id], b"") })
        };
        self.add(change(vec![
            key("k1", 1, true),
            put(Table::RestApi, &["a1"], b"api"),
            owned("ApiKey", "k1"),
            owned("RestApi", "a1"),
            owned("UsagePlan", "p1"),
            owned("Other", "x"),
        ]));
        self.add(change(vec![delete(Table::ApiKey, &["k1"]), delete(Table::RestApi, &["a1"])]));
        self.add(change(vec![delete(Table::Plan, &["p1"]), delete(Table::Owned, &["Other", "x"])]));
        self.add(change(vec![delete(Table::Owned, &["Other", "x"])]));
    }

    fn age(&mut self) {
        self.now_ms += limits::AUDIT_MS_MAX;
        self.add(trim());
        self.add(trim());
    }
}
