//! What a bucket is held to: a rate and a burst, parsed once into the units of the bucket's word.
//!
//! Promise: a `Limit` is always usable; what it admits is never more than the numbers it was made from.
//! Absent: names and owners of limits.

use crate::word::ULPS_PER_TOKEN;

/// Largest burst, tokens: above it one token would be finer than a full bucket's level can express.
pub const BURST_MAX: u32 = (1 << 22) - 1;

/// Largest rate, tokens per second: one per tick of the bucket's clock.
pub const RATE_MAX_PER_S: f64 = 1_000_000.0;

/// Fraction bits of [`Limit::ulps_per_us`]: 1/3600 token per second keeps six significant digits.
const RATE_FRACTION_BITS: u32 = 36;

/// A rate in tokens per second and a burst in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Fixed point: level units per microsecond.
    ulps_per_us: u64,
    burst: u32,
}

impl Limit {
    /// Returns the limit of `rate_per_s` (0 to [`RATE_MAX_PER_S`]) and `burst` (0 to [`BURST_MAX`]).
    ///
    /// What lies above is cut to the maximum; a rate that is negative or not a number is zero. A burst of zero admits
    /// nothing; a rate of zero admits `burst` requests and no more.
    pub fn new(rate_per_s: f64, burst: u32) -> Self {
        let rate = if rate_per_s > 0.0 { rate_per_s.min(RATE_MAX_PER_S) } else { 0.0 };
        let scale = (1_u64 << RATE_FRACTION_BITS) as f64 * ULPS_PER_TOKEN as f64 / 1e6;
        // A cast from float to integer cuts the fraction and saturates.
        Self { ulps_per_us: (rate * scale) as u64, burst: burst.min(BURST_MAX) }
    }

    /// Returns the largest number of tokens a bucket holds.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Returns the rate in tokens per second.
    pub fn rate_per_s(&self) -> f64 {
        self.ulps_per_us as f64 / (1_u64 << RATE_FRACTION_BITS) as f64 / ULPS_PER_TOKEN as f64 * 1e6
    }

    /// The level of a full bucket.
    pub(crate) fn full(&self) -> u64 {
        u64::from(self.burst) * ULPS_PER_TOKEN
    }

    /// The level gained in `elapsed_us`, rounded down.
    pub(crate) fn gain(&self, elapsed_us: u64) -> u64 {
        let gained = (u128::from(elapsed_us) * u128::from(self.ulps_per_us)) >> RATE_FRACTION_BITS;
        u64::try_from(gained).unwrap_or(u64::MAX)
    }

    /// The microseconds in which `missing` level units are gained, rounded up; `None` for a rate of zero.
    pub(crate) fn time_for(&self, missing: u64) -> Option<u64> {
        if self.ulps_per_us == 0 {
            return None;
        }
        let needed = u128::from(missing) << RATE_FRACTION_BITS;
        Some(u64::try_from(needed.div_ceil(u128::from(self.ulps_per_us))).unwrap_or(u64::MAX))
    }
}
