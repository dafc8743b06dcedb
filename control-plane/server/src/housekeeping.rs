//! What a control node does unasked: it keeps its own row in the list of nodes true, and, while it leads, trims what has
//! aged.
//!
//! Promise: a quiet cluster writes nothing. Absent: what ages, and when (`sluice-state`).

use std::time::{Duration, Instant};

use sluice_proto::raft::{Command, Node, ProposeRequest, PutNode, Stamp, Trim, command};
use sluice_raft::Raft;
use sluice_rpc::raft::peer_client::PeerClient;
use tracing::{debug, warn};

use crate::membership::now_ms;

/// How often a node looks whether there is something to do.
const EVERY: Duration = Duration::from_secs(5);
/// Until a node is in the list it looks more often.
const EVERY_AT_FIRST: Duration = Duration::from_millis(200);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until it is dropped, which it may be at any time. `this` is what the node says of itself.
pub(crate) async fn run(raft: Raft, this: Node) {
    loop {
        let announced = announce(&raft, &this).await;
        if raft.leadership().borrow().this {
            trim(&raft, &this).await;
        }
        tokio::time::sleep(if announced { EVERY } else { EVERY_AT_FIRST }).await;
    }
}

/// Writes the node's row when it is missing or says something else. True when it is as it should be.
async fn announce(raft: &Raft, this: &Node) -> bool {
    let kept = raft.view().nodes().into_iter().find(|node| node.id == this.id);
    let row = match kept {
        Some(kept) => Node { joined_ms: kept.joined_ms, ..this.clone() },
        None => this.clone(),
    };
    if raft.view().nodes().contains(&row) {
        return true;
    }
    let command = command::Kind::PutNode(PutNode { stamp: Some(stamp(raft, this)), node: Some(row) });
    propose(raft, command).await;
    false
}

async fn trim(raft: &Raft, this: &Node) {
    let stamp = stamp(raft, this);
    if raft.view().trim_is_due(stamp.time_ms) {
        propose(raft, command::Kind::Trim(Trim { stamp: Some(stamp) })).await;
    }
}

fn stamp(raft: &Raft, this: &Node) -> Stamp {
    let time_ms = now_ms().max(raft.view().stamp());
    Stamp { actor: format!("node:{}", this.id), time_ms, request: None }
}

/// Proposes here or at the leader. A failure is tried again at the next look: there is no one to tell it.
async fn propose(raft: &Raft, kind: command::Kind) {
    let command = Command { kind: Some(kind) };
    let leadership = *raft.leadership().borrow();
    if leadership.this {
        if let Err(error) = raft.propose(command, Instant::now() + PROPOSE_TIMEOUT).await {
            debug!(%error, "housekeeping was not committed");
        }
        return;
    }
    let Some(leader) = leadership.leader else { return };
    let Some(channel) = raft.peer_channel(leader).await else { return };
    let timeout_ms = u64::try_from(PROPOSE_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let mut request = tonic::Request::new(ProposeRequest { command: Some(command), timeout_ms });
    request.set_timeout(PROPOSE_TIMEOUT);
    if let Err(error) = PeerClient::new(channel).propose(request).await {
        warn!(error = %sluice_identity::status_text(&error), leader, "housekeeping did not reach the leader");
    }
}
