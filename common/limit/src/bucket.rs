//! One bucket: a single atomic word, changed by compare-exchange.
//!
//! Promise: see the crate. The limit is an argument, so that it may change under a live bucket: the level stays what it
//! was and is cut to the new burst. Absent: fairness between threads.
//!
//! Time: `now_ns` is any clock that does not go backwards for a thread, the same clock for all callers of one bucket.
//! Threads may disagree by up to a second: one that is behind sees no time pass, and never moves the bucket back. The
//! bucket keeps time modulo 76 hours: one that has not admitted a request for longer may look as if only the remainder had
//! passed, which admits less than it could for one time of refilling, and never more.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    limit::Limit,
    word::{self, TIME_MASK, ULPS_PER_TOKEN},
};

/// How far a caller's clock may be behind another's, microseconds.
const LAG_MAX_US: u64 = 1_000_000;

/// A token bucket; new ones are full.
#[derive(Debug)]
pub struct TokenBucket {
    word: AtomicU64,
}

/// The bucket holds less than one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no token left, expected one; ask again after {wait:?}")]
pub struct Refused {
    /// The time until one token is there, if no one else takes it; `None` when it never will be.
    pub wait: Option<Duration>,
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenBucket {
    /// Returns a full bucket, whatever its burst.
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(word::UNTOUCHED) }
    }

    /// Takes one token.
    ///
    /// Cost: one compare-exchange when admitted, one load when not; no allocation.
    ///
    /// # Errors
    /// `Refused` with the wait until one token is there. The bucket is as it was.
    pub fn take(&self, now_ns: u64, limit: &Limit) -> Result<(), Refused> {
        // Relaxed: the word guards no other memory.
        let mut word = self.word.load(Relaxed);
        loop {
            let (time_us, level) = refilled(word, now_ns, limit);
            let Some(left) = level.checked_sub(ULPS_PER_TOKEN) else {
                return Err(refused(level, limit));
            };
            match self.word.compare_exchange_weak(word, word::pack(time_us, left), Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(newer) => word = newer,
            }
        }
    }

    /// Puts one taken token back, because a later limit refused the request.
    ///
    /// INVARIANT: called at most once per `take` that succeeded; the level never exceeds the burst.
    pub fn give_back(&self, limit: &Limit) {
        let mut word = self.word.load(Relaxed);
        loop {
            let level = (word::level(word).min(limit.full()) + ULPS_PER_TOKEN).min(limit.full());
            match self.word.compare_exchange_weak(word, word::pack(word::time_us(word), level), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => word = newer,
            }
        }
    }

    /// Returns the whole tokens that the bucket holds at `now_ns`.
    pub fn tokens(&self, now_ns: u64, limit: &Limit) -> u32 {
        let (_, level) = refilled(self.word.load(Relaxed), now_ns, limit);
        u32::try_from(level / ULPS_PER_TOKEN).expect("a level is at most the burst, which is a u32")
    }

    /// Says whether the bucket is full, and so the same as a new one: its owner may forget it.
    pub fn is_full(&self, now_ns: u64, limit: &Limit) -> bool {
        refilled(self.word.load(Relaxed), now_ns, limit).1 == limit.full()
    }
}

/// The time and level of `word` at `now_ns`.
fn refilled(word: u64, now_ns: u64, limit: &Limit) -> (u64, u64) {
    let now_us = (now_ns / 1_000) & TIME_MASK;
    let then_us = word::time_us(word);
    let elapsed_us = now_us.wrapping_sub(then_us) & TIME_MASK;
    let level = word::level(word);
    if elapsed_us > TIME_MASK - LAG_MAX_US && word != word::UNTOUCHED {
        return (then_us, level.min(limit.full()));
    }
    (now_us, level.saturating_add(limit.gain(elapsed_us)).min(limit.full()))
}

fn refused(level: u64, limit: &Limit) -> Refused {
    if limit.burst() == 0 {
        return Refused { wait: None };
    }
    Refused { wait: limit.time_for(ULPS_PER_TOKEN - level).map(Duration::from_micros) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_new_bucket_admits_its_burst_and_says_how_long_to_wait() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(10.0, 3));
        for _ in 0..3 {
            assert_eq!(bucket.take(5 * SECOND, &limit), Ok(()));
        }
        let wait = bucket.take(5 * SECOND, &limit).unwrap_err().wait.unwrap();
        assert!(wait >= Duration::from_millis(100) && wait < Duration::from_micros(100_100), "{wait:?}");
        assert_eq!(bucket.take(5 * SECOND + wait.as_nanos() as u64, &limit), Ok(()));
    }

    #[test]
    fn a_token_given_back_is_there_again_but_never_above_the_burst() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(0.0, 2));
        bucket.take(0, &limit).unwrap();
        bucket.give_back(&limit);
        bucket.give_back(&limit);
        assert_eq!(bucket.tokens(0, &limit), 2);
    }

    #[test]
    fn an_hourly_rate_gives_its_token_after_an_hour_though_asked_all_the_time() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(1.0 / 3600.0, 1));
        bucket.take(0, &limit).unwrap();
        let admitted = (1..3_700).find(|second| bucket.take(second * SECOND, &limit).is_ok());
        assert!(matches!(admitted, Some(3600..=3601)), "{admitted:?}");
    }

    #[test]
    fn a_changed_limit_keeps_the_level_and_cuts_it_to_the_new_burst() {
        let (bucket, wide, narrow) = (TokenBucket::new(), Limit::new(0.0, 100), Limit::new(0.0, 5));
        bucket.take(0, &wide).unwrap();
        assert_eq!(bucket.tokens(0, &narrow), 5);
        bucket.take(0, &narrow).unwrap();
        assert_eq!(bucket.tokens(0, &wide), 4);
    }

    #[test]
    fn a_burst_of_zero_admits_nothing_ever() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(100.0, 0));
        assert_eq!(bucket.take(10 * SECOND, &limit), Err(Refused { wait: None }));
    }

    #[test]
    fn a_thread_whose_clock_is_behind_sees_no_time_pass_and_does_not_move_the_bucket_back() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(1.0, 2));
        bucket.take(100 * SECOND, &limit).unwrap();
        bucket.take(100 * SECOND - SECOND / 2, &limit).unwrap();
        assert!(bucket.take(100 * SECOND - SECOND / 2, &limit).is_err());
        assert!(bucket.take(100 * SECOND + SECOND / 2, &limit).is_err());
        assert!(bucket.take(101 * SECOND + SECOND / 1000, &limit).is_ok());
    }

    #[test]
    fn the_clock_may_pass_the_end_of_its_38_bits() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(1.0, 1));
        let end = (TIME_MASK + 1) * 1_000;
        bucket.take(end - SECOND / 4, &limit).unwrap();
        assert!(bucket.take(end + SECOND / 4, &limit).is_err());
        assert!(bucket.take(end + SECOND * 3 / 4 + SECOND / 1000, &limit).is_ok());
    }

    #[test]
    fn a_bucket_is_full_again_when_its_time_has_passed() {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(10.0, 10));
        assert!(bucket.is_full(0, &limit));
        bucket.take(0, &limit).unwrap();
        assert!(!bucket.is_full(SECOND / 20, &limit));
        assert!(bucket.is_full(SECOND / 5, &limit));
    }
}
