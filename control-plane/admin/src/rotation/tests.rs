use prost::Message as _;
use sluice_identity::sealing_key;
use sluice_proto::{admin::CreateTokenRequest, model::ApiKey, raft::Table};
use tonic::Request;

use super::*;
use crate::testing::{MemoryReplica, founded, id_of, put};

fn call() -> Call {
    Call::of(&Request::new(()))
}

async fn key(admin: &Admin<MemoryReplica>, name: &str) -> (String, String) {
    let stored = admin.done(put(ApiKey { name: name.into(), ..ApiKey::default() })).await;
    let value = crate::testing::key_of(&stored).value.unwrap();
    (id_of(&stored), value)
}

fn document(admin: &Admin<MemoryReplica>, id: &str) -> ApiKey {
    let stored = admin.replica.view().get(Table::ApiKey, &[id]).unwrap();
    ApiKey::decode(stored.bytes).unwrap()
}

fn value(admin: &Admin<MemoryReplica>, id: &str) -> String {
    admin.tools.secrets.open(id, document(admin, id).sealed_value.as_deref().unwrap()).unwrap()
}

/// Turns until there is no more to do.
async fn turn_all(admin: &Admin<MemoryReplica>) {
    let mut rotating = steps::Rotating::default();
    loop {
        held::follow(admin).await.unwrap();
        if rotating.turn(admin).await.unwrap() == steps::Turn::Quiet {
            return;
        }
    }
}

#[tokio::test]
async fn a_rotated_key_seals_everything_and_the_old_one_is_forgotten() {
    let admin = founded();
    let mut keys = Vec::new();
    for index in 0..5 {
        keys.push(key(&admin, &format!("key {index}")).await);
    }
    let number = admin.replica.view_number();
    let lookup = admin.tools.secrets.keys().open_lookup_key(&admin.replica.view().cluster().unwrap().sealed_lookup_key);
    let reply = begin(&admin, &call(), RotateKeyRequest::default()).await.unwrap();
    assert_eq!((reply.old_key_id.as_str(), reply.under_way), ("k1", false));
    assert!(reply.key_id.starts_with("k2-"), "{reply:?}");
    let again = begin(&admin, &call(), RotateKeyRequest::default()).await.unwrap();
    assert_eq!((again.key_id.as_str(), again.under_way), (reply.key_id.as_str(), true));

    turn_all(&admin).await;
    let cluster = admin.replica.view().cluster().unwrap();
    assert_eq!((cluster.old_key_id.as_str(), &cluster.retired_key_ids[..]), ("", &["k1".to_owned()][..]));
    assert_eq!(admin.tools.secrets.keys().ids(), std::slice::from_ref(&reply.key_id));
    assert_eq!(admin.replica.view_number(), number, "data nodes see nothing of it");
    for (id, made) in &keys {
        assert_eq!(value(&admin, id), *made);
        assert_eq!(sealing_key(document(&admin, id).sealed_value.as_deref().unwrap()), reply.key_id);
    }
    let sealed = cluster.sealed_lookup_key;
    let now = admin.tools.secrets.keys().open_lookup_key(&sealed);
    assert_eq!(now.unwrap(), lookup.unwrap(), "the lookup key stays");
    // What is new is sealed with the new key, and all goes on.
    let (id, made) = key(&admin, "later").await;
    assert_eq!(value(&admin, &id), made);
}

#[tokio::test]
async fn a_rotation_that_its_leader_did_not_end_is_ended_by_the_next() {
    let admin = founded();
    let (id, made) = key(&admin, "key").await;
    begin(&admin, &call(), RotateKeyRequest::default()).await.unwrap();
    for turns in 0..6 {
        // Each leader gives up after some turns; the next knows nothing of where it stood.
        let mut rotating = steps::Rotating::default();
        for _ in 0..turns {
            rotating.turn(&admin).await.unwrap();
        }
        assert_eq!(value(&admin, &id), made);
    }
    turn_all(&admin).await;
    assert_eq!(value(&admin, &id), made);
    assert_eq!(admin.tools.secrets.keys().ids().len(), 1);
}

#[tokio::test]
async fn what_was_planned_with_the_old_key_is_planned_again_once_that_is_closed() {
    let admin = founded();
    begin(&admin, &call(), RotateKeyRequest::default()).await.unwrap();
    let cluster = || admin.replica.view().cluster().unwrap();
    let mut rotating = steps::Rotating::default();
    while !cluster().old_key_closed {
        rotating.turn(&admin).await.unwrap();
    }
    // As a node that lags has planned it.
    let old = admin.tools.secrets.seal("k1", "aaaaaaaaaa", "a value of twenty letters").unwrap();
    let row = sluice_proto::raft::PutRow {
        row: Some(sluice_proto::raft::RowRef { table: Table::ApiKey.into(), key: vec!["aaaaaaaaaa".into()] }),
        key_fields: Some(sluice_proto::raft::KeyFields {
            hash: vec![1; 16].into(),
            sealed_with: sealing_key(&old).to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let change = sluice_proto::raft::RowChange { kind: Some(sluice_proto::raft::row_change::Kind::Put(row)) };
    let stamp = Stamp { actor: "local".into(), time_ms: now_ms(0), ..Default::default() };
    let refused = here(&admin.replica, crate::propose::change(stamp, vec![change]), call().deadline).await.unwrap_err();
    assert_eq!(refused.reason, Reason::VersionChanged, "which makes it be planned again");
}

#[tokio::test]
async fn a_token_that_is_asked_for_again_after_a_rotation_is_the_same() {
    let admin = founded();
    let message = CreateTokenRequest {
        request_id: crate::call::new_request_id(),
        role: "data".into(),
        ..CreateTokenRequest::default()
    };
    let create = async || crate::cluster::create_token(&admin, &call(), message.clone()).await.unwrap();
    let first = create().await;
    begin(&admin, &call(), RotateKeyRequest::default()).await.unwrap();
    assert_eq!(create().await, first);
}
