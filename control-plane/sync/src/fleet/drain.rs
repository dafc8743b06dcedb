//! Nodes whose clients are to go elsewhere, before they are stopped.
//!
//! Promise: an order holds until the process that it was given to ends, or another is given; a data node keeps it itself, and
//! says so to whatever control node it follows. Absent: handing over leadership (`sluice-control`).

use tokio::sync::watch;

use super::{Fleet, Order};
use crate::source::Source;

impl<S: Source> Fleet<S> {
    /// Gives an order to a data node that streams from this node; false when it does not.
    pub fn order(&self, node_id: &str, order: Order) -> bool {
        self.inner.own.order(node_id, order)
    }

    /// Gives an order to this node: while it drains, data nodes that have something to serve are sent to others.
    pub fn order_this(&self, order: Order) {
        self.inner.order.send_replace(order);
        self.inner.own.has_news();
    }

    /// What an operator wants of this node, now and later.
    pub fn orders(&self) -> watch::Receiver<Order> {
        self.inner.order.subscribe()
    }

    /// Raft's number of the control node from which a data node streams, as the leader knows it.
    pub fn place_of(&self, node_id: &str) -> Option<u64> {
        let leadership = *self.inner.source.leadership().borrow();
        if !leadership.this {
            return None;
        }
        let live = self.merged(leadership.term).live();
        live.into_iter().find(|session| session.node_id == node_id).map(|session| session.control_raft_id)
    }

    /// Whether this node leads and every voter has said which data nodes it has.
    pub fn hears_all_voters(&self) -> bool {
        let leadership = *self.inner.source.leadership().borrow();
        leadership.this && self.merged(leadership.term).not_heard(&self.inner.source.voters()).is_empty()
    }

    /// Control nodes that drain, by Raft's number, with the data nodes that they still have; as the leader knows it.
    pub fn draining(&self) -> Vec<(u64, usize)> {
        let leadership = *self.inner.source.leadership().borrow();
        if leadership.this { self.merged(leadership.term).draining() } else { Vec::new() }
    }
}
