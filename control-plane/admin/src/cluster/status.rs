//! `Cluster.Status`: who is there and how far they are.

use sluice_proto::{
    admin::{StateDigest, StatusReply, StatusRequest},
    model::Diagnostic,
};
use sluice_raft::ProposeFailure;
use sluice_state::View;
use tonic::Response;

use crate::{
    admin::Admin,
    call::Call,
    config::fresh_view,
    refused::{Reason, Refused},
    replica::Replica,
};

/// The cluster as this node sees it; data nodes are counted among those that it knows.
pub(super) async fn status<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    asked: &StatusRequest,
) -> Result<Response<StatusReply>, Refused> {
    let view = fresh_view(&admin.replica, call, asked.stale).await?;
    let cluster = view.cluster().unwrap_or_default();
    let sealing_key = view.sealing_key();
    let standing = admin.replica.standing();
    let nodes = admin.sessions.nodes();
    let number = view.number();
    let connected: Vec<_> = nodes.iter().filter(|line| line.state != "gone").collect();
    let current = connected.iter().filter(|line| line.applied_number >= number).count();
    let members = admin.members(&view);
    let state = if asked.digest { Some(digest::<R>(view).await?) } else { None };
    let reply = StatusReply {
        cluster_id: cluster.cluster_id,
        generation: cluster.generation,
        number,
        level: cluster.level,
        term: standing.term,
        leader: standing.leader.unwrap_or(0),
        commit_index: standing.commit_index,
        members,
        data_nodes: u32::try_from(connected.len()).unwrap_or(u32::MAX),
        data_nodes_current: u32::try_from(current).unwrap_or(u32::MAX),
        answered_by: admin.about.node_id.clone(),
        state,
        sealing_key_id: sealing_key,
        sealed_with_old_key: admin.rotation.left(),
        old_key_id: cluster.old_key_id,
        warnings: warnings(admin),
    };
    Ok(admin.answer(asked.stale, number, reply))
}

/// Reads every row, on a thread that may be kept for so long.
async fn digest<R: Replica>(view: View<R::Tables>) -> Result<StateDigest, Refused> {
    let read = move || {
        let (mut rows, mut hasher) = (0, blake3::Hasher::new());
        for (key, value) in view.all_rows() {
            rows += 1;
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(&part);
            }
        }
        let digest = hasher.finalize().as_bytes().to_vec();
        StateDigest { applied_index: R::applied_in(&view).unwrap_or(0), rows, digest }
    };
    let unread = |error: tokio::task::JoinError| Refused::new(Reason::Unavailable, error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(unread)
}

/// What is wrong with the cluster as the leader sees it.
fn warnings<R: Replica>(admin: &Admin<R>) -> Vec<Diagnostic> {
    let shortage = admin.replica.disk_shortage().map(|short| Diagnostic {
        code: Reason::DiskFull.code().to_owned(),
        at: "cluster".to_owned(),
        message: ProposeFailure::from(short).to_string(),
        hint: String::new(),
        severity: "warning".to_owned(),
    });
    let clocks = admin.replica.clocks_astray().into_iter().map(|clock| {
        let seconds = clock.offset_ms as f64 / 1_000.0;
        Diagnostic {
            code: "clock".to_owned(),
            at: format!("control node {}", clock.raft_id),
            message: format!(
                "its clock is {seconds:+.1} s from the median of the voters': a leader hands over for that"
            ),
            hint: "set it right, and keep it so (chrony, systemd-timesyncd)".to_owned(),
            severity: "warning".to_owned(),
        }
    });
    shortage.into_iter().chain(clocks).collect()
}
