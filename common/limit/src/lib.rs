//! Token buckets for throttling.
//!
//! Promise: over any window of `w` seconds (rounded up to a whole microsecond) a bucket admits at most
//! `burst + rate * w` requests, on however many threads; a bucket that is asked whenever it holds a token loses less
//! than one part in 30,000 of its rate to rounding. A refused request costs no write.
//! Absent: clocks, locks and keys. Callers pass `now` and own the map of buckets; quotas and leases come with theirs.

mod bucket;
mod limit;
mod word;

pub use bucket::{Refused, TokenBucket};
pub use limit::{BURST_MAX, Limit, RATE_MAX_PER_S};
