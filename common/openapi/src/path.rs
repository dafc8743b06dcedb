//! The template of a path: literal segments and variables, by the model's own rule for path parts.

use sluice_model::{
    check::resource::{Segment, parse_path_part},
    limits::{PATH_CHARS_MAX, PATH_SEGMENTS_MAX},
};

/// A path that the model can express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathTemplate<'d> {
    pub(crate) parts: Vec<Part<'d>>,
}

/// A segment of a path, as it is written and as it is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'d> {
    pub(crate) text: &'d str,
    segment: Segment<'d>,
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
            return Ok(Self { parts: Vec::new() });
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if path.len() > PATH_CHARS_MAX || rest.split('/').count() > PATH_SEGMENTS_MAX {
            let message = format!("expected at most {PATH_CHARS_MAX} characters and {PATH_SEGMENTS_MAX} segments");
            return Err(wrong(&message, "shorten the path"));
        }
        let parts = rest.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        if parts.iter().rev().skip(1).any(|part| matches!(part.segment, Segment::Greedy(_))) {
            return Err(wrong("a greedy variable `{name+}` must be the last segment", "drop what follows, or the `+`"));
        }
        let names = parts.iter().filter_map(Part::variable).collect::<Vec<_>>();
        if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
            return Err(wrong(&format!("the variable `{name}` is used twice"), "name each variable once"));
        }
        Ok(Self { parts })
    }

    /// The names of the variables, left to right.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'d str> + '_ {
        self.parts.iter().filter_map(Part::variable)
    }

    /// The path of each prefix, from `/` to the whole, with the part that ends it.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (String, Option<Part<'d>>)> + '_ {
        (0..=self.parts.len()).map(|length| (joined(&self.parts[..length]), self.parts[..length].last().copied()))
    }

    /// The path with every name left out: two paths of one shape match the same requests.
    pub(crate) fn shape(&self) -> String {
        self.parts.iter().fold(String::new(), |shape, part| match part.segment {
            Segment::Literal(text) => shape + "/" + text,
            Segment::Variable(_) => shape + "/{}",
            Segment::Greedy(_) => shape + "/{+}",
        })
    }
}

impl std::fmt::Display for PathTemplate<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&joined(&self.parts))
    }
}

impl<'d> Part<'d> {
    /// The name of the variable that this part is.
    pub(crate) fn variable(&self) -> Option<&'d str> {
        match self.segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) | Segment::Greedy(name) => Some(name),
        }
    }
}

fn joined(parts: &[Part<'_>]) -> String {
    if parts.is_empty() {
        return "/".to_owned();
    }
    parts.iter().fold(String::new(), |path, part| path + "/" + part.text)
}

fn part(text: &str) -> Result<Part<'_>, PathProblem<'_>> {
    if let Some(segment) = parse_path_part(text) {
        return Ok(Part { text, segment });
    }
    if is_mixed(text) {
        return Err(PathProblem::Mixed(text));
    }
    if matches!(text, "." | "..") {
        let hint = "it is taken out of a path before it is requested; leave it out, or name it otherwise";
        return Err(wrong(&format!("`{text}` is no segment of a path"), hint));
    }
    let hint = "a segment is letters, digits and `._-:`, or one variable {name} or {name+}";
    Err(wrong(&format!("`{text}` is no segment of a path"), hint))
}

/// Whether a segment has variables beside text or other variables, well written as such.
fn is_mixed(text: &str) -> bool {
    let is_one = text.starts_with('{') && text.find('}') == Some(text.len() - 1);
    let mut is_open = false;
    let is_balanced = text.chars().all(|character| match character {
        '{' | '}' if (character == '{') == is_open => false,
        '{' | '}' => {
            is_open = !is_open;
            true
        }
        _ => true,
    });
    is_balanced && !is_open && !is_one && text.contains('{')
}

fn wrong(message: &str, hint: &'static str) -> PathProblem<'static> {
    PathProblem::Wrong { message: message.to_owned(), hint }
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
        for path in [
            "pets", "/.", "/a/../b", "//", "/a//b", "/{a+}/b", "/{}", "/{a b}", "/a b", "/a?b=c", "/{a}/{a}", "/{a",
            "/a}", "/}{",
        ] {
            assert!(matches!(PathTemplate::parse(path), Err(PathProblem::Wrong { .. })), "{path}");
        }
    }
}
