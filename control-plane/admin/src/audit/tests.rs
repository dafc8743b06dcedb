//! The audit trail over a replica in memory: calls as the admin port takes them.

use http_body_util::BodyExt as _;
use prost::Message;
use sluice_identity::{ConnectionPeer, LOCAL, Operator, OperatorRole, Peer, Proof, Shown};
use sluice_proto::{
    admin::{ChangeReply, ChangeRequest, GetRequest},
    model::{ApiKey, Kind},
};
use sluice_telemetry::Metrics;
use tonic::{Code, body::Body};
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::{
    call::new_request_id,
    forward::frame,
    services::routes,
    testing::{MemoryReplica, delete, founded, id_of, named, put},
};

/// A node's admin port, without its gates: the caller is who the test says.
struct Port {
    admin: Admin<MemoryReplica>,
    recorder: Recorder,
}

impl Port {
    fn open() -> Self {
        Self { admin: founded(), recorder: Recorder::new(&Metrics::new()) }
    }

    async fn call<M: Message, A: Message + Default>(
        &self,
        role: OperatorRole,
        path: &str,
        message: &M,
    ) -> Result<A, Status> {
        let service = AuditLayer::new(self.recorder.clone(), "n1").layer(routes(&self.admin));
        let mut request = http::Request::post(format!("/sluice.admin.v1.{path}"))
            .header("content-type", "application/grpc")
            .body(frame::body_of(&message.encode_to_vec()))
            .unwrap();
        let address = "192.0.2.7:4711".parse().unwrap();
        request.extensions_mut().insert(ConnectionPeer::new(address, Proof::Plaintext));
        request.extensions_mut().insert(Peer::operator(&Operator::new(LOCAL, role), Shown::Nothing));
        let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
        let collected = Body::collect(body).await.unwrap();
        let status = collected.trailers().and_then(Status::from_header_map);
        match status.or_else(|| Status::from_header_map(&parts.headers)) {
            Some(status) if status.code() != Code::Ok => Err(status),
            _ => Ok(A::decode(frame::message_of(&collected.to_bytes()).unwrap()).unwrap()),
        }
    }

    /// The trail, newest first.
    async fn trail(&self, message: ListAuditRequest) -> ListAuditReply {
        list::list(&self.admin, &Call::of(&Request::new(())), message).await.unwrap().into_inner()
    }
}

#[tokio::test]
async fn a_change_leaves_who_from_where_what_and_which_revision_and_no_value() {
    let port = Port::open();
    let request_id = new_request_id();
    let key = ApiKey { name: "alice".into(), value: Some("a-value-of-twenty-characters".into()), ..ApiKey::default() };
    let message = ChangeRequest { request_id: request_id.clone(), operations: vec![put(key)] };
    let reply: ChangeReply = port.call(OperatorRole::Deployer, "Config/Change", &message).await.unwrap();
    let items = port.trail(ListAuditRequest::default()).await.items;
    let [line] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((line.actor.as_str(), line.role.as_str(), line.outcome.as_str()), ("local", "deployer", "done"));
    assert_eq!((line.address.as_str(), line.taken_by.as_str()), ("192.0.2.7:4711", "n1"));
    assert_eq!(line.method, "/sluice.admin.v1.Config/Change");
    assert_eq!(line.rows, [format!("put api key {} (alice)", id_of(&reply.results[0]))]);
    assert_eq!(line.request_id, uuid::Uuid::from_slice(&request_id).unwrap().to_string());
    assert_eq!(line.number, reply.revision.unwrap().number);
    let kept: Vec<u8> = port.admin.replica.tables().rows().values().flatten().copied().collect();
    assert!(!kept.windows(28).any(|window| window == b"a-value-of-twenty-characters"));
}

