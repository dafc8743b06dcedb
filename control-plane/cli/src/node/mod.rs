//! `node`: the nodes of the cluster and what they serve.

mod drain;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sluice_proto::admin::{BrokenOnNode, ListNodesReply, ListNodesRequest, NodeLine};
use sluice_rpc::admin::fleet_client::FleetClient;

use self::drain::WaitFor;
use crate::{
    args::{Consent, Page},
    failure::{Exit, Failure},
    freshness::Freshness,
    members,
    noun::pages,
    session::Session,
    table::{Column, column},
};

const COLUMNS: [Column; 7] = [
    column("ID", "id"),
    column("ROLE", "role"),
    column("ADDRESS", "address"),
    column("STATE", "state"),
    column("REVISION", "appliedNumber"),
    column("BROKEN", "brokenApis"),
    column("VERSION", "version"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Control,
    Data,
}

impl Role {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Control => "control".to_owned(),
            Self::Data => "data".to_owned(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the nodes
    #[command(after_help = "Example:\n  sluice node list --role data")]
    List {
        /// Only nodes of this role
        #[arg(long, value_enum)]
        role: Option<Role>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a node
    #[command(after_help = "Example:\n  sluice node get 127.0.0.1:8080")]
    Get {
        /// Id or address
        node: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Send a node's clients elsewhere before it is stopped: it is not ready, and serves those that come all the same.
    /// `--undo` is the opposite, and so is starting it again
    #[command(after_help = "Example:\n  sluice node drain 10.0.0.7:8080 && ssh 10.0.0.7 systemctl restart sluice-data")]
    Drain {
        /// Id or address; of a control node its raft number too
        node: String,
        /// Let it serve again
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        wait: WaitFor,
    },
    /// Take a node out of the cluster for good: it stops, and is not taken in again
    #[command(after_help = "Example:\n  sluice node remove 10.0.0.7:8080 --yes")]
    Remove {
        /// Id or address
        node: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { role, page } => {
                let session = &session.reading(page.freshness);
                pages(session, &COLUMNS, &page, async |page_size, page_token| {
                    let role = role.map(Role::name);
                    let message = ListNodesRequest { role, page_size, page_token, ..ListNodesRequest::default() };
                    let reply = list_nodes(session, message).await?;
                    Ok((
                        reply.items.iter().map(|node| node_json(node, session.freshness)).collect(),
                        reply.next_page_token,
                    ))
                })
                .await
            }
            Self::Get { node, freshness } => get(&session.reading(freshness), &node).await,
            Self::Drain { node, undo, wait } => drain::drain(session, node, undo, wait).await,
            Self::Remove { node, consent } => members::remove(session, node, None, consent).await,
        }
    }
}

/// One page of the nodes.
pub(crate) async fn list_nodes(session: &Session, message: ListNodesRequest) -> Result<ListNodesReply, Failure> {
    let message = ListNodesRequest { stale: session.freshness.stale, ..message };
    session
        .client
        .read(session.timeout, message, async |channel, request| {
            FleetClient::new(channel).list_nodes(session.freshness.asked(request)).await
        })
        .await
}

async fn get(session: &Session, named: &str) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut page_token = None;
    loop {
        let reply = list_nodes(session, ListNodesRequest { page_token, ..ListNodesRequest::default() }).await?;
        found.extend(reply.items.into_iter().filter(|node| node.id == named || node.address == named));
        if reply.next_page_token.is_empty() {
            break;
        }
        page_token = Some(reply.next_page_token);
    }
    match found.as_slice() {
        [] => Err(Failure::not_found(format!("no node has the id or address {named}"))),
        [node] => {
            session.show(&node_json(node, session.freshness));
            Ok(())
        }
        several => {
            let ids = several.iter().map(|node| node.id.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("several nodes have the address {named}: use one of the ids {ids}");
            Err(Failure::new(Exit::Usage, "ambiguous", message))
        }
    }
}

fn node_json(node: &NodeLine, freshness: Freshness) -> Value {
    // A control node says its log index to the leader, not its revision: only the one that answers knows its own.
    let answers = node.applied_number > 0 || (node.state == "leader" && !freshness.stale);

    let mut value = json!({
        "id": node.id,
        "role": node.role,
        "address": node.address,
        "state": node.state,
        "version": node.version,
        "level": node.level,
        "certificateExpiresDate": (node.certificate_expires_ms > 0).then_some(node.certificate_expires_ms / 1000),
        "appliedNumber": (node.role == "data" || answers).then_some(node.applied_number),
    });
    if node.role == "control" {
        value["raftId"] = node.raft_id.into();
        value["appliedIndex"] = node.applied_index.into();
    } else {
        value["controlNode"] = node.control_node.clone().into();
        value["brokenApis"] = node.broken_apis.clone().into();
        value["broken"] = node.broken.iter().map(broken_json).collect();
        value["notCompiled"] = node.not_compiled.clone().into();
    }
    value
}

fn broken_json(broken: &BrokenOnNode) -> Value {
    json!({"apiId": broken.api_id, "diagnostics": broken.diagnostics})
}

/// The data nodes that serve an older form of an API, or of everything, as an API shows them.
pub(crate) async fn broken_on(session: &Session, api_id: &str) -> Result<Value, Failure> {
    let mut found = Vec::new();
    let mut page_token = None;
    loop {
        let broken_api = Some(api_id.to_owned());
        let reply =
            list_nodes(session, ListNodesRequest { broken_api, page_token, ..ListNodesRequest::default() }).await?;
        found.extend(reply.items.iter().map(|node| broken_on_json(node, api_id)));
        if reply.next_page_token.is_empty() {
            return Ok(found.into());
        }
        page_token = Some(reply.next_page_token);
    }
}

fn broken_on_json(node: &NodeLine, api_id: &str) -> Value {
    let of_api = node.broken.iter().filter(|broken| broken.api_id == api_id).flat_map(|broken| &broken.diagnostics);
    let diagnostics: Vec<&String> = node.not_compiled.iter().chain(of_api).collect();
    json!({"nodeId": node.id, "address": node.address, "diagnostics": diagnostics})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_keeps_an_api_as_it_was_shows_why_and_so_does_the_api() {
        let broken = |api_id: &str, why: &str| BrokenOnNode { api_id: api_id.into(), diagnostics: vec![why.into()] };
        let node = NodeLine {
            id: "n1".into(),
            role: "data".into(),
            address: "127.0.0.1:8080".into(),
            broken_apis: vec!["a".into(), "b".into()],
            broken: vec![broken("a", "no uri"), broken("b", "no route")],
            not_compiled: vec!["a defect".into()],
            ..NodeLine::default()
        };
        let shown = node_json(&node, Freshness::default());
        assert_eq!(shown["broken"][1], json!({"apiId": "b", "diagnostics": ["no route"]}));
        assert_eq!(shown["notCompiled"], json!(["a defect"]));
        let of_api = json!({"nodeId": "n1", "address": "127.0.0.1:8080", "diagnostics": ["a defect", "no route"]});
        assert_eq!(broken_on_json(&node, "b"), of_api);
    }
}
