//! What each peer has acknowledged to this node as leader, so that one that forgot it is noticed here.
//!
//! openraft holds a follower that no longer has what it acknowledged for a bug of the store, and panics: one bad follower
//! would end the leader. Its `allow_log_reversion` would begin the follower anew instead, which is worse: a follower that
//! forgot its log forgot its votes too, and would be counted in majorities again. So such an answer never reaches
//! openraft: it is an unreachable peer, which is backed off from, counted for nothing and told to the operator.
//!
//! Promise: an answer that contradicts what its peer said to the same leadership is found. Absent: what a peer said to
//! another leader, since a new one begins to count at nothing; the peer itself refuses to start (`mark`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::error;

use crate::types::{LogId, Vote};

/// A peer no longer has an entry that it acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
#[error("raft node {peer} has lost entries that it acknowledged; stop it, and join a new node in its place")]
pub(crate) struct Forgot {
    peer: u64,
}

/// The last entries that peers acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<BTreeMap<u64, Last>>);

#[derive(Debug, Clone, Copy)]
struct Last {
    /// Of the leadership to which it was said.
    vote: Vote,
    index: u64,
    /// The operator knows that it is gone.
    is_told: bool,
}

impl Acknowledged {
    /// `peer` has everything through `last`, it said to the leader of `vote`.
    pub(crate) fn note(&self, peer: u64, vote: Vote, last: Option<&LogId>) {
        let Some(index) = last.map(|last| last.index) else { return };
        let mut peers = self.peers();
        let known = peers.entry(peer).or_insert(Last { vote, index, is_told: false });
        if known.vote != vote {
            *known = Last { vote, index, is_told: false };
        }
        known.index = known.index.max(index);
    }

    /// `peer` has another entry than `named`, or none, it said to the leader of `vote`.
    ///
    /// # Errors
    /// `Forgot` when it has acknowledged that entry to the same leader.
    pub(crate) fn check(&self, peer: u64, vote: Vote, named: Option<&LogId>) -> Result<(), Forgot> {
        let mut peers = self.peers();
        let (Some(named), Some(known)) = (named, peers.get_mut(&peer)) else { return Ok(()) };
        if known.vote != vote || named.index > known.index {
            return Ok(());
        }
        // Once: it is asked again ten times a second.
        if !std::mem::replace(&mut known.is_told, true) {
            error!(
                peer,
                acknowledged = known.index,
                missing = named.index,
                "a control node has lost its raft log and is counted for nothing: stop it, and join a new one in its place"
            );
        }
        Err(Forgot { peer })
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<u64, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use openraft::impls::leader_id_adv::LeaderId;

    use super::*;

    fn vote(term: u64) -> Vote {
        Vote { leader_id: LeaderId { term, node_id: 1 }, committed: true }
    }

    fn id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 1, node_id: 1 }, index)
    }

    #[test]
    fn what_was_acknowledged_to_this_leader_cannot_conflict_later() {
        let acknowledged = Acknowledged::default();
        let conflicts = |peer, term, index| acknowledged.check(peer, vote(term), Some(&id(index))).is_err();
        assert!(!conflicts(2, 1, 5), "a follower that was never heard may lack anything");
        acknowledged.note(2, vote(1), Some(&id(5)));
        acknowledged.note(2, vote(1), Some(&id(3)));
        acknowledged.note(2, vote(1), None);
        assert!(conflicts(2, 1, 5) && conflicts(2, 1, 1));
        assert!(!conflicts(2, 1, 6), "what it has not said it has");
        assert!(!conflicts(3, 1, 5), "another peer");
        assert!(!conflicts(2, 2, 5), "another leadership");
        acknowledged.note(2, vote(2), Some(&id(2)));
        assert!(!conflicts(2, 2, 5) && conflicts(2, 2, 2));
    }
}
