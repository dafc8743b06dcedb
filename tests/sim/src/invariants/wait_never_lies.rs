//! Who waited for the fleet and was told that all serve it was told the truth: every data node that is said to serve it has
//! done so, and none that was connected when it was asked, and still is, serves less.
//!
//! A node that was restarted may serve less for a moment than it said before; it is not connected then. Nor is one whose
//! control node has died, though it may not have noticed: a leader that hears of that control node again before takes it
//! for one that has no data nodes. One that is listed as gone was told of, and is none of those that serve.

use std::time::Duration;

use super::Invariant;
use crate::event::{Event, Truth};

/// A data node is connected when a leader knows of it: a report may be lost and have to be made again, and after this time
/// without one the leader knows that it knows nothing (`reporter_silence_max` of `sluice-sync`).
const KNOWN_AFTER: Duration = Duration::from_secs(4);

/// Nothing is remembered: an answer is held against the truth of its moment.
#[derive(Debug)]
pub(crate) struct WaitNeverLies;

impl Invariant for WaitNeverLies {
    fn name(&self) -> &'static str {
        "wait_never_lies"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        let Event::Waited { number, asked_for, served: true, nodes, truth } = event else { return Ok(()) };
        if !nodes.values().any(|state| state == "served") {
            return Err(format!("{number} is said to be served, and by nobody"));
        }
        for Truth { node_id, number: serves, follows_for, served_max } in truth {
            let said = nodes.get(node_id).map(String::as_str);
            if said == Some("served") && served_max.is_none_or(|served| served < *number) {
                return Err(format!(
                    "{node_id} is said to serve {number}, and has never served more than {served_max:?}"
                ));
            }
            let was_connected = follows_for.is_some_and(|follows| follows >= *asked_for + KNOWN_AFTER);
            if was_connected && said != Some("gone") && serves.is_none_or(|serves| serves < *number) {
                return Err(format!(
                    "{number} is said to be served by all, and {node_id}, which was there, has {serves:?}"
                ));
            }
        }
        Ok(())
    }
}
