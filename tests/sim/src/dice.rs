//! Every choice of a run, drawn from its seed.

use std::{
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The dice of one run. What is drawn depends on what was drawn before, and on nothing else.
#[derive(Debug)]
pub struct Dice(Mutex<StdRng>);

impl Dice {
    /// The dice of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A number of `range`.
    pub fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }

    /// True `in_1000` times of a thousand.
    pub fn chance(&self, in_1000: u64) -> bool {
        self.number(1..=1000) <= in_1000
    }

    /// A time of `range`, to the microsecond.
    pub fn time(&self, range: &RangeInclusive<Duration>) -> Duration {
        let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.number(micros(range.start())..=micros(range.end())))
    }

    /// One of `all`; `None` when there is none.
    pub fn one<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        let last = (all.len() as u64).checked_sub(1)?;
        usize::try_from(self.number(0..=last)).ok().and_then(|at| all.get(at))
    }

    /// How many of `all` come before a cut at any place, both ends included.
    pub fn cut(&self, all: usize) -> usize {
        usize::try_from(self.number(0..=all as u64)).unwrap_or(all)
    }
}
