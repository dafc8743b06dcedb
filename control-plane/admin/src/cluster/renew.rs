//! `Cluster.Renew`: a new certificate for a node that shows its present one.
//!
//! Promise: only a member gets one, for itself and nothing else; the row of a node says when the last certificate that it
//! was given expires, before the node has it, so that all of them can be revoked. Absent: when to renew
//! (`sluice-identity`), revocation itself (the gates').

use sluice_identity::{NodeNames, NodeRole, SignedCertificate};
use sluice_proto::{
    admin::{RenewReply, RenewRequest},
    raft::{ClusterRow, Command, Node, RenewCertificate, Stamp, command},
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

/// Signs the request of the node that calls.
pub(super) async fn renew<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RenewRequest,
) -> Result<RenewReply, Refused> {
    let node_id =
        call.node_id.as_deref().ok_or_else(|| Refused::new(Reason::Denied, "expected a node, found another"))?;
    barrier(&admin.replica, call.deadline).await?;
    let (cluster, node) = {
        let view = admin.replica.view();
        let node = view.nodes().into_iter().find(|node| node.id == node_id);
        (view.cluster().unwrap_or_default(), node)
    };
    let node = node.ok_or_else(|| Refused::not_found(format!("node {node_id} is no member of this cluster")))?;
    if cluster.plaintext {
        return Err(Refused::invalid("csrPem", "this cluster has no certificates", ""));
    }
    let signed = sign(admin, &cluster, &message.csr_pem, &node)?;
    note(admin, call, node_id, &signed).await?;
    info!(node_id, serial = signed.serial, "certificate signed");
    Ok(RenewReply { certificate_pem: signed.pem })
}

/// A certificate for `node`, as its row names it.
pub(super) fn sign<R: Replica>(
    admin: &Admin<R>,
    cluster: &ClusterRow,
    csr_pem: &str,
    node: &Node,
) -> Result<SignedCertificate, Refused> {
    let failed = |failure: sluice_identity::IdentityFailure| Refused::invalid("csrPem", failure.to_string(), "");
    let role =
        NodeRole::parse(&node.role).ok_or_else(|| Refused::invalid("node.role", "expected control or data", ""))?;
    let authority = admin.tools.secrets.authority(cluster)?;
    let hosts: Vec<&str> = [&node.peer_address, &node.public_address]
        .into_iter()
        .map(|address| host_of(address))
        .filter(|host| !host.is_empty())
        .collect();
    let names = NodeNames { role, node_id: &node.id, hosts: &hosts };
    authority.sign(csr_pem, &names, admin.about.certificate_lifetime).map_err(failed)
}

/// Writes to the row of a node what it is about to be given.
pub(super) async fn note<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    node_id: &str,
    signed: &SignedCertificate,
) -> Result<(), Refused> {
    // Without a request id: a retry is given another certificate, and this one is forgotten by all but the row.
    let stamp = Stamp { actor: call.actor.clone(), time_ms: now_ms(admin.replica.view().stamp()), ..Stamp::default() };
    let command = RenewCertificate {
        stamp: Some(stamp),
        node_id: node_id.to_owned(),
        serial: signed.serial.clone(),
        expires_ms: signed.expires_ms,
    };
    let command = Command { kind: Some(command::Kind::RenewCertificate(command)) };
    here(&admin.replica, command, call.deadline).await.map(drop)
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
