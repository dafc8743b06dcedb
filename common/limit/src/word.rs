//! The 64 bits of a bucket: 38 bits of time and 26 bits of level.
//!
//! Time is in microseconds modulo 2^38 (76 hours). Level is in units of 2^-16 token, as a small floating-point number
//! (5 bits of exponent, 21 of mantissa and the implied one): exact below 64 tokens, where a saturated bucket lives, and
//! to one token at [`BURST_MAX`](crate::BURST_MAX), where a full one does. Packing rounds down: never in the caller's favour.

/// Level units in one token.
pub(crate) const ULPS_PER_TOKEN: u64 = 1 << 16;

const LEVEL_BITS: u32 = 26;
const MANTISSA_BITS: u32 = 21;
const LEVEL_MASK: u64 = (1 << LEVEL_BITS) - 1;
const MANTISSA_ONE: u64 = 1 << MANTISSA_BITS;
pub(crate) const TIME_MASK: u64 = (1 << (64 - LEVEL_BITS)) - 1;

/// The word of a bucket that has never been asked: a level above every burst.
pub(crate) const UNTOUCHED: u64 = LEVEL_MASK;

pub(crate) fn pack(time_us: u64, level: u64) -> u64 {
    (time_us & TIME_MASK) << LEVEL_BITS | pack_level(level)
}

pub(crate) fn time_us(word: u64) -> u64 {
    word >> LEVEL_BITS
}

pub(crate) fn level(word: u64) -> u64 {
    let packed = word & LEVEL_MASK;
    let (exponent, mantissa) = (packed >> MANTISSA_BITS, packed & (MANTISSA_ONE - 1));
    if exponent == 0 { mantissa } else { (MANTISSA_ONE | mantissa) << (exponent - 1) }
}

fn pack_level(level: u64) -> u64 {
    if level < MANTISSA_ONE {
        return level;
    }
    let shift = u64::from((63 - MANTISSA_BITS) - level.leading_zeros());
    let packed = (shift + 1) << MANTISSA_BITS | (level >> shift) & (MANTISSA_ONE - 1);
    debug_assert!(packed <= LEVEL_MASK, "a level is at most a full bucket's");
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BURST_MAX;

    #[test]
    fn a_level_below_64_tokens_is_packed_exactly() {
        for value in (0..64 * ULPS_PER_TOKEN).step_by(997) {
            assert_eq!(level(pack(7, value)), value);
        }
    }

    #[test]
    fn a_level_is_never_packed_up_and_loses_less_than_a_token() {
        for value in (0..=u64::from(BURST_MAX) * ULPS_PER_TOKEN).step_by(999_983) {
            let kept = level(pack(0, value));
            assert!(kept <= value && value - kept < ULPS_PER_TOKEN, "{value} became {kept}");
        }
    }

    #[test]
    fn every_whole_number_of_tokens_is_packed_exactly() {
        for tokens in (0..=u64::from(BURST_MAX)).step_by(13) {
            assert_eq!(level(pack(TIME_MASK, tokens * ULPS_PER_TOKEN)), tokens * ULPS_PER_TOKEN);
        }
    }

    #[test]
    fn time_survives_beside_any_level() {
        assert_eq!(time_us(pack(123_456_789, u64::from(BURST_MAX) * ULPS_PER_TOKEN)), 123_456_789);
        assert!(level(UNTOUCHED) >= u64::from(BURST_MAX) * ULPS_PER_TOKEN);
    }
}
