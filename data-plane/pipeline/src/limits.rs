//! Rate limits on this node: which buckets a request needs, and who keeps them.
//!
//! Promise: a request takes from all of its buckets or from none. Buckets belong to the node, not to a snapshot or a core:
//! a new configuration finds them as they were, and all cores spend from the same one. A core keeps the handles it has
//! used, so that the usual request takes no lock. Absent: other nodes. What holds for the cluster replaces [`Limits`].

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use sluice_compile::{Throttle, ThrottleId};
use sluice_limit::{Limit, TokenBucket};

/// Buckets that one node keeps; ids come from configuration, so that this bounds keys times plans, not callers.
pub const BUCKETS_MAX: usize = 4 * 1024 * 1024;
/// Parts of the node's map of buckets; a power of two.
const SHARDS: usize = 64;
/// Nanoseconds between two searches of a full part for buckets that may be forgotten.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;
/// Handles that one core keeps; when there are more, it begins anew.
const HANDLES_MAX: usize = 64 * 1024;

/// What a request needs one token each of, at most two: a method's and a whole's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demands([Option<Throttle>; 2]);

impl Demands {
    /// The demands that are there, in the order in which they are taken.
    pub fn new(first: Option<Throttle>, second: Option<Throttle>) -> Self {
        Self([first, second])
    }

    /// Each demand, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Throttle> {
        self.0.iter().flatten()
    }
}

/// Decides whether a request may go on.
pub trait Limits {
    /// Takes one token for each demand, in order.
    ///
    /// # Errors
    /// [`Throttled`] when a bucket has none; what was taken before it is given back.
    fn take(&self, now: Instant, demands: &Demands) -> Result<(), Throttled>;

    /// Gives back what `take` took, because something else refused the request.
    fn give_back(&self, demands: &Demands);
}

/// A bucket had no token left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub ThrottleId);

/// The buckets of a node.
#[derive(Debug)]
pub struct Buckets {
    shards: [Mutex<Shard>; SHARDS],
    epoch: Instant,
    full: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    kept: AHashMap<ThrottleId, Kept>,
    /// A shard that is full of busy buckets is not searched again before.
    next_sweep_ns: u64,
}

/// A bucket and the limit it was last asked with, which says whether it may be forgotten.
#[derive(Debug)]
struct Kept {
    bucket: Arc<TokenBucket>,
    limit: Limit,
}

impl Buckets {
    /// No bucket yet; `epoch` is the beginning of their time.
    pub fn new(epoch: Instant) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), epoch, full: AtomicU64::new(0) }
    }

    /// The bucket named `id`, made full when it is new; `None` when there are too many in use.
    fn find(&self, id: ThrottleId, limit: Limit, now_ns: u64) -> Option<Arc<TokenBucket>> {
        let shard = &self.shards[usize::try_from(id.0 % SHARDS as u128).expect("below the number of shards")];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shard.kept.get_mut(&id) {
            kept.limit = limit;
            return Some(Arc::clone(&kept.bucket));
        }
        if shard.kept.len() >= BUCKETS_MAX / SHARDS && !shard.make_room(now_ns) {
            self.full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let bucket = Arc::new(TokenBucket::new());
        shard.kept.insert(id, Kept { bucket: Arc::clone(&bucket), limit });
        Some(bucket)
    }

    /// Requests that were refused because there are too many buckets in use.
    pub fn refused(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// How many buckets there are.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).kept.len()).sum()
    }
}

impl Shard {
    /// Forgets buckets that are full and held by no core, which are the same as new ones; says whether there were any.
    fn make_room(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_sweep_ns {
            return false;
        }
        self.next_sweep_ns = now_ns + SWEEP_EVERY_NS;
        let before = self.kept.len();
        self.kept.retain(|_, kept| Arc::strong_count(&kept.bucket) > 1 || !kept.bucket.is_full(now_ns, &kept.limit));
        self.kept.len() < before
    }
}

/// One core's way to the node's buckets.
#[derive(Debug)]
pub struct CoreLimits {
    buckets: Arc<Buckets>,
    handles: RefCell<AHashMap<ThrottleId, Arc<TokenBucket>>>,
}

impl CoreLimits {
    /// A core's way to `buckets`.
    pub fn new(buckets: Arc<Buckets>) -> Self {
        Self { buckets, handles: RefCell::default() }
    }

    fn now_ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.buckets.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    fn take_one(&self, now_ns: u64, demand: &Throttle) -> Result<(), Throttled> {
        let mut handles = self.handles.borrow_mut();
        let refused = Throttled(demand.id);
        if let Some(bucket) = handles.get(&demand.id) {
            return bucket.take(now_ns, &demand.limit).map_err(|_| refused);
        }
        let bucket = self.buckets.find(demand.id, demand.limit, now_ns).ok_or(refused)?;
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        let outcome = bucket.take(now_ns, &demand.limit).map_err(|_| refused);
        handles.insert(demand.id, bucket);
        outcome
    }
}

impl Limits for CoreLimits {
    fn take(&self, now: Instant, demands: &Demands) -> Result<(), Throttled> {
        let now_ns = self.now_ns(now);
        for (at, demand) in demands.iter().enumerate() {
            if let Err(refused) = self.take_one(now_ns, demand) {
                demands.iter().take(at).for_each(|taken| self.give_back(&Demands::new(Some(*taken), None)));
                return Err(refused);
            }
        }
        Ok(())
    }

    fn give_back(&self, demands: &Demands) {
        let handles = self.handles.borrow();
        for demand in demands.iter() {
            // A handle that is gone was dropped with all others within this request; its token is lost, never doubled.
            if let Some(bucket) = handles.get(&demand.id) {
                bucket.give_back(&demand.limit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(id: u128, burst: u32) -> Throttle {
        Throttle { id: ThrottleId(id), limit: Limit::new(0.0, burst) }
    }

    #[test]
    fn a_refused_request_takes_from_no_bucket() {
        let epoch = Instant::now();
        let limits = CoreLimits::new(Arc::new(Buckets::new(epoch)));
        let (wide, narrow) = (demand(1, 3), demand(2, 1));
        let both = Demands::new(Some(wide), Some(narrow));
        assert_eq!(limits.take(epoch, &both), Ok(()));
        assert_eq!(limits.take(epoch, &both), Err(Throttled(narrow.id)));
        assert_eq!(limits.take(epoch, &both), Err(Throttled(narrow.id)));
        let alone = Demands::new(Some(wide), None);
        assert_eq!(limits.take(epoch, &alone), Ok(()));
        assert_eq!(limits.take(epoch, &alone), Ok(()));
        assert_eq!(limits.take(epoch, &alone), Err(Throttled(wide.id)));
        limits.give_back(&alone);
        assert_eq!(limits.take(epoch, &alone), Ok(()));
    }

    #[test]
    fn cores_spend_from_the_same_bucket() {
        let epoch = Instant::now();
        let buckets = Arc::new(Buckets::new(epoch));
        let cores = [CoreLimits::new(Arc::clone(&buckets)), CoreLimits::new(Arc::clone(&buckets))];
        let demands = Demands::new(Some(demand(1, 3)), None);
        let admitted = (0..10).filter(|request| cores[request % 2].take(epoch, &demands).is_ok()).count();
        assert_eq!((admitted, buckets.count()), (3, 1));
    }

    #[test]
    fn no_demand_is_always_met() {
        let epoch = Instant::now();
        let limits = CoreLimits::new(Arc::new(Buckets::new(epoch)));
        assert_eq!(limits.take(epoch, &Demands::default()), Ok(()));
    }
}
