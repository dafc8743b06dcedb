//! Who is in the cluster, who votes, who leads: what `cluster` and `node` say to it.

use serde_json::json;
use sluice_proto::admin::{DemoteRequest, MembersReply, PromoteRequest, RemoveNodeRequest, TransferLeaderRequest};
use sluice_rpc::admin::cluster_client::ClusterClient;

use crate::{
    args::Consent,
    cluster::ask_status,
    failure::{Failure, diagnostic_json},
    node::Role,
    output::Changed,
    session::Session,
};

pub(crate) async fn promote(session: &Session, node: String) -> Result<(), Failure> {
    let message = PromoteRequest { node };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| ClusterClient::new(channel).promote(request).await)
        .await?;
    print(session, "promoted", &reply);
    Ok(())
}

pub(crate) async fn demote(session: &Session, node: String) -> Result<(), Failure> {
    let message = DemoteRequest { node };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| ClusterClient::new(channel).demote(request).await)
        .await?;
    print(session, "demoted", &reply);
    Ok(())
}

/// Takes a node out for good, after consent.
pub(crate) async fn remove(
    session: &Session,
    node: String,
    role: Option<Role>,
    consent: Consent,
) -> Result<(), Failure> {
    session.consent(consent, &format!("take node {node} out of the cluster for good"))?;
    let message = RemoveNodeRequest { node, role: role.map(Role::name) };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| ClusterClient::new(channel).remove_node(request).await)
        .await?;
    print(session, "removed", &reply);
    Ok(())
}

pub(crate) async fn transfer_leader(session: &Session, node: Option<String>) -> Result<(), Failure> {
    // Asked again of the next leader, when the answer of this one is lost, it is done.
    let from = ask_status(session).await?.leader;
    let message = TransferLeaderRequest { node, from: (from != 0).then_some(from) };
    let reply = session
        .client
        .call(session.timeout, message, async |channel, request| {
            ClusterClient::new(channel).transfer_leader(request).await
        })
        .await?;
    let document = json!({"leader": reply.raft_id, "nodeId": reply.node_id, "term": reply.term});
    let what = format!("control node {} (raft {})", reply.node_id, reply.raft_id);
    session.output.changed(Changed { verb: "leads:", what, document, revision: None });
    Ok(())
}

fn print(session: &Session, verb: &str, reply: &MembersReply) {
    session.output.warnings(&reply.warnings);
    let document = json!({
        "nodeId": reply.node_id,
        "role": reply.role,
        "state": reply.state,
        "changed": !reply.unchanged,
        "voters": reply.voters,
        "warnings": reply.warnings.iter().map(diagnostic_json).collect::<Vec<_>>(),
    });
    let was = if reply.unchanged { ", as it was before" } else { "" };
    let votes = match reply.role.as_str() {
        "control" => format!("; control nodes that vote: {}", reply.voters),
        _ => String::new(),
    };
    let what = format!("{} node {} ({}{was}){votes}", reply.role, reply.node_id, reply.state);
    session.output.changed(Changed { verb, what, document, revision: None });
}
