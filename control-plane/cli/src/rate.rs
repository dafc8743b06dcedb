//! Rates as people type them: `100`, `100/s`, `1000/h`; and limits that can be taken away again: `none`.

use sluice_model::limits::{THROTTLE_BURST_MIN, THROTTLE_RATE_MAX, THROTTLE_RATE_MIN};

/// A limit that a flag sets or takes away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit<T> {
    /// The limit.
    To(T),
    /// `none`: no limit.
    None,
}

impl<T> Limit<T> {
    /// The limit, unless it is `none`.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::None => None,
        }
    }
}

/// Reads a rate as requests per second.
///
/// # Errors
/// What was expected, for the command line's own message.
pub(crate) fn parse_rate(text: &str) -> Result<Limit<f64>, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let wrong = || format!("expected a rate as 100, 100/s, 600/m or 1000/h, or none, found `{text}`");
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    let rate = number / seconds;
    if (THROTTLE_RATE_MIN..=THROTTLE_RATE_MAX).contains(&rate) {
        Ok(Limit::To(rate))
    } else {
        Err(format!("expected a rate from 1/h to {THROTTLE_RATE_MAX}/s, found `{text}`"))
    }
}

/// Reads a burst: requests that may come at once.
///
/// # Errors
/// What was expected, for the command line's own message.
pub(crate) fn parse_burst(text: &str) -> Result<Limit<i32>, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    match text.parse::<i32>() {
        Ok(burst) if burst >= THROTTLE_BURST_MIN => Ok(Limit::To(burst)),
        _ => Err(format!("expected a whole number of at least {THROTTLE_BURST_MIN}, or none, found `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_requests_per_second() {
        for (text, rate) in
            [("100", 100.0), ("100/s", 100.0), ("600/m", 10.0), ("1800/h", 0.5), ("0.5", 0.5), ("1/h", 1.0 / 3600.0)]
        {
            assert_eq!(parse_rate(text), Ok(Limit::To(rate)), "{text}");
        }
        assert_eq!(parse_rate("none"), Ok(Limit::None));
        for text in ["", "/s", "fast", "100/d", "0", "-1", "1e3", "inf", "NaN", "0.5/h", "2000000", "1/s/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bursts_are_whole_numbers() {
        assert_eq!((parse_burst("20"), parse_burst("none")), (Ok(Limit::To(20)), Ok(Limit::None)));
        for text in ["0", "-1", "1.5", "", "99999999999"] {
            assert!(parse_burst(text).is_err(), "{text}");
        }
    }
}