#[tokio::test]
async fn the_value_of_a_key_is_shown_after_its_entry_and_other_reads_leave_none() {
    let port = Port::open();
    let id = id_of(&port.admin.done(put(ApiKey { name: "alice".into(), ..ApiKey::default() })).await);
    let get = |show_value| GetRequest { r#ref: Some(named(Kind::ApiKey, &[&id])), show_value, stale: false };
    let shown: sluice_proto::admin::GetReply = port.call(OperatorRole::Admin, "Config/Get", &get(true)).await.unwrap();
    drop(port.call::<_, sluice_proto::admin::GetReply>(OperatorRole::Admin, "Config/Get", &get(false)).await.unwrap());
    let items = port.trail(ListAuditRequest::default()).await.items;
    let [line] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(line.rows, [format!("show the value of api key {id} (alice)")]);
    let value = crate::testing::key_of(&shown.stored.unwrap()).value.unwrap();
    assert!(!format!("{line:?}").contains(&value));
    let denied = port.call::<_, sluice_proto::admin::GetReply>(OperatorRole::Viewer, "Config/Get", &get(true)).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let waiting = port.recorder.collected().unwrap();
    let told: Vec<_> = waiting.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(told, ["denied"]);
}

#[tokio::test]
async fn what_is_refused_is_recorded_where_it_would_have_changed_something() {
    let port = Port::open();
    let change = ChangeRequest { request_id: Vec::new(), operations: vec![delete(Kind::ApiKey, &["none"])] };
    let refused = port.call::<_, ChangeReply>(OperatorRole::Admin, "Config/Change", &change).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    let get = GetRequest { r#ref: Some(named(Kind::ApiKey, &["none"])), ..GetRequest::default() };
    assert!(port.call::<_, ChangeReply>(OperatorRole::Admin, "Config/Get", &get).await.is_err());
    let waiting = port.recorder.collected().unwrap();
    let told: Vec<_> = waiting.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(told, ["not-found"]);
    assert!(port.trail(ListAuditRequest::default()).await.items.is_empty(), "nothing was carried out");

    // What the recorder proposes.
    let stamp = Stamp { actor: "node:n1".into(), ..Stamp::default() };
    port.admin.replica.apply(&record(stamp, waiting));
    let line = port.trail(ListAuditRequest::default()).await.items.remove(0);
    assert_eq!((line.outcome.as_str(), line.address.as_str(), line.number), ("not-found", "192.0.2.7:4711", 0));
}

#[tokio::test]
async fn a_flood_of_refused_calls_is_a_few_entries_and_a_number() {
    let recorder = Recorder::new(&Metrics::new());
    let entry = |address: &str| AuditEntry {
        actor: "anonymous".into(),
        outcome: "denied".into(),
        call: Some(sluice_proto::raft::AuditCall { address: address.to_owned(), ..Default::default() }),
        ..AuditEntry::default()
    };
    for port in 0..1_000 {
        recorder.take(entry(&format!("192.0.2.7:{port}")));
    }
    for host in 0..200 {
        recorder.take(entry(&format!("198.51.100.{host}:1")));
    }
    let entries = recorder.collected().unwrap();
    assert_eq!(entries.len(), sluice_model::limits::RECORDED_CALLS_MAX);
    let calls: u64 = entries.iter().map(|entry| entry.count.max(1)).sum();
    assert_eq!(calls + entries[0].dropped, 1_200);
    assert!(recorder.collected().is_none());
}

#[tokio::test]
async fn a_list_is_filtered_and_comes_in_pages() {
    let port = Port::open();
    for name in ["a", "b", "c"] {
        let key = put(ApiKey { name: name.into(), ..ApiKey::default() });
        let message = ChangeRequest { request_id: Vec::new(), operations: vec![key] };
        drop(port.call::<_, ChangeReply>(OperatorRole::Admin, "Config/Change", &message).await.unwrap());
    }
    let mut seen = Vec::new();
    let mut page_token = None;
    loop {
        let wanted = ListAuditRequest { page_size: Some(2), page_token, ..ListAuditRequest::default() };
        let page = port.trail(wanted).await;
        seen.extend(page.items.into_iter().flat_map(|line| line.rows));
        page_token = Some(page.next_page_token).filter(|token| !token.is_empty());
        if page_token.is_none() {
            break;
        }
    }
    let names: Vec<_> = seen.iter().map(|row| row.split(['(', ')']).nth(1).unwrap()).collect();
    assert_eq!(names, ["c", "b", "a"]);
    for (wanted, count) in [
        (ListAuditRequest { actor: Some("local".into()), ..Default::default() }, 3),
        (ListAuditRequest { actor: Some("eve".into()), ..Default::default() }, 0),
        (ListAuditRequest { method: Some("config/ch".into()), ..Default::default() }, 3),
        (ListAuditRequest { method: Some("Join".into()), ..Default::default() }, 0),
        (ListAuditRequest { outcome: Some("denied".into()), ..Default::default() }, 0),
        (ListAuditRequest { since_ms: Some(now_ms(0) + 120_000), ..Default::default() }, 0),
    ] {
        assert_eq!(port.trail(wanted.clone()).await.items.len(), count, "{wanted:?}");
    }
}
