//! The log that `golden` keeps: every kind of command, done and refused, in a life of a small cluster.

use bytes::Bytes;
use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{
    DeleteJoinToken, DeleteNode, FoundCluster, JoinToken, KeyFields, Node, PutJoinToken, PutNode, PutRow, RaiseLevel,
    RequestId, Table, UseJoinToken, command::Kind, row_change,
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
    log.founding();
    log.an_api_by_edits();
    log.deployments_and_stages();
    log.an_api_by_import();
    log.keys_and_plans();
    log.nodes_and_tokens();
    log.requests();
    log.bounds();
    log.ends();
    log.commands
}

impl Log {
    fn add(&mut self, kind: Kind) {
        self.ask(kind, None);
    }

    fn ask(&mut self, kind: Kind, request: Option<RequestId>) {
        self.now_ms += 1_000;
        self.commands.push(stamped(kind, self.now_ms, request).encode_to_vec());
    }

    fn change(&mut self, rows: Vec<row_change::Kind>) {
        self.add(change(rows));
    }

    fn founding(&mut self) {
        // Bytes that are no command; one of a kind that is no more; one before there is a cluster; one without a stamp.
        self.commands.extend([b"\xff".to_vec(), b"\x1a\x00".to_vec()]);
        self.add(trim());
        self.commands.push(b"\x2a\x00".to_vec());
        self.add(Kind::FoundCluster(FoundCluster::default()));
        let founding = FoundCluster {
            cluster_id: "c1".to_owned(),
            generation: "g1".to_owned(),
            sealed_ca_key: "sealed ca key".to_owned(),
            ca_certificate_pem: "ca certificate".to_owned(),
            sealed_lookup_key: "sealed lookup key".to_owned(),
            bootstrap_token_hash: Bytes::from_static(&[9; 32]),
            ..FoundCluster::default()
        };
        self.add(Kind::FoundCluster(founding.clone()));
        self.add(Kind::FoundCluster(founding));
    }

    fn an_api_by_edits(&mut self) {
        self.change(vec![put(Table::Resource, &["a1", "r1"], b"before its api")]);
        self.change(vec![
            row_change::Kind::Put(PutRow { name: "pets".into(), ..put_row(Table::RestApi, &["a1"], b"api") }),
            put(Table::Resource, &["a1", "r1"], b"/pets"),
            put_at(Table::Method, &["a1", "r1", "GET"], b"method 1", 0),
            put(Table::Model, &["a1", "Pet"], b"model"),
            put(Table::RequestValidator, &["a1", "v1"], b"validator"),
            put(Table::Authorizer, &["a1", "z1"], b"authorizer"),
            put(Table::GatewayResponse, &["a1", "DEFAULT_4XX"], b"gateway response"),
        ]);
        self.change(vec![put(Table::Method, &["a1", "r1", "GET"], b"method 1")]);
        self.change(vec![
            put(Table::Method, &["a1", "r1", "GET"], b"method 2"),
            row_change::Kind::Put(PutRow { name: "dogs".into(), ..put_row(Table::RestApi, &["a1"], b"api 2") }),
        ]);
        self.change(vec![put_at(Table::Method, &["a1", "r1", "GET"], b"of another time", 3)]);
        self.change(vec![put_at(Table::Method, &["a1", "r1", "GET"], b"there is one", 0)]);
        self.change(vec![put(Table::Model, &["a1", "Cat"], b"cat"), delete(Table::Model, &["a1", "Dog"])]);
        self.change(vec![delete(Table::RequestValidator, &["a1", "v1"])]);
        self.change(vec![put(Table::Method, &["a1", "GET"], b"a key too short"), put(Table::Node, &["n1"], b"")]);
        self.change(vec![put(Table::Setting, &["one"], b"1"), put(Table::Domain, &["example.com"], b"domain")]);
        self.change(vec![delete(Table::Setting, &["one"])]);
        self.change(Vec::new());
    }

