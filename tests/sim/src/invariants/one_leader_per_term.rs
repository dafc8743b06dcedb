//! A term has one leader.

use std::collections::BTreeMap;

use super::Invariant;
use crate::event::Event;

/// The leader of each term.
#[derive(Debug, Default)]
pub(crate) struct OneLeaderPerTerm(BTreeMap<u64, u64>);

impl Invariant for OneLeaderPerTerm {
    fn name(&self) -> &'static str {
        "one_leader_per_term"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        let Event::Leads { node, term } = *event else { return Ok(()) };
        let first = *self.0.entry(term).or_insert(node);
        if first == node { Ok(()) } else { Err(format!("c{first} and c{node} both lead in term {term}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_leader_of_a_term_is_noticed() {
        let mut invariant = OneLeaderPerTerm::default();
        for (node, term) in [(1, 1), (2, 2), (2, 2), (1, 3)] {
            assert_eq!(invariant.see(&Event::Leads { node, term }), Ok(()));
        }
        assert!(invariant.see(&Event::Leads { node: 3, term: 3 }).is_err());
    }
}
