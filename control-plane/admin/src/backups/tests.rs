//! Backups of one cluster restored into itself and into another, on tables in memory.

use futures_util::{StreamExt as _, stream};
use sluice_backup::Reader;
use sluice_model::Revision;
use sluice_proto::{
    admin::{
        CreateBackupRequest, RestoreReply, RestoreRequest, RestoreResult, RestoreStart, restore_reply, restore_request,
    },
    model::{ApiKey, Kind, RestApi, UsagePlan},
    raft::Table,
};
use sluice_rpc::admin::backups_server::Backups as _;
use tokio::sync::mpsc;
use tonic::Request;

use crate::{
    admin::Admin,
    call::Call,
    refused::{Reason, Refused},
    testing::{MemoryReplica, delete, founded, id_of, key_of, put},
};

/// A cluster with an API, a plan and some keys; the keys' ids and values.
async fn configured(keys: usize) -> (Admin<MemoryReplica>, Vec<(String, String)>) {
    let admin = founded();
    admin.done(put(RestApi { name: "pets".into(), ..RestApi::default() })).await;
    admin.done(put(UsagePlan { name: "gold".into(), ..UsagePlan::default() })).await;
    let mut made = Vec::new();
    for number in 0..keys {
        let stored = admin.done(put(ApiKey { name: format!("key {number}"), ..ApiKey::default() })).await;
        made.push((id_of(&stored), key_of(&stored).value.unwrap()));
    }
    (admin, made)
}

async fn backup(admin: &Admin<MemoryReplica>) -> Vec<u8> {
    let replies = admin.create(Request::new(CreateBackupRequest { stale: false })).await.unwrap().into_inner();
    let chunks: Vec<_> = replies.map(|reply| reply.unwrap().chunk).collect().await;
    chunks.concat()
}

fn start(file: &[u8]) -> RestoreStart {
    let digest = Reader::open(file).and_then(Reader::verify).map(|summary| summary.end.digest.to_vec());
    RestoreStart { digest: digest.unwrap_or_default(), ..RestoreStart::default() }
}

async fn restore(admin: &Admin<MemoryReplica>, start: RestoreStart, file: &[u8]) -> Result<RestoreResult, Refused> {
    let pieces = file.chunks(1_000).map(|piece| restore_request::Kind::Chunk(piece.to_vec()));
    let messages: Vec<_> = std::iter::once(restore_request::Kind::Start(start)).chain(pieces).collect();
    let requests = stream::iter(messages.into_iter().map(|kind| Ok(RestoreRequest { kind: Some(kind) })));
    let (replies, _progress) = mpsc::channel(16);
    let call = Call::of(&Request::new(()));
    let reply = super::restore::restore(admin, &call, requests, &replies, admin.imports.admit().unwrap()).await?;
    let RestoreReply { kind: Some(restore_reply::Kind::Result(result)) } = reply else { panic!("a result last") };
    Ok(result)
}

/// What operators and data nodes see.
fn seen(admin: &Admin<MemoryReplica>) -> (Revision, Vec<sluice_proto::raft::BackupRow>) {
    let view = crate::replica::Replica::view(&admin.replica);
    (view.revision(), view.backup_rows().collect())
}

fn value_of(admin: &Admin<MemoryReplica>, id: &str) -> String {
    let view = crate::replica::Replica::view(&admin.replica);
    let key = crate::read::find::<ApiKey, _>(&view, &[id.to_owned()]).unwrap().document;
    admin.tools.secrets.open(id, &key.sealed_value.unwrap()).unwrap()
}

#[tokio::test]
async fn a_backup_brings_back_what_was_deleted_since_as_a_new_generation() {
    let (admin, keys) = configured(20).await;
    let file = backup(&admin).await;
    let before = seen(&admin);
    admin.done(delete(Kind::ApiKey, &[&keys[0].0])).await;
    let later = admin.done(put(ApiKey { name: "later".into(), ..ApiKey::default() })).await;
    let result = restore(&admin, start(&file), &file).await.unwrap();
    let now = seen(&admin);
    assert_eq!(result.revision.as_ref().map(Revision::from).as_ref(), Some(&now.0));
    assert!(!now.0.same_generation(&before.0) && now.0.number > before.0.number);
    assert_eq!((result.resealed, result.replaced.unwrap().generation), (0, "g1".to_owned()));
    for (id, value) in &keys {
        assert_eq!(value_of(&admin, id), *value);
    }
    let view = crate::replica::Replica::view(&admin.replica);
    assert!(view.get(Table::ApiKey, &[id_of(&later)]).is_none(), "what came after the backup is gone");
    assert!(view.staged_restore().is_none());
}

