//! `Cluster.Join`: a join token's secret for a place in the cluster.
//!
//! Promise: a token admits one node; asking again with the same request id gives the same node its answer again, with
//! a new certificate for the same key. Absent: promotion of a control node, which Raft does when it has caught up.

use sluice_identity::{Authority, NodeNames, NodeRole, admit, token_hash};
use sluice_proto::{
    admin::{JoinReply, JoinRequest},
    raft::{ClusterRow, Command, Node, Stamp, UseJoinToken, command},
};
use tracing::info;

use crate::{
    admin::Admin,
    call::Call,
    commit::barrier,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

/// Characters of a node's id.
const NODE_ID_CHARS: usize = 10;
/// Joins that met on one Raft id and are given the next.
const RAFT_ID_TRIES: u32 = 8;

/// Admits a node.
pub(super) async fn join<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: JoinRequest,
) -> Result<JoinReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let wanted = message.node.clone().ok_or_else(|| Refused::invalid("node", "expected a node, found none", ""))?;
    // One that chose its id could choose another's, and be taken for it.
    if !wanted.id.is_empty() {
        let text = format!("expected no id, found `{}`", wanted.id);
        return Err(Refused::invalid("node.id", text, "leave it out: the leader makes one"));
    }
    let role = NodeRole::parse(&wanted.role).ok_or_else(|| {
        Refused::invalid("node.role", format!("expected control or data, found `{}`", wanted.role), "")
    })?;
    barrier(&admin.replica, call.deadline).await?;
    let cluster = admin.replica.view().cluster().unwrap_or_default();
    for attempt in 0..RAFT_ID_TRIES {
        let attempted = crate::commit::derived_id(&request.id, b"join", u64::from(attempt));
        let mut node = new_node(admin, &wanted, role, &request.id);
        let time_ms = {
            let view = admin.replica.view();
            let time_ms = now_ms(view.stamp());
            // A node that was admitted by this request has used the token up: apply says so by replaying.
            if !view.nodes().iter().any(|known| known.id == node.id) {
                let tokens = view.join_tokens();
                let kept = tokens.iter().find(|token| token.id == message.token_id);
                admit(kept, &message.token_secret, role, time_ms)
                    .map_err(|refused| Refused::new(Reason::Expired, refused.to_string()))?;
            }
            time_ms
        };
        let certificate = certificate(admin, &cluster, &message, role, &mut node)?;
        let stamp = Stamp {
            actor: call.actor.clone(),
            time_ms,
            request: Some(sluice_proto::raft::RequestId { id: attempted.into(), hash: request.hash.clone() }),
        };
        let command = UseJoinToken {
            stamp: Some(stamp),
            id: message.token_id.clone(),
            secret_hash: token_hash(&message.token_secret).as_bytes().to_vec().into(),
            node: Some(node.clone()),
        };
        let command = Command { kind: Some(command::Kind::UseJoinToken(command)) };
        match here(&admin.replica, command, call.deadline).await {
            Ok(_) => return welcome(admin, call, cluster, node, certificate).await,
            // Another control node joined at the same moment and took the Raft id.
            Err(refused) if refused.reason == Reason::Conflict => {}
            Err(refused) => return Err(refused),
        }
    }
    Err(Refused::new(Reason::Unavailable, "other nodes kept joining at the same moment; try again"))
}

/// The node as it is admitted: the one that an earlier execution made, or a new one.
fn new_node<R: Replica>(admin: &Admin<R>, wanted: &Node, role: NodeRole, request_id: &[u8]) -> Node {
    let view = admin.replica.view();
    let seed = blake3::hash(&[b"sluice node", request_id].concat());
    let id = sluice_model::ids::id_from_random(seed.as_bytes(), NODE_ID_CHARS);
    let nodes = view.nodes();
    if let Some(known) = nodes.iter().find(|known| known.id == id) {
        return Node { joined_ms: known.joined_ms, raft_id: known.raft_id, id, ..wanted.clone() };
    }
    let members = admin.replica.standing().members;
    let used = nodes.iter().map(|node| node.raft_id).chain(members.iter().map(|member| member.raft_id));
    let raft_id = match role {
        NodeRole::Control => used.max().unwrap_or(0) + 1,
        NodeRole::Data => 0,
    };
    Node { id, raft_id, joined_ms: now_ms(view.stamp()), ..wanted.clone() }
}

/// Signs the node's request, and notes the serial; nothing in a cluster without certificates.
fn certificate<R: Replica>(
    admin: &Admin<R>,
    cluster: &ClusterRow,
    message: &JoinRequest,
    role: NodeRole,
    node: &mut Node,
) -> Result<String, Refused> {
    if cluster.plaintext {
        return Ok(String::new());
    }
    let failed = |failure: sluice_identity::IdentityFailure| Refused::invalid("csrPem", failure.to_string(), "");
    let sealer = admin.tools.secrets.sealer();
    let authority = Authority::unseal(sealer, &cluster.ca_certificate_pem, &cluster.sealed_ca_key)
        .map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))?;
    let hosts: Vec<&str> = [&node.peer_address, &node.public_address]
        .into_iter()
        .map(|address| host_of(address))
        .filter(|host| !host.is_empty())
        .collect();
    let names = NodeNames { role, node_id: &node.id, hosts: &hosts };
    let signed = authority.sign(&message.csr_pem, &names).map_err(failed)?;
    node.certificate_serial = signed.serial;
    Ok(signed.pem)
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What the admitted node needs; a control node is added to Raft's group.
async fn welcome<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    cluster: ClusterRow,
    node: Node,
    certificate_pem: String,
) -> Result<JoinReply, Refused> {
    let is_control = node.role == NodeRole::Control.as_str();
    let cluster_key = match (&admin.about.cluster_key, is_control) {
        (Some(key), true) => key.to_text().expose().clone(),
        _ => String::new(),
    };
    if is_control {
        admin.replica.add_learner(node.raft_id, &node.peer_address, call.deadline).await?;
    }
    info!(node_id = %node.id, role = %node.role, "node joined");
    let nodes = admin.replica.view().nodes();
    let controls = nodes.into_iter().filter(|known| known.role == NodeRole::Control.as_str());
    let control_addresses = controls.map(|known| known.public_address).filter(|address| !address.is_empty());
    Ok(JoinReply {
        cluster_id: cluster.cluster_id,
        node_id: node.id,
        raft_id: node.raft_id,
        certificate_pem,
        ca_certificate_pem: cluster.ca_certificate_pem,
        cluster_key,
        control_addresses: control_addresses.collect(),
    })
}
