//! Resources: a node of an API's path tree.

use sluice_proto::model::Resource;

use super::{checker::Checker, text::is_variable_name};
use crate::{Diagnostics, limits};

/// Checks a resource: the root has neither parent nor path part, every other has both.
pub fn check(resource: &Resource) -> Diagnostics {
    let mut checker = Checker::of_level(resource.level);
    match (&resource.parent_id, &resource.path_part) {
        (Some(parent), Some(part)) => {
            checker.required("parentId", parent);
            checker.absorb("pathPart", path_part(part));
        }
        (None, None) => {
            if !resource.path.is_empty() && resource.path != "/" {
                checker.error("required", "parentId", "expected a parent for a resource that is not the root");
            }
        }
        (None, Some(_)) => checker.error("required", "parentId", "expected a parent beside the path part, found none"),
        (Some(_), None) => checker.error("required", "pathPart", "expected a path part beside the parent, found none"),
    }
    checker.finish()
}

/// One segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Fixed text.
    Literal(&'a str),
    /// `{name}`: one segment of any text.
    Variable(&'a str),
    /// `{name+}`: all the rest of the path; only as its last segment.
    Greedy(&'a str),
}

/// Parses a path part; `None` when it is not one that AWS takes.
pub fn parse_path_part(part: &str) -> Option<Segment<'_>> {
    if part.len() > limits::PATH_PART_CHARS_MAX {
        return None;
    }
    if let Some(inner) = part.strip_prefix('{') {
        let inner = inner.strip_suffix('}')?;
        return match inner.strip_suffix('+') {
            Some(name) => is_variable_name(name).then_some(Segment::Greedy(name)),
            None => is_variable_name(inner).then_some(Segment::Variable(inner)),
        };
    }
    // A client removes these before it sends a path (RFC 3986, 5.2.4): no request would name them.
    if is_dots(part) {
        return None;
    }
    // AWS: "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable ...".
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (!part.is_empty() && part.bytes().all(allowed)).then_some(Segment::Literal(part))
}

/// Whether a path part names the place that it is in, or the one above, and so is none of its own.
fn is_dots(part: &str) -> bool {
    part == "." || part == ".."
}

/// Checks one path part; the paths of its diagnostics are empty.
pub fn path_part(part: &str) -> Diagnostics {
    let mut checker = Checker::default();
    if parse_path_part(part).is_none() {
        let shown: String = part.chars().take(64).collect();
        checker.error_with_hint(
            "invalid-path-part",
            "",
            format!("expected a path part, found {shown:?}"),
            match is_dots(part) {
                true => "`.` and `..` are taken out of a path before it is requested; name the part otherwise",
                false => "a part is literal text, {name} or {name+}; braces stand at its beginning and end",
            },
        );
    }
    checker.finish()
}

/// Checks a whole path such as `/pets/{id}`: its parts, that a greedy one is last, and that no name stands twice.
pub fn path(path: &str) -> Diagnostics {
    let mut checker = Checker::default();
    checker.text("", path, limits::PATH_CHARS_MAX);
    let Some(rest) = path.strip_prefix('/') else {
        checker.error("invalid-path", "", format!("expected a path that begins with /, found {path:?}"));
        return checker.finish();
    };
    if rest.is_empty() {
        return checker.finish();
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > limits::PATH_SEGMENTS_MAX {
        let message = format!("expected at most {} segments, found {}", limits::PATH_SEGMENTS_MAX, parts.len());
        checker.error("invalid-path", "", message);
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, part) in parts.iter().enumerate() {
        checker.absorb("", path_part(part));
        let name = match parse_path_part(part) {
            Some(Segment::Greedy(name)) => {
                if index + 1 < parts.len() {
                    checker.error("greedy-not-last", "", format!("expected {part} as the last segment of {path}"));
                }
                name
            }
            Some(Segment::Variable(name)) => name,
            Some(Segment::Literal(_)) | None => continue,
        };
        if !names.insert(name) {
            let message = format!("expected each variable once in a path, found {{{name}}} twice in {path}");
            checker.error("duplicate-variable", "", message);
        }
    }
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_are_literals_variables_or_greedy() {
        assert_eq!(parse_path_part("pets"), Some(Segment::Literal("pets")));
        assert_eq!(parse_path_part("v1.0-beta_2:x"), Some(Segment::Literal("v1.0-beta_2:x")));
        assert_eq!(parse_path_part("{id}"), Some(Segment::Variable("id")));
        assert_eq!(parse_path_part("{proxy+}"), Some(Segment::Greedy("proxy")));
        for bad in ["", ".", "..", "{", "{}", "{+}", "{a}b", "a{b}", "{a b}", "{a++}", "a b", "a/b", "a?b", "$a", "é"]
        {
            assert_eq!(parse_path_part(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_greedy_part_is_last_and_names_stand_once() {
        let codes = |text| path(text).iter().map(|found| found.code.to_string()).collect::<Vec<_>>();
        for good in ["/", "/a", "/a/{b}/c/{d+}"] {
            assert!(codes(good).is_empty(), "{good}");
        }
        assert_eq!(codes("/{a+}/b"), ["greedy-not-last"]);
        assert_eq!(codes("/{a}/{a}"), ["duplicate-variable"]);
        assert_eq!(codes("a"), ["invalid-path"]);
        assert_eq!(codes("/a//b"), ["invalid-path-part"]);
    }

    #[test]
    fn only_the_root_has_no_parent() {
        let root = Resource { path: "/".to_owned(), ..Resource::default() };
        assert!(check(&root).is_empty());
        let child = Resource {
            parent_id: Some("abc123".to_owned()),
            path_part: Some("pets".to_owned()),
            path: "/pets".to_owned(),
            ..Resource::default()
        };
        assert!(check(&child).is_empty());
        assert!(check(&Resource { parent_id: None, ..child.clone() }).has_errors());
        assert!(check(&Resource { path_part: None, ..child }).has_errors());
    }
}
