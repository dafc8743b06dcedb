//! Waiting until the data nodes serve what was committed.
//!
//! The leader answers who serves the revision and who does not, and why; a lost leader is asked again. A control node that
//! has been silent for so long that its data nodes have left it is named beside what is served, and holds up nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_proto::{
    admin::{NodeServing, WaitReply, WaitRequest},
    model::{Diagnostic, Revision},
};
use sluice_rpc::admin::fleet_client::FleetClient;

use crate::{
    counted::counted,
    failure::{Exit, Failure},
    session::Session,
};

/// How much longer than the wait itself its call may take: the way there and back, and an election between.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether and how long to wait.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wait {
    /// Wait until every connected data node serves it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_parser = crate::duration::parse, value_name = "TIME")]
    wait_timeout: Duration,
}

/// Every connected data node serves it.
pub(crate) struct Served {
    pub(crate) nodes: Vec<NodeServing>,
    /// Raft's numbers of the control nodes that have said nothing.
    pub(crate) voters_not_heard: Vec<u64>,
}

impl Served {
    /// What an operator should look at all the same.
    pub(crate) fn warnings(&self) -> Vec<Diagnostic> {
        self.voters_not_heard.iter().map(|voter| not_heard(*voter, "warning")).collect()
    }
}

impl Wait {
    /// Waits this long.
    pub(crate) fn up_to(wait_timeout: Duration) -> Self {
        Self { wait: true, wait_timeout }
    }

    /// Waits until `revision`, which changed the API `api_id`, is served, unless told not to. Whether other APIs are broken
    /// does not matter.
    ///
    /// # Errors
    /// `Exit::NotServed`, with the nodes that do not serve it and why.
    pub(crate) async fn served(
        &self,
        session: &Session,
        revision: Option<&Revision>,
        api_id: &str,
    ) -> Result<Option<Served>, Failure> {
        let (true, Some(revision)) = (self.wait, revision) else { return Ok(None) };
        let deadline = Instant::now() + self.wait_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let reply = ask(session, revision, api_id, left).await.map_err(|failure| Failure {
                exit: Exit::NotServed,
                message: format!("committed, but whether it is served is not known: {}", failure.message),
                ..failure
            })?;
            if reply.served {
                return Ok(Some(Served { nodes: reply.nodes, voters_not_heard: reply.voters_not_heard }));
            }
            let is_final = reply.nodes.iter().any(|node| node.state == "broken");
            if is_final || Instant::now() + PAUSE >= deadline {
                return Err(not_served(&reply));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn ask(session: &Session, revision: &Revision, api_id: &str, left: Duration) -> Result<WaitReply, Failure> {
    let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let message = WaitRequest { revision: Some(revision.clone()), timeout_ms, api_ids: vec![api_id.to_owned()] };
    session
        .client
        .read(left + GRACE, message, async |channel, request| FleetClient::new(channel).wait(request).await)
        .await
}

fn not_served(reply: &WaitReply) -> Failure {
    let without = reply.nodes.iter().filter(|node| node.state != "served" && node.state != "gone");
    let mut diagnostics = without.map(node_diagnostic).collect::<Vec<_>>();
    diagnostics.extend(reply.voters_not_heard.iter().map(|voter| not_heard(*voter, "error")));
    let message = match (reply.nodes.len(), diagnostics.len()) {
        (0, 0) => "committed, but no data node is connected: start one, see `sluice node list`".to_owned(),
        (0, _) => "committed, but no data node is known to be connected".to_owned(),
        (all, _) => {
            let served = reply.nodes.iter().filter(|node| node.state == "served").count();
            format!("committed, but served by {served} of {} only", counted(all, "data node"))
        }
    };
    Failure { diagnostics, ..Failure::new(Exit::NotServed, "not-served", message) }
}

fn not_heard(voter: u64, severity: &str) -> Diagnostic {
    Diagnostic {
        code: "voter-not-heard".to_owned(),
        at: format!("control node {voter}"),
        message: "has not said which data nodes are connected to it".to_owned(),
        hint: "see `sluice cluster status`".to_owned(),
        severity: severity.to_owned(),
    }
}

fn node_diagnostic(node: &NodeServing) -> Diagnostic {
    let why = if node.diagnostics.is_empty() { String::new() } else { format!(": {}", node.diagnostics.join("; ")) };
    Diagnostic {
        code: format!("node-{}", node.state),
        at: format!("node {} ({})", node.node_id, node.address),
        message: format!("{} at revision {}{why}", node.state, node.applied_number),
        hint: String::new(),
        severity: "error".to_owned(),
    }
}

/// Nodes as scripts see them.
pub(crate) fn nodes_json(nodes: &[NodeServing]) -> Value {
    let node = |node: &NodeServing| {
        json!({
            "id": node.node_id,
            "address": node.address,
            "state": node.state,
            "appliedNumber": node.applied_number,
            "diagnostics": node.diagnostics,
        })
    };
    nodes.iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, state: &str, why: &[&str]) -> NodeServing {
        NodeServing {
            node_id: id.into(),
            address: "127.0.0.1:8080".into(),
            state: state.into(),
            applied_number: 4,
            diagnostics: why.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn nodes_that_do_not_serve_are_listed_with_the_reason() {
        let nodes = vec![node("a", "served", &[]), node("b", "broken", &["no uri"]), node("c", "gone", &[])];
        let failure = not_served(&WaitReply { served: false, nodes, voters_not_heard: vec![2] });
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::NotServed, "committed, but served by 1 of 3 data nodes only")
        );
        let found =
            failure.diagnostics.iter().map(|found| (found.code.as_str(), found.at.as_str())).collect::<Vec<_>>();
        assert_eq!(found, [("node-broken", "node b (127.0.0.1:8080)"), ("voter-not-heard", "control node 2")]);
        assert_eq!(failure.diagnostics[0].message, "broken at revision 4: no uri");
    }

    #[test]
    fn a_control_node_that_is_not_heard_is_named_beside_what_is_served() {
        let served = Served { nodes: vec![node("a", "served", &[])], voters_not_heard: vec![3] };
        let warnings = served.warnings();
        assert_eq!((warnings.len(), warnings[0].severity.as_str()), (1, "warning"));
        assert_eq!((warnings[0].code.as_str(), warnings[0].at.as_str()), ("voter-not-heard", "control node 3"));
    }

    #[test]
    fn no_data_node_is_said_as_such() {
        let failure = not_served(&WaitReply::default());
        assert!(failure.message.contains("no data node is connected"));
        let failure = not_served(&WaitReply { voters_not_heard: vec![3], ..WaitReply::default() });
        assert_eq!(failure.message, "committed, but no data node is known to be connected");
    }
}
