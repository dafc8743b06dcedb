//! What is said of lost control nodes: once when one is lost, then each minute with the count of tries.
//!
//! Promise: at most one warning in [`WARN_EVERY`], however often nodes are lost and found again. Absent: clocks and log
//! lines; the caller has both.

use std::time::{Duration, Instant};

/// The least time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What was lost, and what of it was said.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    warned: Option<Instant>,
    tries: u64,
}

impl Outage {
    /// A control node was lost or not reached; the tries that failed since one was followed, if it is time to say so.
    pub(crate) fn lost(&mut self, now: Instant) -> Option<u64> {
        self.tries += 1;
        if self.warned.is_some_and(|warned| now.saturating_duration_since(warned) < WARN_EVERY) {
            return None;
        }
        self.warned = Some(now);
        Some(self.tries)
    }

    /// A control node is followed; the tries that failed before.
    pub(crate) fn over(&mut self) -> u64 {
        std::mem::take(&mut self.tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_control_node_is_said_at_once_and_then_each_minute_with_the_tries() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!(outage.lost(after(0)), Some(1));
        assert_eq!((outage.lost(after(1)), outage.lost(after(59))), (None, None));
        assert_eq!(outage.lost(after(60)), Some(4));
        assert_eq!(outage.lost(after(119)), None);
        assert_eq!(outage.lost(after(180)), Some(6));
        assert_eq!(outage.over(), 6);
        assert_eq!(outage.over(), 0);
        assert_eq!(outage.lost(after(300)), Some(1));
    }

    #[test]
    fn a_control_node_that_comes_and_goes_is_no_flood() {
        let begin = Instant::now();
        let mut outage = Outage::default();
        let mut said = 0;
        for second in 0..=120 {
            said += u32::from(outage.lost(begin + Duration::from_secs(second)).is_some());
            assert_eq!(outage.over(), 1);
        }
        assert_eq!(said, 3);
    }
}
