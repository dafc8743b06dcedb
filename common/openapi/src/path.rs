//! The template of a path: literal segments and variables.

use sluice_model::limits::{PATH_CHARS_MAX, PATH_SEGMENTS_MAX};

/// A segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment<'d> {
    Literal(&'d str),
    /// `{name}`: one segment.
    Variable(&'d str),
    /// `{name+}`: one or more segments, at the end only.
    Greedy(&'d str),
}

/// A path that the model can express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathTemplate<'d> {
    pub(crate) segments: Vec<Segment<'d>>,
}

/// Why a path cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathProblem<'d> {
    /// A segment mixes text and variables: OpenAPI allows it, the AWS model has no form for it.
    Mixed(&'d str),
    Wrong {
        message: String,
        hint: &'static str,
    },
}

impl<'d> PathTemplate<'d> {
    /// Reads `/pets/{id}`. A slash at the end is left away, as AWS's routing ignores it.
    ///
    /// # Errors
    /// The first problem of the path.
    pub(crate) fn parse(path: &'d str) -> Result<Self, PathProblem<'d>> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(wrong("expected a path that begins with `/`", "add the slash"));
        };
        if rest.is_empty() {
            return Ok(Self { segments: Vec::new() });
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if path.len() > PATH_CHARS_MAX || rest.split('/').count() > PATH_SEGMENTS_MAX {
            let message = format!("expected at most {PATH_CHARS_MAX} characters and {PATH_SEGMENTS_MAX} segments");
            return Err(wrong(&message, "shorten the path"));
        }
        let segments = rest.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.iter().rev().skip(1).any(|segment| matches!(segment, Segment::Greedy(_))) {
            return Err(wrong("a greedy variable `{name+}` must be the last segment", "drop what follows, or the `+`"));
        }
        let names = segments.iter().filter_map(Segment::variable).collect::<Vec<_>>();
        if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
            return Err(wrong(&format!("the variable `{name}` is used twice"), "name each variable once"));
        }
        Ok(Self { segments })
    }

    /// The names of the variables, left to right.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'d str> + '_ {
        self.segments.iter().filter_map(Segment::variable)
    }

    /// The path of each prefix, from `/` to the whole, with the segment that ends it.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (String, Option<&Segment<'d>>)> + '_ {
        (0..=self.segments.len()).map(|length| (joined(&self.segments[..length]), self.segments[..length].last()))
    }

    /// The path with every name left out: two paths of one shape match the same requests.
    pub(crate) fn shape(&self) -> String {
        self.segments.iter().fold(String::new(), |shape, segment| match segment {
            Segment::Literal(text) => shape + "/" + text,
            Segment::Variable(_) => shape + "/{}",
            Segment::Greedy(_) => shape + "/{+}",
        })
    }
}

impl std::fmt::Display for PathTemplate<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&joined(&self.segments))
    }
}

impl std::fmt::Display for Segment<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Segment::Literal(text) => out.write_str(text),
            Segment::Variable(name) => write!(out, "{{{name}}}"),
            Segment::Greedy(name) => write!(out, "{{{name}+}}"),
        }
    }
}

impl<'d> Segment<'d> {
    pub(crate) fn variable(&self) -> Option<&'d str> {
        match self {
            Segment::Literal(_) => None,
            Segment::Variable(name) | Segment::Greedy(name) => Some(name),
        }
    }
}

fn joined(segments: &[Segment<'_>]) -> String {
    if segments.is_empty() {
        return "/".to_owned();
    }
    segments.iter().fold(String::new(), |path, segment| format!("{path}/{segment}"))
}

fn segment(text: &str) -> Result<Segment<'_>, PathProblem<'_>> {
    if text.is_empty() {
        return Err(wrong("a path must not hold an empty segment `//`", "leave it out"));
    }
    if !text.contains(['{', '}']) {
        let fits = text.bytes().all(is_path_byte);
        let hint = "a segment holds letters, digits and -._~!$&'()*+,;=:@%";
        return if fits {
            Ok(Segment::Literal(text))
        } else {
            Err(wrong(&format!("the segment `{text}` holds a character that a path cannot"), hint))
        };
    }
    let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return mixed(text);
    };
    if inner.contains(['{', '}']) {
        return mixed(text);
    }
    let (name, is_greedy) = inner.strip_suffix('+').map_or((inner, false), |name| (name, true));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
    match (is_name, is_greedy) {
        (false, _) => {
            let hint = "a name holds letters, digits, `.`, `_`, `-` and `:`";
            Err(wrong(&format!("`{text}` does not name a variable"), hint))
        }
        (true, true) => Ok(Segment::Greedy(name)),
        (true, false) => Ok(Segment::Variable(name)),
    }
}

/// A segment with text and variables, if its braces are balanced; else it is only wrong.
fn mixed(text: &str) -> Result<Segment<'_>, PathProblem<'_>> {
    let mut is_open = false;
    for character in text.chars() {
        match character {
            '{' if is_open => return Err(unbalanced(text)),
            '}' if !is_open => return Err(unbalanced(text)),
            '{' | '}' => is_open = !is_open,
            _ => {}
        }
    }
    if is_open { Err(unbalanced(text)) } else { Err(PathProblem::Mixed(text)) }
}

fn unbalanced(text: &str) -> PathProblem<'static> {
    wrong(&format!("the braces of the segment `{text}` do not match"), "write a variable as `{name}`")
}

fn wrong(message: &str, hint: &'static str) -> PathProblem<'static> {
    PathProblem::Wrong { message: message.to_owned(), hint }
}

/// RFC 3986, section 3.3: `pchar`, with `%` for its escapes.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_segment_by_segment() {
        let table = [
            ("/", "", "/"),
            ("/pets", "/pets", "/pets"),
            ("/pets/", "/pets", "/pets"),
            ("/pets/{id}", "/pets/{}", "/pets/{id}"),
            ("/{owner-1}/a:b/{rest+}", "/{}/a:b/{+}", "/{owner-1}/a:b/{rest+}"),
        ];
        for (path, shape, shown) in table {
            let template = PathTemplate::parse(path).unwrap();
            assert_eq!((template.shape().as_str(), template.to_string().as_str()), (shape, shown), "{path}");
        }
    }

    #[test]
    fn what_the_model_cannot_express_is_told_apart_from_what_is_wrong() {
        for path in ["/{base}...{head}", "/v{n}", "/{n}.json", "/{a}{b}"] {
            assert!(matches!(PathTemplate::parse(path), Err(PathProblem::Mixed(_))), "{path}");
        }
        for path in
            ["pets", "//", "/a//b", "/{a+}/b", "/{}", "/{a b}", "/a b", "/a?b=c", "/{a}/{a}", "/{a", "/a}", "/}{"]
        {
            assert!(matches!(PathTemplate::parse(path), Err(PathProblem::Wrong { .. })), "{path}");
        }
    }
}
