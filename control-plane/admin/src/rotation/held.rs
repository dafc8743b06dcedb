//! The keys that a node holds: fetched when the state names one that it lacks, forgotten when the state has retired them.
//!
//! Promise: a key is kept on disk before anything relies on it. Absent: whether a key may be retired (`steps`).

use std::time::{Duration, Instant};

use sluice_identity::{ClusterKey, IdentityFailure, Keyring};
use sluice_proto::raft::{ClusterRow, GetKeysRequest};
use tracing::info;

use crate::{
    admin::Admin,
    refused::{Reason, Refused},
    replica::{Leader, Replica},
};

/// For one control node to answer.
const ASKING: Duration = Duration::from_secs(5);

/// Keeps keys in their text form. Their file is synced: on a blocking thread.
pub(crate) async fn keep(keys: &Keyring, texts: Vec<String>) -> Result<(), IdentityFailure> {
    let keys = keys.clone();
    let kept =
        tokio::task::spawn_blocking(move || texts.iter().try_for_each(|text| keys.add(&ClusterKey::parse(text)?)));
    kept.await.map_err(|error| IdentityFailure::Sealed { reason: error.to_string() })?
}

/// Brings what this node holds to what its state says.
pub(super) async fn follow<R: Replica>(admin: &Admin<R>) -> Result<(), Refused> {
    let (cluster, sealing) = {
        let view = admin.replica.view();
        (view.cluster(), view.sealing_key())
    };
    let Some(cluster) = cluster else { return Ok(()) };
    let keys = admin.tools.secrets.keys();
    let held = keys.ids();
    let lacking: Vec<String> =
        [sealing, cluster.old_key_id.clone()].into_iter().filter(|id| !id.is_empty() && !held.contains(id)).collect();
    if !lacking.is_empty() {
        fetch(admin, &cluster, &lacking).await?;
    }
    let retired: Vec<String> = cluster.retired_key_ids.iter().filter(|id| held.contains(id)).cloned().collect();
    if !retired.is_empty() {
        let (keys, going) = (keys.clone(), retired.clone());
        let removed = tokio::task::spawn_blocking(move || keys.remove(&going)).await;
        let removed = removed.map_err(|error| Refused::new(Reason::Unavailable, error.to_string()))?;
        removed.map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))?;
        info!(key_ids = ?retired, "old cluster keys forgotten");
    }
    Ok(())
}

/// Asks the others, the leader first, until none is lacking.
async fn fetch<R: Replica>(admin: &Admin<R>, cluster: &ClusterRow, lacking: &[String]) -> Result<(), Refused> {
    let standing = admin.replica.standing();
    let mut others: Vec<u64> = standing.members.iter().map(|member| member.raft_id).collect();
    others.retain(|other| *other != standing.raft_id);
    let leader = match admin.replica.leader() {
        Leader::Other(leader) => Some(leader),
        Leader::This | Leader::Unknown => None,
    };
    others.sort_by_key(|other| Some(*other) != leader);
    let keys = admin.tools.secrets.keys();
    for other in others {
        let request = GetKeysRequest { cluster_id: cluster.cluster_id.clone(), ids: lacking.to_vec() };
        let Ok(reply) = admin.replica.get_keys(other, request, Instant::now() + ASKING).await else { continue };
        keep(keys, reply.keys).await.map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))?;
        let held = keys.ids();
        if lacking.iter().all(|id| held.contains(id)) {
            info!(key_ids = ?lacking, from = other, "cluster keys fetched");
            return Ok(());
        }
    }
    let message = format!("no control node that answers holds the cluster key {}", lacking.join(", "));
    Err(Refused::new(Reason::Unavailable, message))
}
