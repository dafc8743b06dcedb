//! Reads a query as AWS does.
//!
//! Promise: one reading for the values that mappings take from a query and for the parameters that they replace in it, so
//! that no spelling of a parameter stands beside the mapping that was to replace it.
//! Source: the "important notes" of the developer guide (a semicolon splits) and recorded events of AWS (`+` is a space).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// One parameter, encoded as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'q> {
    /// All of it.
    pub sent: &'q str,
    /// What is before its first `=`.
    pub name: &'q str,
    /// What is behind it; empty where there is none.
    pub value: &'q str,
}

/// The parameters of a query in their order, a name as often as it was sent. They end at `&` and at `;`; empty ones are none.
pub fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split(['&', ';']).filter(|sent| !sent.is_empty()).map(|sent| {
        let (name, value) = sent.split_once('=').unwrap_or((sent, ""));
        Parameter { sent, name, value }
    })
}

/// The text that a name or value stands for. What is no UTF-8 becomes U+FFFD.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why, the query, and what it says.
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

    #[test]
    fn a_query_is_split_and_decoded_as_aws_does() {
        let cases: [Case; 13] = [
            ("names keep their order and their repetitions", "b=1&a=2&b=3", &[("b", "1"), ("a", "2"), ("b", "3")]),
            ("a semicolon splits", "a=1;b=2", &[("a", "1"), ("b", "2")]),
            ("a semicolon splits a value", "q=abcd;20", &[("q", "abcd"), ("20", "")]),
            ("an encoded semicolon does not", "q=abcd%3B20", &[("q", "abcd;20")]),
            ("an encoded ampersand does not", "q=a%26b=c", &[("q", "a&b=c")]),
            ("the first = ends the name", "a=b=c", &[("a", "b=c")]),
            ("no = is an empty value", "flag&a=", &[("flag", ""), ("a", "")]),
            ("no name is a name too", "=1", &[("", "1")]),
            ("a plus is a space, encoded it is a plus", "a+b=c+d%2B", &[("a b", "c d+")]),
            ("empty parameters are none", "&&a=1&;", &[("a", "1")]),
            ("what is no encoding stands for itself", "a=%zz%4", &[("a", "%zz%4")]),
            ("what is no text is marked", "a=%ff", &[("a", "\u{fffd}")]),
            ("nothing", "", &[]),
        ];
        for (what, query, expected) in cases {
            let seen: Vec<_> = parameters(query).map(|one| (decoded(one.name), decoded(one.value))).collect();
            let seen: Vec<_> = seen.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(seen, expected, "{what}: {query}");
        }
    }
}
