//! Inputs as lines of words, so that seeds can be read and a mutation costs a line, not the whole.

/// The lines of an input, each as its first word and the rest. What is not UTF-8 is replaced.
pub(crate) fn lines(input: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(input);
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        (word.to_owned(), rest.to_owned())
    };
    text.lines().map(split).collect()
}

/// `name=value`; without `=` the value is empty.
pub(crate) fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// The next word of a line.
pub(crate) fn word<'a>(rest: &mut &'a str) -> &'a str {
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    *rest = after;
    word
}
