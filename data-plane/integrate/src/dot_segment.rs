//! Finds `.` and `..` among the segments of a path, in every spelling that some backend takes for one.
//!
//! Promise: a path without dot segments is told from one with them as RFC 3986, section 5.2.4 does; the search decodes first
//! (section 6.2.2.2), takes `\` for `/`, and looks past `;` and what follows it, as servers in the wild do.
//! Absent: removing them. What a client meant by one is not for a gateway to guess.

use percent_encoding::percent_decode;

/// Whether `path` has a dot segment. Cost of a usual path: one look at each byte.
pub(crate) fn has_dot_segment(path: &[u8]) -> bool {
    let mut before = b'/';
    let suspect = path.iter().any(|byte| {
        let suspect = matches!(byte, b'%' | b'\\') || (*byte == b'.' && before == b'/');
        before = *byte;
        suspect
    });
    suspect && {
        let decoded: Vec<u8> = percent_decode(path).collect();
        decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dot_segment)
    }
}

fn is_dot_segment(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or(segment);
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dot_segments_are_found_in_every_spelling() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/.",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a/..%2fb",
            "/a%2F..%2Fb",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/..\\b",
            "/a\\..\\b",
            "/a%5c..%5cb",
            "/a/%2e",
        ] {
            assert!(has_dot_segment(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn dots_within_a_name_are_no_dot_segment() {
        for path in
            ["/", "/a", "/.well-known/x", "/a/...", "/compare/a...b", "/a..b/c", "/a/..b", "/a%2Fb", "/%252e%252e/", ""]
        {
            assert!(!has_dot_segment(path.as_bytes()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_misses_nothing(path in "(/|\\.|;|a|%2e|%2f|%5C|%|\\\\){0,12}") {
            let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
            let found = decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dot_segment);
            prop_assert_eq!(has_dot_segment(path.as_bytes()), found);
        }
    }
}