#[tokio::test]
async fn the_backup_of_another_cluster_needs_its_key_and_its_values_work_on() {
    let (lost, keys) = configured(3).await;
    let file = backup(&lost).await;
    let (new, _) = configured(1).await;
    let before = seen(&new);
    let refused = restore(&new, start(&file), &file).await.unwrap_err();
    assert!(refused.message.contains("sealed with the cluster key of cluster c1"), "{}", refused.message);
    assert!(refused.diagnostics[0].hint.contains("--cluster-key-file"));
    for wrong in ["nonsense", "k1:AAAA", new.tools.secrets.keys().to_text().expose()] {
        let start = RestoreStart { cluster_key: wrong.to_owned(), ..start(&file) };
        assert_eq!(restore(&new, start, &file).await.unwrap_err().reason, Reason::Invalid, "{wrong}");
    }
    assert_eq!(seen(&new), before);
    let cluster_key = lost.tools.secrets.keys().to_text().expose().clone();
    let result = restore(&new, RestoreStart { cluster_key, ..start(&file) }, &file).await.unwrap();
    assert_eq!(result.resealed, 3);
    let cluster = crate::replica::Replica::view(&new.replica).cluster().unwrap();
    for (id, value) in &keys {
        assert_eq!(value_of(&new, id), *value);
        let hash = new.tools.secrets.hash(&cluster.sealed_lookup_key, value).unwrap().0;
        let view = crate::replica::Replica::view(&new.replica).get(Table::KeyView, &[id]).unwrap();
        let view: sluice_proto::raft::KeyView = prost::Message::decode(view.bytes).unwrap();
        assert_eq!(view.hash[..], hash[..], "data nodes find the key by the value that clients hold");
    }
}

#[tokio::test]
async fn a_damaged_file_changes_nothing_wherever_the_damage_is() {
    let (admin, _) = configured(5).await;
    let file = backup(&admin).await;
    let before = seen(&admin);
    let good = start(&file);
    for place in (0..file.len()).step_by(97).chain([file.len() - 1]) {
        let mut flipped = file.clone();
        flipped[place] ^= 4;
        let refused = restore(&admin, good.clone(), &flipped).await.unwrap_err();
        assert!(refused.message.contains("nothing was changed"), "{place}: {}", refused.message);
        let cut = restore(&admin, good.clone(), &file[..place]).await.unwrap_err();
        assert_eq!(cut.reason, Reason::Invalid, "{place}");
    }
    let other = RestoreStart { digest: vec![1; 32], ..good.clone() };
    assert_eq!(restore(&admin, other, &file).await.unwrap_err().reason, Reason::Invalid);
    assert_eq!(seen(&admin), before);
    assert!(crate::replica::Replica::view(&admin.replica).staged_restore().is_none());
    drop(restore(&admin, good, &file).await.unwrap());
}

#[tokio::test]
async fn a_restore_that_is_asked_again_is_carried_out_once() {
    let (admin, keys) = configured(2).await;
    let file = backup(&admin).await;
    let start = RestoreStart { request_id: crate::call::new_request_id(), ..start(&file) };
    let first = restore(&admin, start.clone(), &file).await.unwrap();
    admin.done(delete(Kind::ApiKey, &[&keys[0].0])).await;
    drop(restore(&admin, start, &file).await.unwrap());
    let now = seen(&admin).0;
    assert_eq!(first.revision.unwrap().generation, *now.generation);
    let view = crate::replica::Replica::view(&admin.replica);
    assert!(view.get(Table::ApiKey, &[&keys[0].0]).is_none() && view.staged_restore().is_none());
}
