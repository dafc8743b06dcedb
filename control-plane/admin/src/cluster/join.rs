//! `Cluster.Join`: a join token's secret for a place in the cluster.
//!
//! Promise: a token admits one node; asking again with the same request id, token and key gives the same node its answer
//! again, at any later time, with a new certificate for the same key. Absent: promotion of a control node, which Raft does when it has caught up.

use bytes::Bytes;
use sluice_identity::{NodeRole, SignedCertificate, admit, token_hash};
use sluice_proto::{
    admin::{JoinReply, JoinRequest},
    raft::{ClusterRow, Command, Node, UseJoinToken, command},
};
use tracing::info;

use crate::{
    admin::Admin,
    call::Call,
    cluster::renew::{note, sign},
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
    if wanted.level < cluster.level {
        let message = format!(
            "expected a node that knows feature level {}, which the cluster has, found one that knows {}; install the release of the others",
            cluster.level, wanted.level
        );
        return Err(Refused::new(Reason::Level, message));
    }
    for _ in 0..RAFT_ID_TRIES {
        let mut node = new_node(admin, &wanted, role, &request.id);
        let certificate = certificate(admin, &cluster, &message, &mut node)?;
        let time_ms = {
            let view = admin.replica.view();
            if let Some(known) = known(&view.nodes(), &node.id) {
                return again(admin, call, cluster, known, &node, certificate).await;
            }
            let time_ms = now_ms(view.stamp());
            let tokens = view.join_tokens();
            let kept = tokens.iter().find(|token| token.id == message.token_id);
            admit(kept, &message.token_secret, role, time_ms)
                .map_err(|refused| Refused::new(Reason::Expired, refused.to_string()))?;
            time_ms
        };
        // Without a request id, which is forgotten: the node's row is what says that this was done.
        let command = UseJoinToken {
            stamp: Some(call.stamp(time_ms, None)),
            id: message.token_id.clone(),
            secret_hash: token_hash(&message.token_secret).as_bytes().to_vec().into(),
            node: Some(node.clone()),
        };
        let command = Command { kind: Some(command::Kind::UseJoinToken(command)) };
        match here(&admin.replica, command, call.deadline).await {
            Ok(_) => return welcome(admin, call, cluster, node, certificate).await,
            // Another control node joined at the same moment and took the Raft id.
            Err(refused) if refused.reason == Reason::Conflict => {}
            // The same request, sent at the same moment to another node, has used the token up.
            Err(_) if known(&admin.replica.view().nodes(), &node.id).is_some() => {}
            Err(refused) => return Err(refused),
        }
    }
    Err(Refused::new(Reason::Unavailable, "other nodes kept joining at the same moment; try again"))
}

fn known(nodes: &[Node], id: &str) -> Option<Node> {
    nodes.iter().find(|known| known.id == id).cloned()
}

/// Answers a node that was admitted and asks again, however much later: nothing is proposed but its new certificate. `asked` is who asks.
async fn again<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    cluster: ClusterRow,
    known: Node,
    asked: &Node,
    certificate: Option<SignedCertificate>,
) -> Result<JoinReply, Refused> {
    if known.joined_by.is_empty() || known.joined_by != asked.joined_by || known.role != asked.role {
        let message = "expected the token and the key with which this request was sent before, found others";
        return Err(Refused::new(Reason::RequestReused, message));
    }
    if let Some(certificate) = &certificate {
        note(admin, call, &known.id, certificate).await?;
    }
    welcome(admin, call, cluster, known, certificate).await
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
    let removed = view.removed_nodes();
    let used = nodes.iter().map(|node| node.raft_id).chain(members.iter().map(|member| member.raft_id));
    let used = used.chain(removed.iter().map(|node| node.raft_id));
    let raft_id = match role {
        NodeRole::Control => used.max().unwrap_or(0) + 1,
        NodeRole::Data => 0,
    };
    Node { id, raft_id, joined_ms: now_ms(view.stamp()), ..wanted.clone() }
}

/// Signs the node's request, and notes the certificate and by what it joins; none in a cluster without certificates.
fn certificate<R: Replica>(
    admin: &Admin<R>,
    cluster: &ClusterRow,
    message: &JoinRequest,
    node: &mut Node,
) -> Result<Option<SignedCertificate>, Refused> {
    if cluster.plaintext {
        node.joined_by = joined_by(&message.token_secret, &[]);
        return Ok(None);
    }
    let signed = sign(admin, cluster, &message.csr_pem, node)?;
    node.certificate_serial.clone_from(&signed.serial);
    node.certificate_expires_ms = signed.expires_ms;
    node.joined_by = joined_by(&message.token_secret, &signed.key_hash);
    Ok(Some(signed))
}