    fn deployments_and_stages(&mut self) {
        let with_models = |id: &str, version: Option<u64>| {
            let row_change::Kind::Deploy(mut kind) = deploy("a1", id, Some("prod")) else { unreachable!() };
            kind.models = vec!["Pet".to_owned()];
            kind.expected_api_version = version;
            row_change::Kind::Deploy(kind)
        };
        self.change(vec![with_models("d1", None)]);
        self.change(vec![with_models("d2", Some(1))]);
        self.change(vec![with_models("d1", None)]);
        self.change(vec![put(Table::Method, &["a1", "r1", "ANY"], b"any"), deploy("a1", "d2", Some("prod"))]);
        self.change(vec![row_change::Kind::Put(stage("a1", "test", "d2", Some("d1")))]);
        self.change(vec![row_change::Kind::Put(stage("a1", "prod", "d1", None))]);
        self.change(vec![row_change::Kind::Put(stage("a1", "prod", "d9", None))]);
        self.change(vec![delete(Table::Deployment, &["a1", "d1"])]);
        self.change(vec![put(Table::Deployment, &["a1", "d2"], b"described"), delete(Table::Stage, &["a1", "test"])]);
        self.change(vec![delete(Table::Deployment, &["a1", "d2"])]);
        self.change(vec![deploy("a9", "d1", None)]);
    }

    fn an_api_by_import(&mut self) {
        let entries = |document| {
            vec![
                (Table::RestApi, vec!["a2"], "imported"),
                (Table::Resource, vec!["a2", "r1"], "/"),
                (Table::Method, vec!["a2", "r1", "GET"], document),
            ]
        };
        let (upload, replace) = import("a2", &entries("get 1"));
        self.change(vec![replace.clone()]);
        self.add(upload.clone());
        self.add(upload);
        self.change(vec![replace.clone(), deploy("a2", "d1", Some("prod"))]);
        let (upload, other) = import("a2", &entries("get 2"));
        self.add(upload);
        let row_change::Kind::ReplaceParts(mut stale) = other.clone() else { unreachable!() };
        stale.expected_version = Some(1);
        self.change(vec![row_change::Kind::ReplaceParts(stale)]);
        self.change(vec![other]);
        // Uploaded and never used: trimmed at the end.
        self.add(import("a3", &[(Table::RestApi, vec!["a3"], "never seen")]).0);
        // The parts of another api.
        let row_change::Kind::ReplaceParts(mut stolen) = replace else { unreachable!() };
        stolen.api_id = "a4".to_owned();
        self.change(vec![row_change::Kind::ReplaceParts(stolen)]);
    }

    fn keys_and_plans(&mut self) {
        self.change(vec![key("k1", 1, true), plan("p1", &[("a1", "prod"), ("a2", "prod")])]);
        self.change(vec![key("k2", 1, true)]);
        self.change(vec![put(Table::PlanKey, &["p1", "k1"], b"member"), plan("p2", &[])]);
        self.change(vec![key("k1", 2, false), put(Table::PlanKey, &["p2", "k1"], b"member")]);
        let identified = KeyFields {
            hash: Bytes::from_static(&[3; 16]),
            enabled: true,
            usage_identifier: "u".into(),
            ..KeyFields::default()
        };
        self.change(vec![row_change::Kind::Put(PutRow {
            key_fields: Some(identified),
            unique: Bytes::from_static(&[3; 16]),
            ..put_row(Table::ApiKey, &["k3"], b"k3")
        })]);
        self.change(vec![put(Table::PlanKey, &["p1", "k9"], b"member")]);
        self.change(vec![put(Table::ApiKey, &["k4"], b"without its fields")]);
        self.change(vec![delete(Table::Stage, &["a1", "prod"])]);
        self.change(vec![delete(Table::RestApi, &["a1"])]);
        self.change(vec![delete(Table::PlanKey, &["p2", "k1"])]);
        self.change(vec![delete(Table::Plan, &["p2"])]);
        self.change(vec![delete(Table::ApiKey, &["k1"])]);
        self.change(vec![plan("p1", &[("a2", "prod")]), delete(Table::RestApi, &["a1"])]);
    }

