//! What a run is like: how many nodes, how good a network, which disks, how much trouble. All of it follows from the seed.

use std::{ops::RangeInclusive, time::Duration};

use crate::dice::Dice;

/// The circumstances of one run.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// Control nodes that vote from the beginning.
    pub voters: u64,
    /// Control nodes that join later, and are made voters when they have caught up.
    pub late: u64,
    /// Data nodes.
    pub data_nodes: u64,
    /// Whether the data nodes stand in the list of those that joined.
    pub data_nodes_joined: bool,
    /// Operators that write, one change after the other.
    pub operators: u64,
    /// One way between two nodes.
    pub latency: RangeInclusive<Duration>,
    /// Of a thousand messages, so many are lost, and their connection hangs or breaks.
    pub lost_in_1000: u64,
    /// For a disk to sync.
    pub sync: RangeInclusive<Duration>,
    /// Entries of log after which a snapshot is taken.
    pub snapshot_every: u64,
    /// Entries of log kept behind a snapshot.
    pub kept_log_entries: u64,
    /// Between two troubles.
    pub calm: RangeInclusive<Duration>,
    /// How long there is trouble before everything is mended.
    pub troubled: Duration,
    /// What is broken on purpose, so that an invariant has to notice.
    pub sabotage: Sabotage,
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// None: what is found is a defect.
    Nothing,
    /// An operator takes a change that is in the leader's hands for one that was acknowledged.
    AcknowledgesBeforeQuorum,
    /// One control node applies some changes differently.
    AppliesDifferently,
    /// A log is told to be on disk before it is, and is lost.
    SyncsNothing,
    /// A data node that was restarted takes itself for the one that it was, with only the beginning of what that had.
    ForgetsWhatItServed,
    /// Control nodes tell the leader that their data nodes have come further than they have.
    ReportsTooMuch,
}

impl Circumstances {
    /// The circumstances of the run whose dice these are.
    pub fn draw(dice: &Dice) -> Self {
        let ms = |from: u64, to: u64| Duration::from_micros(from)..=Duration::from_micros(to);
        Self {
            voters: *dice.one(&[3, 3, 3, 3, 5, 1]).unwrap_or(&3),
            late: *dice.one(&[0, 0, 1, 2]).unwrap_or(&0),
            data_nodes: dice.number(1..=4),
            data_nodes_joined: dice.chance(500),
            operators: dice.number(1..=4),
            latency: dice.one(&[ms(100, 1_000), ms(100, 5_000), ms(1_000, 60_000)]).unwrap_or(&ms(100, 1_000)).clone(),
            lost_in_1000: *dice.one(&[0, 0, 2, 20]).unwrap_or(&0),
            sync: dice.one(&[ms(50, 500), ms(500, 10_000), ms(1_000, 80_000)]).unwrap_or(&ms(50, 500)).clone(),
            snapshot_every: *dice.one(&[5, 20, 60, 1_000]).unwrap_or(&60),
            kept_log_entries: *dice.one(&[0, 3, 30]).unwrap_or(&3),
            calm: dice
                .one(&[ms(200_000, 2_000_000), ms(1_000_000, 5_000_000), ms(3_000_000, 8_000_000)])
                .unwrap_or(&ms(1_000_000, 5_000_000))
                .clone(),
            troubled: Duration::from_secs(dice.number(10..=25)),
            sabotage: Sabotage::Nothing,
        }
    }
}
