//! `Cluster.Status`: who is there and how far they are.

use sluice_proto::admin::StatusReply;
use tonic::Response;

use crate::{admin::Admin, call::Call, config::fresh_view, refused::Refused, replica::Replica};

/// The cluster as this node sees it; data nodes are counted among those that it knows.
pub(super) async fn status<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    stale: bool,
) -> Result<Response<StatusReply>, Refused> {
    let view = fresh_view(&admin.replica, call, stale).await?;
    let cluster = view.cluster().unwrap_or_default();
    let standing = admin.replica.standing();
    let nodes = admin.sessions.nodes();
    let number = view.number();
    let connected: Vec<_> = nodes.iter().filter(|line| line.state != "gone").collect();
    let current = connected.iter().filter(|line| line.applied_number >= number).count();
    let reply = StatusReply {
        cluster_id: cluster.cluster_id,
        generation: cluster.generation,
        number,
        level: cluster.level,
        term: standing.term,
        leader: standing.leader.unwrap_or(0),
        commit_index: standing.commit_index,
        members: admin.members(&view),
        data_nodes: u32::try_from(connected.len()).unwrap_or(u32::MAX),
        data_nodes_current: u32::try_from(current).unwrap_or(u32::MAX),
        answered_by: admin.about.node_id.clone(),
    };
    Ok(admin.answer(stale, number, reply))
}
