//! Within a generation, what a data node serves never goes back from its start to its end.

use std::collections::BTreeMap;

use super::Invariant;
use crate::event::Event;

/// The last that each life of each node has served.
#[derive(Debug, Default)]
pub(crate) struct RevisionNeverBackwards(BTreeMap<(String, u32, String), u64>);

impl Invariant for RevisionNeverBackwards {
    fn name(&self) -> &'static str {
        "revision_never_backwards"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        let Event::Serves { node, life, generation, number } = event else { return Ok(()) };
        let last = self.0.entry((node.clone(), *life, generation.clone())).or_default();
        if number < last {
            return Err(format!("{node} serves {number} after {last}"));
        }
        *last = *number;
        Ok(())
    }
}
