//! Control nodes that have applied the same have the same: entry, number and digest at every index, and all rows at rest.
//! What a data node holds of a number has the digest that control nodes have of it.

use std::collections::BTreeMap;

use super::Invariant;
use crate::event::Event;

/// What was applied at one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Applied {
    entry: u64,
    number: u64,
    digest: [u8; 16],
}

/// What the first node that came to an index made of it.
#[derive(Debug, Default)]
pub(crate) struct AppliedDigestsEqual {
    first: BTreeMap<u64, (u64, Applied)>,
    /// Of each number.
    digests: BTreeMap<u64, [u8; 16]>,
    at_rest: Option<(u64, u64)>,
}

impl Invariant for AppliedDigestsEqual {
    fn name(&self) -> &'static str {
        "applied_digests_equal"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        match event {
            &Event::Applied { node, index, entry, number, digest } => {
                let applied = Applied { entry, number, digest };
                let (first, expected) = *self.first.entry(index).or_insert((node, applied));
                self.digests.insert(number, expected.digest);
                if applied == expected {
                    return Ok(());
                }
                Err(format!("c{first} and c{node} differ at index {index}: {expected:?}, {applied:?}"))
            }
            Event::Says { node, number, digest: Some(digest) } => match self.digests.get(number) {
                Some(expected) if expected == digest => Ok(()),
                Some(_) => Err(format!("{node} holds other rows at {number} than control nodes")),
                None => Err(format!("{node} holds {number}, which no control node has applied")),
            },
            &Event::AtRest { node, rows, .. } => {
                let (first, expected) = *self.at_rest.get_or_insert((node, rows));
                if rows == expected { Ok(()) } else { Err(format!("c{first} and c{node} hold different rows at rest")) }
            }
            _ => Ok(()),
        }
    }
}
