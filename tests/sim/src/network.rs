//! The network between nodes.
//!
//! Calls are requests with an answer, each way one message. A message takes its time, so that messages of two calls
//! overtake each other; it is lost where the way is cut, and now and then elsewhere. Who waits for a lost message waits
//! for ever, as behind a connection that hangs, or is told soon, as by one that breaks: both happen. A request may be
//! carried out though its caller has long given up, and a caller that asks again makes it be carried out twice.
//! Absent: messages of one connection that overtake each other; TCP keeps their order.

use std::{
    collections::BTreeSet,
    fmt,
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use crate::{circumstances::Circumstances, dice::Dice, life::Life};

/// Who sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// A control node, by its Raft id.
    Control(u64),
    /// A data node.
    Data(u64),
    /// An operator at a command line.
    Operator,
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(node) => write!(formatter, "c{node}"),
            Self::Data(node) => write!(formatter, "d{node}"),
            Self::Operator => formatter.write_str("operator"),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nobody listens there: nothing was carried out.
    Refused,
    /// The connection broke: what was asked may be carried out.
    Broken,
}

/// What becomes of one message.
enum Fate {
    /// It arrives after this time.
    Arrives(Duration),
    /// It is lost, and who waits for it is told after this time.
    Breaks(Duration),
    /// It is lost.
    Hangs,
}

/// The network of one run.
#[derive(Debug)]
pub(crate) struct Network {
    latency: RangeInclusive<Duration>,
    lost_in_1000: u64,
    /// Ways that are cut: from, to.
    cut: Mutex<BTreeSet<(Party, Party)>>,
}

impl Network {
    pub(crate) fn new(circumstances: &Circumstances) -> Self {
        Self { latency: circumstances.latency.clone(), lost_in_1000: circumstances.lost_in_1000, cut: Mutex::default() }
    }

    /// Nothing comes from `from` to `to` any more.
    pub(crate) fn cut(&self, from: Party, to: Party) {
        self.ways().insert((from, to));
    }

    /// Everything comes through again.
    pub(crate) fn mend(&self) {
        self.ways().clear();
    }

    pub(crate) fn is_cut(&self, from: Party, to: Party) -> bool {
        self.ways().contains(&(from, to))
    }

    /// One message goes its way; returns when it has arrived.
    ///
    /// # Errors
    /// `Broken` when it is lost and its sender notices; one that does not notice never returns.
    pub(crate) async fn send(&self, dice: &Dice, from: Party, to: Party) -> Result<(), NoAnswer> {
        match self.fate(dice, from, to) {
            Fate::Arrives(after) => {
                sleep(after).await;
                // A way that was cut meanwhile loses what was on it.
                if self.is_cut(from, to) { std::future::pending().await } else { Ok(()) }
            }
            Fate::Breaks(after) => {
                sleep(after).await;
                Err(NoAnswer::Broken)
            }
            Fate::Hangs => std::future::pending().await,
        }
    }

    fn fate(&self, dice: &Dice, from: Party, to: Party) -> Fate {
        let after = dice.time(&self.latency);
        let is_lost = self.is_cut(from, to) || dice.chance(self.lost_in_1000);
        match is_lost {
            false => Fate::Arrives(after),
            true if dice.chance(300) => Fate::Breaks(after),
            true => Fate::Hangs,
        }
    }

    fn ways(&self) -> MutexGuard<'_, BTreeSet<(Party, Party)>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a call that lives.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) party: Party,
    pub(crate) life: Life,
}

impl End {
    pub(crate) fn new(party: Party, life: Life) -> Self {
        Self { party, life }
    }
}
