//! `node`: the nodes of the cluster and what they serve.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sluice_proto::admin::{ListNodesReply, ListNodesRequest, NodeLine};
use sluice_rpc::admin::fleet_client::FleetClient;

use crate::{
    args::Page,
    failure::{Exit, Failure},
    freshness::Freshness,
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
        "appliedNumber": (node.role == "data" || answers).then_some(node.applied_number),
    });
    if node.role == "control" {
        value["raftId"] = node.raft_id.into();
        value["appliedIndex"] = node.applied_index.into();
    } else {
        value["controlNode"] = node.control_node.clone().into();
        value["brokenApis"] = node.broken_apis.clone().into();
    }
    value
}