/// What only the node that joins can show again: a control node's answer holds the cluster key.
fn joined_by(token_secret: &str, key_hash: &[u8]) -> Bytes {
    let mut hasher = blake3::Hasher::new_derive_key("sluice node joined by v1");
    hasher.update(token_hash(token_secret).as_bytes()).update(key_hash);
    Bytes::copy_from_slice(hasher.finalize().as_bytes())
}

/// What the admitted node needs; a control node is added to Raft's group.
async fn welcome<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    cluster: ClusterRow,
    node: Node,
    certificate: Option<SignedCertificate>,
) -> Result<JoinReply, Refused> {
    let is_control = node.role == NodeRole::Control.as_str();
    let cluster_key = match is_control {
        true => admin.tools.secrets.keys().to_text().expose().clone(),
        false => String::new(),
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
        certificate_pem: certificate.map(|certificate| certificate.pem).unwrap_or_default(),
        ca_certificate_pem: cluster.ca_certificate_pem,
        cluster_key,
        control_addresses: control_addresses.collect(),
    })
}

#[cfg(test)]
mod tests {
    use sluice_identity::JoinToken;
    use sluice_proto::{
        admin::CreateTokenRequest,
        raft::{Stamp, Trim, command::Kind},
    };
    use tonic::Request;

    use super::*;
    use crate::{call::new_request_id, cluster::token, testing::MemoryReplica, testing::founded};

    async fn asked(admin: &Admin<MemoryReplica>, role: &str) -> JoinRequest {
        // Older than that of the token, which is forgotten first.
        let request_id = new_request_id();
        let message = CreateTokenRequest { role: role.into(), ..CreateTokenRequest::default() };
        let reply = token::create(admin, &Call::of(&Request::new(())), message).await.unwrap();
        let token = JoinToken::parse(&reply.token).unwrap();
        JoinRequest {
            request_id,
            token_id: token.id.clone(),
            token_secret: token.secret.expose().clone(),
            csr_pem: String::new(),
            node: Some(Node { role: role.into(), peer_address: "h:7101".into(), level: 1, ..Node::default() }),
        }
    }

    async fn join(admin: &Admin<MemoryReplica>, message: &JoinRequest) -> Result<JoinReply, Refused> {
        super::join(admin, &Call::of(&Request::new(())), message.clone()).await
    }

    /// All request ids that are known now are forgotten.
    fn much_later(admin: &Admin<MemoryReplica>) {
        let stamp = Stamp {
            actor: "local".into(),
            time_ms: now_ms(admin.replica.view().stamp()) + 660_000,
            ..Default::default()
        };
        admin.replica.apply(&Command { kind: Some(Kind::Trim(Trim { stamp: Some(stamp) })) });
    }

    #[tokio::test]
    async fn a_node_that_asks_again_much_later_gets_its_answer_and_leaves_no_ghost() {
        for role in ["control", "data"] {
            let admin = founded();
            let message = asked(&admin, role).await;
            let first = join(&admin, &message).await.unwrap();
            much_later(&admin);
            let index = admin.replica.log_index();
            // It may have moved meanwhile, which it announces when it has begun.
            let mut moved = message.clone();
            moved.node.as_mut().unwrap().peer_address = "other:7101".into();
            for again in [&message, &moved] {
                assert_eq!(join(&admin, again).await.unwrap(), first, "{role}");
            }
            assert_eq!((admin.replica.view().nodes().len(), admin.replica.log_index()), (1, index), "{role}");
        }
    }

    #[tokio::test]
    async fn a_request_that_was_made_long_ago_and_never_arrived_is_still_good() {
        let admin = founded();
        let early = asked(&admin, "data").await;
        much_later(&admin);
        join(&admin, &early).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_another_secret_is_not_the_node_that_joined() {
        let admin = founded();
        let message = asked(&admin, "control").await;
        join(&admin, &message).await.unwrap();
        let guessed = JoinRequest { token_secret: "guessed".into(), ..message.clone() };
        let other = JoinRequest { request_id: message.request_id.clone(), ..asked(&admin, "control").await };
        let mut role = message;
        role.node.as_mut().unwrap().role = "data".into();
        for wrong in [guessed, other, role] {
            assert_eq!(join(&admin, &wrong).await.unwrap_err().reason, Reason::RequestReused);
        }
        assert_eq!(admin.replica.view().nodes().len(), 1);
    }
}