    fn nodes_and_tokens(&mut self) {
        let control = Node {
            peer_address: "10.0.0.1:7101".into(),
            public_address: "10.0.0.1:7100".into(),
            version: "0.1.0".into(),
            level: 1,
            certificate_serial: "0a".into(),
            joined_ms: self.now_ms,
            joined_by: Bytes::from_static(&[5; 32]),
            ..node("n1", "control", 1)
        };
        let put = |node: Node| Kind::PutNode(PutNode { stamp: None, node: Some(node) });
        self.add(put(control.clone()));
        self.add(put(Node { peer_address: "10.0.0.9:7101".into(), ..control.clone() }));
        self.add(put(Node { id: "n2".into(), ..control.clone() }));
        self.add(put(Node { role: "other".into(), ..control }));
        let now_ms = self.now_ms;
        let kept = |token: JoinToken| Kind::PutJoinToken(PutJoinToken { stamp: None, token: Some(token) });
        self.add(kept(token("t1", now_ms + 600_000)));
        self.add(kept(token("t1", now_ms + 600_000)));
        self.add(kept(token("t2", now_ms)));
        self.add(kept(token("t3", now_ms + 600_000)));
        let using = |id: &str, secret: u8, node: Node| {
            let secret_hash = Bytes::from(vec![secret; 32]);
            Kind::UseJoinToken(UseJoinToken { stamp: None, id: id.to_owned(), secret_hash, node: Some(node) })
        };
        for (id, secret, role) in
            [("t9", 7, "data"), ("t1", 8, "data"), ("t2", 7, "data"), ("t1", 7, "control"), ("t1", 7, "data")]
        {
            self.add(using(id, secret, Node { joined_by: Bytes::from_static(&[6; 32]), ..node("n3", role, 0) }));
        }
        self.add(using("t3", 7, node("n3", "data", 0)));
        self.add(Kind::DeleteJoinToken(DeleteJoinToken { stamp: None, id: "t3".into() }));
        self.add(Kind::DeleteJoinToken(DeleteJoinToken { stamp: None, id: "t3".into() }));
        self.add(Kind::DeleteNode(DeleteNode { node_id: "n3".into(), ..DeleteNode::default() }));
        self.add(Kind::DeleteNode(DeleteNode { node_id: "n3".into(), ..DeleteNode::default() }));
    }

    fn requests(&mut self) {
        let first = request(self.now_ms, 1, 1);
        self.ask(change(vec![plan("p3", &[])]), Some(first.clone()));
        self.ask(change(vec![plan("p3", &[])]), Some(first.clone()));
        self.ask(
            change(vec![plan("p4", &[])]),
            Some(RequestId { hash: Bytes::from_static(&[2; 32]), ..first.clone() }),
        );
        let refused = request(self.now_ms, 2, 1);
        self.ask(change(vec![delete(Table::Plan, &["p9"])]), Some(refused.clone()));
        self.ask(change(vec![delete(Table::Plan, &["p9"])]), Some(refused));
        self.ask(change(Vec::new()), Some(RequestId { id: first.id.slice(1..), ..first.clone() }));
        self.ask(change(Vec::new()), Some(request(self.now_ms + 2 * limits::REQUEST_MS_MAX, 3, 1)));
        for tail in 4..12 {
            self.ask(change(Vec::new()), Some(request(self.now_ms, tail, 1)));
        }
        self.now_ms += limits::REQUEST_MS_MAX;
        self.ask(change(vec![plan("p4", &[])]), Some(request(self.now_ms, 12, 1)));
        self.add(trim());
        self.ask(change(vec![plan("p3", &[])]), Some(first));
    }

    /// What small bounds refuse, and what they forget.
    fn bounds(&mut self) {
        let long = "r".repeat(limits::KEY_PART_BYTES_MAX);
        for number in 0..4 {
            let id = format!("{}{number}", &long[1..]);
            self.change(vec![
                put(Table::Resource, &["a2", &id], b"long"),
                put(Table::Method, &["a2", &id, "GET"], b"m"),
            ]);
        }
        let (upload, replace) =
            import("a5", &[(Table::RestApi, vec!["a5"], "api"), (Table::Resource, vec!["a5", &long], "long")]);
        self.add(upload);
        self.change(vec![replace]);
        for number in 0..12 {
            self.change(vec![plan(&format!("many {number}"), &[]), delete(Table::Plan, &["p3"])]);
            self.change(vec![plan(&format!("many {number}"), &[]), plan("p3", &[])]);
        }
        self.change(vec![put(Table::Model, &["a2", &format!("{long}x")], b"a key too long")]);
    }

    fn ends(&mut self) {
        self.now_ms += 2 * 24 * 3_600_000;
        self.add(trim());
        self.change(vec![delete(Table::Plan, &["p1"]), delete(Table::RestApi, &["a2"])]);
        self.add(trim());
        let raised = |level| Kind::RaiseLevel(RaiseLevel { stamp: None, level });
        self.add(raised(0));
        self.add(raised(1));
    }
}
