//! Commands on their way into the log, as `sluice-admin` brings them there: stamped by the leader, forwarded by others.

use std::time::Duration;

use prost::Message;
use sluice_proto::{
    model::Revision,
    raft::{Change, Command, Outcome, RowChange, Stamp, command},
};
use tokio::time::Instant;

use crate::{circumstances::Sabotage, control::Running, event::Event, raft::types::EncodedCommand, world::World};

/// A change as an operator asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) request: sluice_proto::raft::RequestId,
    pub(crate) rows: Vec<RowChange>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Proposed {
    /// Apply has answered.
    Outcome(Outcome),
    /// The node does not lead, and knows nobody who does and answers.
    NotNow,
}

/// Proposes at `running` or, if another leads, there.
pub(crate) async fn anywhere(world: World, running: Running, proposal: Proposal) -> Proposed {
    let leadership = *running.leadership.borrow();
    match leadership.leader {
        Some(leader) if leader == running.raft_id => here(world, running, proposal).await,
        Some(leader) => {
            let there = world.clone();
            let forwarded = world.call(&running.end(), leader, move |leader| here(there, leader, proposal));
            forwarded.await.unwrap_or(Proposed::NotNow)
        }
        None => Proposed::NotNow,
    }
}

/// Waits at the leader, asked by way of `running`, until the fleet serves `number`.
pub(crate) async fn wait(world: World, running: Running, number: u64, limit: Duration) {
    let leadership = *running.leadership.borrow();
    match leadership.leader {
        Some(leader) if leader == running.raft_id => wait_here(world, running, number, limit).await,
        Some(leader) => {
            let there = world.clone();
            // Who has no answer asks again, or does not.
            let _ = world.call(&running.end(), leader, move |leader| wait_here(there, leader, number, limit)).await;
        }
        None => {}
    }
}

async fn wait_here(world: World, running: Running, number: u64, limit: Duration) {
    let asked = Instant::now();
    let generation = running.states.view().revision().generation.to_string();
    let reply = running.fleet.wait(Revision { generation, number }, Vec::new(), limit).await;
    // A dead node has answered nobody.
    if !running.life.has_ended() {
        let nodes = reply.nodes.into_iter().map(|node| (node.node_id, node.state)).collect();
        let truth = world.data_nodes().iter().map(|node| node.truth()).collect();
        world.saw(&Event::Waited { number, asked_for: asked.elapsed(), served: reply.served, nodes, truth });
    }
}

/// Proposes at `running`.
async fn here(world: World, running: Running, proposal: Proposal) -> Proposed {
    let time_ms = running.wall_ms().max(running.states.view().stamp());
    let stamp = Stamp { actor: "local".to_owned(), time_ms, request: Some(proposal.request), ..Stamp::default() };
    let change = Change { stamp: Some(stamp), rows: proposal.rows };
    let command = Command { kind: Some(command::Kind::Change(change)) };
    let command = EncodedCommand(command.encode_to_vec().into());
    if world.circumstances().sabotage == Sabotage::AcknowledgesBeforeQuorum && running.leadership.borrow().this {
        return early(running, command);
    }
    match running.core.client_write(command).await {
        Ok(written) => Proposed::Outcome(written.data.outcome),
        Err(_) => Proposed::NotNow,
    }
}

/// Answers what has only been handed over.
fn early(running: Running, command: EncodedCommand) -> Proposed {
    use sluice_proto::raft::{Done, outcome};
    let number = running.states.view().number() + 1;
    tokio::spawn(async move { running.core.client_write(command).await });
    Proposed::Outcome(Outcome { kind: Some(outcome::Kind::Done(Done { number, version: 0 })) })
}
