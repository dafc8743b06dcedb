//! Settings: any file gives texts for clap or is refused, and quantities are what they say.

use std::time::Duration;

use crate::{
    Target,
    quantity::{bytes_within, time_within},
    table::leaves,
};

/// The target.
pub const TARGET: Target = Target {
    name: "settings",
    run,
    seeds: Vec::new,
    words: &[
        "[listen]\n",
        "[[listen]]\n",
        "http = \"127.0.0.1:8080\"\n",
        "a.b.c = 1\n",
        "= [",
        "]",
        "{ a = ",
        "}",
        "\"\"\"",
        "'''",
        "1979-05-27T07:32:00Z",
        "0x1F",
        "1e400",
        "nan",
        "true",
        "10s",
        "250ms",
        "64MiB",
        "99999999999999999999h",
        "#",
        "\n",
    ],
};

/// Reads the text as a file, and each of its lines as a quantity.
///
/// # Panics
/// When a quantity is not what it says.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(table) = text.parse::<toml::Table>()
        && let Ok(found) = leaves(&table)
    {
        assert!(found.len() <= text.len(), "every value stands in the text");
    }
    let longest = Duration::from_secs(3_600);
    for line in text.lines() {
        if let Ok(time) = time_within(Duration::ZERO..=longest)(line) {
            assert!(time <= longest);
            assert_eq!(time_within(time..=time)(&format!("{}ms", time.as_millis())), Ok(time), "{line}");
        }
        if let Ok(bytes) = bytes_within(1..=1 << 40)(line) {
            assert!((1..=1 << 40).contains(&bytes));
            assert_eq!(bytes_within(bytes..=bytes)(&bytes.to_string()), Ok(bytes), "{line}");
        }
    }
}
