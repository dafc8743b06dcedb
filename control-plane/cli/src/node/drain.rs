//! `node drain`: a node's clients go elsewhere, and the command returns when they have.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_proto::admin::{DrainRequest, ListNodesRequest, NodeLine};
use sluice_rpc::admin::fleet_client::FleetClient;

use super::list_nodes;
use crate::{
    failure::{Exit, Failure},
    output::Changed,
    session::Session,
};

/// Between two looks at the node.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether and how long to wait.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitFor {
    /// Wait until its clients have gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_parser = crate::duration::parse, value_name = "TIME")]
    wait_timeout: Duration,
}

/// Drains a node, or lets it serve again.
pub(super) async fn drain(session: &Session, node: String, undo: bool, wait: WaitFor) -> Result<(), Failure> {
    let message = DrainRequest { node, undo };
    let told = session
        .client
        .call(session.timeout, message, async |channel, request| FleetClient::new(channel).drain(request).await)
        .await?;
    let deadline = Instant::now() + if wait.wait { wait.wait_timeout } else { Duration::ZERO };
    let state = loop {
        let state = find(session, &told.node_id).await?.map(|line| line.state).unwrap_or_default();
        if is_done(&state, undo) || Instant::now() >= deadline {
            break state;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if wait.wait && !is_done(&state, undo) {
        let message = format!(
            "{} node {} was told, and is {state} after {} s: see `sluice node get {}`",
            told.role,
            told.node_id,
            wait.wait_timeout.as_secs(),
            told.node_id
        );
        return Err(Failure::new(Exit::NotServed, "not-drained", message));
    }
    let document = json!({"id": told.node_id, "role": told.role, "state": state});
    let what = format!("{} node {} (now {state})", told.role, told.node_id);
    let verb = if undo { "undrained" } else { "drained" };
    session.output.changed(Changed { verb, what, document, revision: None });
    Ok(())
}

/// A node that is not listed is neither.
fn is_done(state: &str, undo: bool) -> bool {
    if undo { !["draining", "drained", ""].contains(&state) } else { state == "drained" }
}

async fn find(session: &Session, id: &str) -> Result<Option<NodeLine>, Failure> {
    let mut page_token = None;
    loop {
        let reply = list_nodes(session, ListNodesRequest { page_token, ..ListNodesRequest::default() }).await?;
        if let Some(found) = reply.items.into_iter().find(|node| node.id == id) {
            return Ok(Some(found));
        }
        if reply.next_page_token.is_empty() {
            return Ok(None);
        }
        page_token = Some(reply.next_page_token);
    }
}
