//! Values: from text to what a program uses.

use std::{path::PathBuf, time::Duration};

use crate::{Kind, Setting};

/// A value of its setting's kind, in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Path(PathBuf),
    List(Vec<String>),
    Flag(bool),
    Count(u64),
    Time(Duration),
}

impl Kind {
    /// What `--help` and refusals say of the values: unit and range.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "HOST:PORT".to_owned(),
            Self::List => "values separated by commas".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Bytes { min, max } => {
                format!("bytes (KiB, MiB, GiB) from {} to {}", bytes_text(*min), bytes_text(*max))
            }
            Self::Time { min, max } => {
                format!("a time (ms, s, m, h) from {} to {}", time_text(*min), time_text(*max))
            }
        }
    }

    /// Parses `text`; `None` when it is no value of this kind, or out of range.
    pub(crate) fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Self::Text => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
            Self::Path => (!text.is_empty()).then(|| Value::Path(PathBuf::from(text))),
            Self::Address => {
                let (host, port) = text.rsplit_once(':')?;
                port.parse::<u16>().ok()?;
                (!host.is_empty() && !host.contains('/')).then(|| Value::Text(text.to_owned()))
            }
            Self::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(Value::List(parts.map(str::to_owned).collect()))
            }
            Self::Flag => text.parse().ok().map(Value::Flag),
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Count { min, max } => {
                text.parse().ok().filter(|count| (min..=max).contains(&count)).map(Value::Count)
            }
            Self::Bytes { min, max } => {
                parse_bytes(text).filter(|bytes| (min..=max).contains(&bytes)).map(Value::Count)
            }
            Self::Time { min, max } => parse_time(text).filter(|time| (min..=max).contains(&time)).map(Value::Time),
        }
    }
}

impl Setting {
    /// What a person reads of the default.
    pub(crate) fn default_text(&self) -> String {
        match self.default {
            crate::Default::Is(value) => format!("default {value}"),
            crate::Default::Absent(meaning) => format!("default: {meaning}"),
            crate::Default::Required => "required".to_owned(),
        }
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let (digits, unit) = split_unit(text);
    let count: u64 = digits.parse().ok()?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(ms)?))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) = split_unit(text);
    let count: u64 = digits.parse().ok()?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    count.checked_mul(1 << shift)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim())
}

fn time_text(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        _ if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms >= 60_000 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

fn bytes_text(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}"),
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Path(path) => write!(out, "{}", path.display()),
            Self::List(list) => out.write_str(&list.join(",")),
            Self::Flag(flag) => write!(out, "{flag}"),
            Self::Count(count) => write!(out, "{count}"),
            Self::Time(time) => out.write_str(&time_text(*time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Kind = Kind::Time { min: Duration::from_millis(10), max: Duration::from_secs(7_200) };
    const BYTES: Kind = Kind::Bytes { min: 1, max: 1 << 40 };

    #[test]
    fn values_are_parsed_with_their_units() {
        for (kind, text, expect) in [
            (TIME, "100ms", Value::Time(Duration::from_millis(100))),
            (TIME, "2h", Value::Time(Duration::from_secs(7_200))),
            (BYTES, "64MiB", Value::Count(64 << 20)),
            (BYTES, "12", Value::Count(12)),
            (Kind::Flag, "true", Value::Flag(true)),
            (Kind::List, "a, b,", Value::List(vec!["a".into(), "b".into()])),
            (Kind::Address, "[::1]:7100", Value::Text("[::1]:7100".into())),
        ] {
            assert_eq!(kind.parse(text), Some(expect), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_or_out_of_range_is_refused() {
        for (kind, text) in [
            (TIME, "9ms"),
            (TIME, "3h"),
            (TIME, "100"),
            (TIME, "-1s"),
            (BYTES, "0"),
            (BYTES, "1MB"),
            (BYTES, "99999999999999999999"),
            (Kind::Count { min: 1, max: 3 }, "4"),
            (Kind::Flag, "yes"),
            (Kind::Address, "localhost"),
            (Kind::Address, "localhost:99999"),
            (Kind::Choice(&["a"]), "b"),
            (Kind::Text, " "),
        ] {
            assert_eq!(kind.parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_printed_as_they_would_be_typed() {
        assert_eq!(TIME.describe(), "a time (ms, s, m, h) from 10ms to 2h");
        assert_eq!(BYTES.describe(), "bytes (KiB, MiB, GiB) from 1 to 1024GiB");
    }
}
