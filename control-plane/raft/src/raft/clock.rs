//! The leader's clock: stamps are its time, so that a leader whose clock is wrong lets another lead.
//!
//! Promise: a leader that is further than two seconds from the median of the voters for three looks hands over to one that is
//! nearer, when a majority's clocks are known; of an even number the median that is nearer to the leader counts, so that two
//! nodes do not take turns. Absent: setting clocks; and what stamps time anything by (`sluice-admin`).

use std::{
    collections::BTreeSet,
    sync::Weak,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{Inner, Raft};

/// A clock may be so far from the median.
const ASTRAY: Duration = Duration::from_secs(2);
/// How often clocks are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often in a row a leader has to be found astray: an answer that was held up looks like a wrong clock.
const LOOKS: u32 = 3;
/// What was heard of a clock longer ago does not count.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
const HANDOVER: Duration = Duration::from_secs(5);

/// A voter whose clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Astray {
    /// Raft's number of it.
    pub raft_id: u64,
    /// Its clock less the median of the voters'.
    pub offset_ms: i64,
}

impl Raft {
    /// The voters whose clocks are further from the median than they may be, as this node, which leads, has heard.
    pub fn clocks_astray(&self) -> Vec<Astray> {
        let clocks = self.clocks();
        let Some(median) = median(&clocks, self.inner.voters().all.len()) else { return Vec::new() };
        let astray = clocks.into_iter().map(|(raft_id, offset)| Astray { raft_id, offset_ms: offset - median });
        astray.filter(|one| is_astray(one.offset_ms)).collect()
    }

    /// Clocks of voters less this node's, of those that were heard lately.
    fn clocks(&self) -> Vec<(u64, i64)> {
        let is_known = |heard: Option<Instant>| heard.is_none_or(|heard| heard.elapsed() <= HEARD_WITHIN);
        let voters = self.members().into_iter().filter(|member| member.voter && is_known(member.heard));
        voters.filter_map(|member| Some((member.raft_id, member.clock_offset_ms?))).collect()
    }
}

/// The middle of the clocks, when those of a majority of `voters` are known: of two the one nearer to 0.
fn median(clocks: &[(u64, i64)], voters: usize) -> Option<i64> {
    if clocks.is_empty() || clocks.len() < voters / 2 + 1 {
        return None;
    }
    let mut offsets: Vec<i64> = clocks.iter().map(|(_, offset)| *offset).collect();
    offsets.sort_unstable();
    let (low, high) = (offsets[(offsets.len() - 1) / 2], offsets[offsets.len() / 2]);
    Some(if low.abs() <= high.abs() { low } else { high })
}

fn is_astray(offset_ms: i64) -> bool {
    u128::from(offset_ms.unsigned_abs()) > ASTRAY.as_millis()
}

/// Hands over while this node leads with a clock that is wrong.
pub(super) async fn keep_time(raft: Weak<Inner>) {
    let mut looks = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = raft.upgrade() else { return };
        let raft = Raft { inner };
        let astray: Vec<Astray> = if raft.leadership().borrow().this { raft.clocks_astray() } else { Vec::new() };
        let Some(own) = astray.iter().find(|one| one.raft_id == raft.raft_id()) else {
            looks = 0;
            continue;
        };
        looks += 1;
        if looks < LOOKS {
            continue;
        }
        looks = 0;
        warn!(offset_ms = own.offset_ms, "the clock of this leader is wrong: it lets another lead");
        let but: BTreeSet<u64> = astray.iter().map(|one| one.raft_id).collect();
        let Some(heir) = raft.heir(&but) else { continue };
        match raft.hand_over(heir, Instant::now() + HANDOVER).await {
            Ok(now) => info!(leader = now.leader, "handed over because of the clock"),
            Err(failure) => warn!(%failure, "not handed over yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offsets: &[i64]) -> Option<i64> {
        let clocks: Vec<_> = (1..).zip(offsets.iter().copied()).collect();
        median(&clocks, 3)
    }

    #[test]
    fn the_median_needs_a_majority_and_of_two_clocks_neither_is_held_for_wrong() {
        assert_eq!(of(&[0]), None, "one of three knows nothing");
        assert_eq!(of(&[0, 9_000]), Some(0), "who of the two is wrong cannot be told");
        assert_eq!(of(&[0, 9_000, 9_100]), Some(9_000));
        assert_eq!(of(&[0, 9_000, 20]), Some(20));
        assert_eq!(of(&[0, -9_000, -8_000]), Some(-8_000));
        assert!(is_astray(2_001) && is_astray(-2_001) && !is_astray(2_000));
    }
}
