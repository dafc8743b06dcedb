//! Times as people write them: `250ms`, `10s`, `5m`, `1h`.

use std::time::Duration;

/// Reads a whole number with its unit.
///
/// # Errors
/// What was expected, and what was found.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("expected a time such as 250ms, 10s, 5m or 1h, found {text:?}")),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis));
    number.map(Duration::from_millis).ok_or_else(|| format!("expected a number before {unit}, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for wrong in ["10", "s", "", "1.5s", "10 s", "99999999999999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
