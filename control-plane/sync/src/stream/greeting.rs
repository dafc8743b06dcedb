//! The beginning of a stream: who opens it, and whether this node may serve it.
//!
//! A detached node serves only those that hold nothing: any others would come back to it as often as it sent them away.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_model::Revision;
use sluice_proto::sync::{FromData, Hello, from_data};
use tokio::{sync::watch, time::timeout};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::{
    Shared, gate,
    session::{Caller, Ended},
};
use crate::source::Source;

/// Takes the hello of a node that may be served, once this node may serve.
pub(super) async fn greet<S, I>(shared: &Shared<S>, incoming: &mut I, caller: &Caller) -> Result<Hello, Ended>
where
    S: Source,
    I: Stream<Item = Result<FromData, Status>> + Send + Unpin,
{
    let hello = hello(shared, incoming, caller).await?;
    gate::pass(&shared.fleet).await?;
    of_this_cluster(shared, &hello)?;
    // It was sent here by a control node that is detached too, or has just left this one.
    if hello.revision.is_some() && shared.fleet.is_detached() {
        return Err(Ended::Detached);
    }
    Ok(hello)
}

async fn hello<S, I>(shared: &Shared<S>, incoming: &mut I, caller: &Caller) -> Result<Hello, Ended>
where
    S: Source,
    I: Stream<Item = Result<FromData, Status>> + Send + Unpin,
{
    let first = timeout(shared.fleet.inner.timing.hello_max, incoming.next()).await;
    let hello = match first {
        Ok(Some(Ok(FromData { kind: Some(from_data::Kind::Hello(hello)) }))) => hello,
        Ok(Some(Ok(_))) => return Err(Status::invalid_argument("expected a hello first, found another message").into()),
        Ok(Some(Err(_)) | None) => return Err(Ended::Left),
        Err(_) => return Err(Status::deadline_exceeded("expected a hello, found nothing in time").into()),
    };
    if hello.node_id != caller.node_id {
        let message = format!("expected the hello of node {}, found that of {}", caller.node_id, hello.node_id);
        return Err(Status::permission_denied(message).into());
    }
    Ok(hello)
}

/// A node of another cluster would take this one's configuration for its own.
fn of_this_cluster<S: Source>(shared: &Shared<S>, hello: &Hello) -> Result<(), Status> {
    let cluster = shared.fleet.inner.source.view().cluster();
    let cluster_id = cluster.ok_or_else(|| Status::unavailable("the cluster is not founded yet"))?.cluster_id;
    if hello.cluster_id == cluster_id {
        return Ok(());
    }
    let message = format!("expected a node of cluster {cluster_id}, found one of {}", hello.cluster_id);
    Err(Status::failed_precondition(message))
}

/// Waits a while for this node to come to what the data node holds; where it stands, when it does not.
pub(super) async fn still_behind<S: Source>(
    shared: &Shared<S>,
    revisions: &mut watch::Receiver<u64>,
    held: Option<&Revision>,
) -> Option<Revision> {
    let inner = &shared.fleet.inner;
    let held = held?;
    // Numbers go on rising when a restore makes a new generation: one that is ahead in another generation has seen a
    // restore that this node has not.
    if held.number <= inner.source.view().revision().number {
        return None;
    }
    let reached = revisions.wait_for(|number| *number >= held.number);
    match timeout(inner.timing.behind_max, reached).await {
        Ok(Ok(_)) => None,
        _ => Some(inner.source.view().revision()),
    }
}

/// For people who look at the fleet; compared with nothing.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
