//! Paths of resources, as configured: `/pets/{id}/{rest+}`.

use sluice_model::limits;

use super::CAPTURES_MAX;

/// One segment of a resource's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// Matches itself.
    Literal(&'a str),
    /// `{name}`: matches any one segment that is not empty.
    Variable(&'a str),
    /// `{name+}`: matches all that is left, if something is.
    Greedy(&'a str),
}

/// Reads the segments of a path.
///
/// # Errors
/// A message that says what is wrong.
pub(crate) fn segments(path: &str) -> Result<Vec<Segment<'_>>, String> {
    if path == "/" {
        return Ok(Vec::new());
    }
    let rest = path.strip_prefix('/').ok_or_else(|| format!("expected a path that begins with /, found {path:?}"))?;
    let found: Vec<Segment<'_>> = rest.split('/').map(segment).collect::<Result<_, _>>()?;
    if let Some(early) = found.iter().rev().skip(1).find(|segment| matches!(segment, Segment::Greedy(_))) {
        return Err(format!("{early:?} matches all that follows, so nothing may follow it"));
    }
    let variables: Vec<&str> = found.iter().filter_map(|segment| segment.variable()).collect();
    if variables.len() > CAPTURES_MAX || found.len() > limits::PATH_SEGMENTS_MAX {
        let most = limits::PATH_SEGMENTS_MAX;
        return Err(format!("expected at most {most} segments and {CAPTURES_MAX} variables"));
    }
    if let Some((at, name)) = variables.iter().enumerate().find(|(at, name)| variables[..*at].contains(name)) {
        return Err(format!("variable {name} stands in the path twice, second as number {}", at + 1));
    }
    Ok(found)
}

fn segment(text: &str) -> Result<Segment<'_>, String> {
    if text.is_empty() || text.len() > limits::PATH_PART_CHARS_MAX {
        return Err(format!("expected segments of 1 to {} bytes, found {text:?}", limits::PATH_PART_CHARS_MAX));
    }
    let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        let braces = text.contains(['{', '}']);
        let wrong = format!("expected a literal, {{name}} or {{name+}}, found {text:?}");
        return if braces { Err(wrong) } else { Ok(Segment::Literal(text)) };
    };
    let name = inner.strip_suffix('+').unwrap_or(inner);
    if name.is_empty() || name.contains(['{', '}', '+']) {
        return Err(format!("expected a variable's name between braces, found {text:?}"));
    }
    Ok(if name.len() < inner.len() { Segment::Greedy(name) } else { Segment::Variable(name) })
}

impl<'a> Segment<'a> {
    /// The name of a variable.
    pub(crate) fn variable(&self) -> Option<&'a str> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) | Self::Greedy(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_into_its_segments() {
        assert_eq!(segments("/"), Ok(vec![]));
        let expect = vec![Segment::Literal("a"), Segment::Variable("b"), Segment::Greedy("c")];
        assert_eq!(segments("/a/{b}/{c+}"), Ok(expect));
    }

    #[test]
    fn what_cannot_be_a_path_is_refused() {
        let deep = "/a".repeat(limits::PATH_SEGMENTS_MAX + 1);
        let many: String = (0..=CAPTURES_MAX).map(|number| format!("/{{v{number}}}")).collect();
        for wrong in
            ["", "a", "//", "/a/", "/a//b", "/{}", "/{+}", "/x{a}", "/{a}x", "/{a+}/b", "/{a}/{a}", "/{a", &deep, &many]
        {
            assert!(segments(wrong).is_err(), "{wrong}");
        }
    }
}
