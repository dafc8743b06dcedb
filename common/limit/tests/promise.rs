//! The promise of the crate over random limits, times and threads.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use sluice_limit::{Limit, TokenBucket};

fn rates() -> impl Strategy<Value = f64> {
    prop_oneof![(1.0..3600.0_f64).prop_map(|hours| hours / 3600.0), 1.0..1000.0_f64, 1000.0..1e6_f64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_window_admits_more_than_burst_and_rate_allow(
        rate in rates(),
        burst in prop_oneof![1_u32..20, 20_u32..5_000],
        start in 0_u64..1_000_000_000_000_000,
        gaps in prop::collection::vec(prop_oneof![0_u64..2_000, 0_u64..50_000_000, 0_u64..20_000_000_000], 1..400),
    ) {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(rate, burst));
        let mut now = start;
        let mut admitted = Vec::new();
        for gap in gaps {
            now += gap;
            for _ in 0..3 {
                if bucket.take(now, &limit).is_ok() {
                    admitted.push(now);
                }
            }
        }
        for (first, &from) in admitted.iter().enumerate() {
            for (last, &to) in admitted.iter().enumerate().skip(first) {
                let window_us = (to / 1_000 - from / 1_000) as f64;
                let allowed = f64::from(burst) + rate * window_us / 1e6;
                let seen = (last - first + 1) as f64;
                prop_assert!(seen <= allowed + 1e-6, "{seen} in {window_us} us, allowed {allowed}");
            }
        }
    }

    #[test]
    fn a_saturated_bucket_gives_nearly_all_of_its_rate(rate in rates(), burst in 1_u32..64) {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(rate, burst));
        let (mut now, mut admitted) = (0_u64, 0_u64);
        while admitted < 2_000 {
            match bucket.take(now, &limit) {
                Ok(()) => admitted += 1,
                Err(refused) => now += refused.wait.unwrap().as_nanos() as u64,
            }
        }
        // Asking one microsecond late is the caller's clock, not the bucket's rounding.
        let due = (admitted - u64::from(burst)) as f64 / rate;
        let late = admitted as f64 * 1e-6;
        prop_assert!(now as f64 / 1e9 <= due * (1.0 + 1.0 / 30_000.0) + late, "{now} ns for {due} s");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again(burst in 1_u32..200, taken in 1_u32..200) {
        let (bucket, limit) = (TokenBucket::new(), Limit::new(0.0, burst));
        let admitted = (0..taken).filter(|_| bucket.take(0, &limit).is_ok()).count();
        for _ in 0..admitted {
            bucket.give_back(&limit);
        }
        prop_assert_eq!(bucket.tokens(0, &limit), burst);
    }

    #[test]
    fn a_changing_limit_never_admits_more_than_the_largest_would(
        limits in prop::collection::vec((rates(), 1_u32..100), 1..20),
    ) {
        let bucket = TokenBucket::new();
        let (mut now, mut admitted) = (0_u64, 0.0);
        for (rate, burst) in &limits {
            let limit = Limit::new(*rate, *burst);
            for _ in 0..50 {
                now += 100_000;
                admitted += f64::from(u8::from(bucket.take(now, &limit).is_ok()));
            }
        }
        let rate = limits.iter().map(|limit| limit.0).fold(0.0, f64::max);
        let burst = limits.iter().map(|limit| limit.1).max().unwrap();
        prop_assert!(admitted <= f64::from(burst) + rate * now as f64 / 1e9 + 1e-6);
    }
}

#[test]
fn threads_together_admit_exactly_the_burst() {
    let (bucket, limit, admitted) = (TokenBucket::new(), Limit::new(0.0, 10_000), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    if bucket.take(1, &limit).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 10_000);
}
