//! The rotation of the cluster key.
//!
//! A leader makes the key and has a majority of the voters keep it in their files, over connections between control nodes
//! only; then the log says that it seals. From then on each control node that lacks it fetches it, and whoever leads seals
//! anew what the key before has sealed, some rows at a time (`steps`), until nothing refers to that and all forget it
//! (`held`).
//!
//! Promise: at every moment each secret opens with a key that a majority holds, whoever is killed; a rotation that was begun
//! is brought to its end by whoever leads. Absent: the CA's key and the lookup key stay what they are, sealed anew.

mod held;
mod steps;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sluice_identity::ClusterKey;
use sluice_proto::{
    admin::{RotateKeyReply, RotateKeyRequest},
    raft::{Command, KeepKeyRequest, RotateKey, Stamp, command, rotate_key::Step},
};
use tracing::{info, warn};

pub(crate) use self::held::keep;
use crate::{
    admin::Admin,
    call::Call,
    commit::barrier,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

/// How often a node looks whether there is something to do.
const EVERY: Duration = Duration::from_millis(500);
/// For one control node to keep a key.
const KEEPING: Duration = Duration::from_secs(5);

/// How far the rotation is that this node brings to its end.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<u64>>);

impl Progress {
    /// How many secrets are still sealed with the old key; none when this node does not know.
    pub(crate) fn left(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, left: Option<u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

/// Keeps this node's keys those of the cluster, and rotates while it leads; until it is dropped.
pub(crate) async fn run<R: Replica>(admin: Admin<R>) {
    let mut rotating = steps::Rotating::default();
    loop {
        let turn = async {
            held::follow(&admin).await?;
            rotating.turn(&admin).await
        };
        match turn.await {
            Ok(steps::Turn::More) => tokio::task::yield_now().await,
            Ok(steps::Turn::Quiet) => tokio::time::sleep(EVERY).await,
            Err(refused) => {
                warn!(reason = refused.message, "cluster keys are not what they should be yet");
                rotating = steps::Rotating::default();
                tokio::time::sleep(EVERY).await;
            }
        }
    }
}

/// Begins a rotation, or finds one under way.
pub(crate) async fn begin<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RotateKeyRequest,
) -> Result<RotateKeyReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    barrier(&admin.replica, call.deadline).await?;
    if under_way(admin).is_some() || is_known(admin, call, &request.id) {
        return Ok(answer(admin, true, Vec::new()));
    }
    let keys = admin.tools.secrets.keys();
    let failed = |failure: sluice_identity::IdentityFailure| Refused::new(Reason::Unavailable, failure.to_string());
    let key = keys.next().map_err(failed)?;
    keep(keys, vec![key.to_text().expose().clone()]).await.map_err(failed)?;
    let nodes_without = match spread(admin, &key, call.deadline).await {
        Ok(nodes_without) => nodes_without,
        Err(refused) => {
            // Nothing says that it should be used; on other nodes it does no harm.
            keys.remove(&[key.id().to_owned()]).map_err(failed)?;
            return Err(refused);
        }
    };
    let time_ms = now_ms(admin.replica.view().stamp());
    let stamp = call.stamp(time_ms, Some(request));
    match propose(admin, stamp, Step::Begin, key.id(), call.deadline).await {
        Ok(()) => info!(key_id = key.id(), "cluster key is rotated"),
        // Another call was faster.
        Err(_) if under_way(admin).is_some() => return Ok(answer(admin, true, Vec::new())),
        Err(refused) => return Err(refused),
    }
    Ok(answer(admin, false, nodes_without))
}

/// The key before, while there is a rotation.
fn under_way<R: Replica>(admin: &Admin<R>) -> Option<String> {
    admin.replica.view().cluster().map(|cluster| cluster.old_key_id).filter(|old| !old.is_empty())
}

fn is_known<R: Replica>(admin: &Admin<R>, call: &Call, request_id: &[u8]) -> bool {
    <[u8; 16]>::try_from(request_id).is_ok_and(|id| admin.replica.view().request(&call.actor, &id).is_some())
}

fn answer<R: Replica>(admin: &Admin<R>, under_way: bool, nodes_without: Vec<String>) -> RotateKeyReply {
    let view = admin.replica.view();
    let old_key_id = view.cluster().map(|cluster| cluster.old_key_id).unwrap_or_default();
    RotateKeyReply { key_id: view.sealing_key(), old_key_id, under_way, nodes_without }
}

/// Has the other control nodes keep the key; the ids of those that did not.
///
/// # Errors
/// `Unavailable` when a majority of the voters does not hold it then.
async fn spread<R: Replica>(admin: &Admin<R>, key: &ClusterKey, deadline: Instant) -> Result<Vec<String>, Refused> {
    let standing = admin.replica.standing();
    let (cluster_id, nodes) = {
        let view = admin.replica.view();
        (view.cluster().unwrap_or_default().cluster_id, view.nodes())
    };
    let deadline = deadline.min(Instant::now() + KEEPING);
    let tell = |raft_id: u64| {
        let request = KeepKeyRequest { cluster_id: cluster_id.clone(), key: key.to_text().expose().clone() };
        async move { (raft_id, admin.replica.keep_key(raft_id, request, deadline).await) }
    };
    let others = standing.members.iter().filter(|member| member.raft_id != standing.raft_id);
    let told = join_all(others.map(|member| tell(member.raft_id))).await;
    let without: Vec<u64> = told
        .iter()
        .filter_map(|(raft_id, kept)| {
            let status = kept.as_ref().err()?;
            warn!(
                raft_id,
                reason = sluice_identity::status_text(status),
                "control node did not keep the new cluster key"
            );
            Some(*raft_id)
        })
        .collect();
    let voters: Vec<u64> = standing.members.iter().filter(|member| member.voter).map(|member| member.raft_id).collect();
    let holding = voters.iter().filter(|voter| !without.contains(voter)).count();
    if holding * 2 <= voters.len() && !voters.is_empty() {
        return Err(Refused::new(
            Reason::Unavailable,
            format!(
                "expected a majority of {} control nodes to keep the new key, found {holding}; nothing was changed",
                voters.len()
            ),
        ));
    }
    let name = |raft_id: &u64| {
        let node = nodes.iter().find(|node| node.raft_id == *raft_id);
        node.map_or_else(|| raft_id.to_string(), |node| node.id.clone())
    };
    Ok(without.iter().map(name).collect())
}

async fn propose<R: Replica>(
    admin: &Admin<R>,
    stamp: Stamp,
    step: Step,
    key_id: &str,
    deadline: Instant,
) -> Result<(), Refused> {
    let rotate = RotateKey { stamp: Some(stamp), step: step.into(), key_id: key_id.to_owned() };
    let command = Command { kind: Some(command::Kind::RotateKey(rotate)) };
    here(&admin.replica, command, deadline).await.map(drop)
}

#[cfg(test)]
mod tests;
