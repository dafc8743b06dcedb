//! A fixed piece of work, timed beside every measurement: when it is slow, so was the machine.

use std::{hint::black_box, time::Instant};

const ROUNDS: u64 = 200_000_000;

/// Milliseconds of wall time for a fixed loop of multiplications on one core.
pub(crate) fn loop_ms() -> f64 {
    let start = Instant::now();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..ROUNDS {
        state = black_box(state.wrapping_mul(0xD129_0295_0A3B_4F35).wrapping_add(round));
    }
    black_box(state);
    start.elapsed().as_secs_f64() * 1_000.0
}
