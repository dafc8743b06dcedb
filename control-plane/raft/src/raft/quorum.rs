//! Who may lose its vote, or get one: a change of voters leaves a majority that answers, or is refused.
//!
//! Promise: pure; a refusal names who is down and what to do. Absent: making the change (`members`, `removal`).

use std::collections::BTreeSet;

use crate::RaftFailure;

/// The voters, and those among all members that answer the leader.
#[derive(Debug, Clone)]
pub(super) struct Voters {
    pub(super) all: BTreeSet<u64>,
    pub(super) up: BTreeSet<u64>,
}

impl Voters {
    /// Refuses to take the vote of `raft_id` when those that stay could not decide anything without it.
    pub(super) fn check_without(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let mut rest = self.all.clone();
        rest.remove(&raft_id);
        if rest.is_empty() {
            return Err(RaftFailure::LastVoter);
        }
        self.check(&rest)
    }

    /// Refuses to give `raft_id` a vote when the majority that is needed then does not answer.
    pub(super) fn check_with(&self, raft_id: u64) -> Result<(), RaftFailure> {
        let mut more = self.all.clone();
        more.insert(raft_id);
        self.check(&more)
    }

    fn check(&self, voters: &BTreeSet<u64>) -> Result<(), RaftFailure> {
        let answering = voters.intersection(&self.up).count();
        let needed = voters.len() / 2 + 1;
        if answering >= needed {
            return Ok(());
        }
        let down = voters.difference(&self.up).copied().collect();
        Err(RaftFailure::WouldLoseQuorum { voters: voters.len(), answering, needed, down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(all: &[u64], up: &[u64]) -> Voters {
        Voters { all: all.iter().copied().collect(), up: up.iter().copied().collect() }
    }

    fn down(refused: Result<(), RaftFailure>) -> Vec<u64> {
        match refused {
            Err(RaftFailure::WouldLoseQuorum { down, .. }) => down,
            other => panic!("expected a lost quorum, found {other:?}"),
        }
    }

    #[test]
    fn one_that_is_down_may_go_and_one_that_answers_only_while_a_majority_stays() {
        voters(&[1, 2, 3], &[1, 2]).check_without(3).unwrap();
        voters(&[1, 2, 3], &[1, 2, 3]).check_without(3).unwrap();
        assert_eq!(down(voters(&[1, 2, 3], &[1, 2]).check_without(2)), [3]);
        voters(&[1, 2, 3, 4, 5], &[1, 2, 3, 4]).check_without(4).unwrap();
        assert_eq!(down(voters(&[1, 2, 3, 4, 5], &[1, 2, 3]).check_without(3)), [4, 5]);
        voters(&[1, 2], &[1, 2]).check_without(2).unwrap();
    }

    #[test]
    fn the_last_voter_stays() {
        assert!(matches!(voters(&[1], &[1, 2]).check_without(1), Err(RaftFailure::LastVoter)));
    }

    #[test]
    fn a_node_gets_no_vote_that_the_others_could_then_not_do_without() {
        voters(&[1, 2, 3], &[1, 2, 3, 4]).check_with(4).unwrap();
        voters(&[1, 2, 3], &[1, 2, 4]).check_with(4).unwrap();
        assert_eq!(down(voters(&[1, 2, 3], &[1, 2]).check_with(4)), [3, 4]);
        assert_eq!(down(voters(&[1], &[1]).check_with(2)), [2]);
    }

    #[test]
    fn a_refusal_says_who_is_down_and_what_to_do() {
        let text = voters(&[1, 2, 3], &[1, 2]).check_without(2).unwrap_err().to_string();
        assert!(text.contains("raft node 3") && text.contains("start"), "{text}");
    }
}
