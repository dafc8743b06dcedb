//! Times and sizes as people write them: `250ms`, `10s`, `5m`, `1h`; `64MiB`.

use std::{ops::RangeInclusive, time::Duration};

/// A parser of times within `range`, for clap.
pub fn time_within(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let time =
            time(text).ok_or_else(|| format!("expected a time such as 250ms, 10s, 5m, 1h or 90d, found {text:?}"))?;
        if range.contains(&time) {
            return Ok(time);
        }
        Err(format!("expected a time from {:?} to {:?}, found {text}", range.start(), range.end()))
    }
}

/// A parser of sizes in bytes within `range`, for clap.
pub fn bytes_within(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync {
    move |text| {
        let bytes = bytes(text).ok_or_else(|| format!("expected bytes such as 4096, 64KiB or 1GiB, found {text:?}"))?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!("expected from {} to {} bytes, found {text}", range.start(), range.end()))
    }
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        let parse = time_within(Duration::ZERO..=Duration::from_secs(3_600));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["10", "s", "", "1.5s", "10 s", "2h", "99999999999999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_may_have_a_unit() {
        let parse = bytes_within(1..=1 << 30);
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64MiB"), Ok(64 << 20));
        assert_eq!(parse("1GiB"), Ok(1 << 30));
        for wrong in ["0", "2GiB", "1MB", "-1", "", "MiB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
