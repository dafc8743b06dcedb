//! Templates without directives: the text between Velocity's comments.
//!
//! Absent: references and directives; the first one is an error with its place.

use crate::{
    uri::Piece,
    value::{ContextVariable, ValueSource},
};

/// Something in a template that this release cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The directive or reference, as far as it is a word.
    pub(crate) text: String,
}

/// Directives of Velocity that AWS runs; it prints any other `#word` as it is.
const DIRECTIVES: [&str; 9] = ["set", "if", "elseif", "else", "end", "foreach", "stop", "break", "define"];

/// Returns the text of a template that has neither references nor directives, without its comments.
pub(crate) fn static_text(template: &str) -> Result<String, Directive> {
    let mut text = String::with_capacity(template.len());
    let mut at = 0;
    while let Some(found) = template[at..].find(['#', '$']) {
        let here = at + found;
        text.push_str(&template[at..here]);
        at = match comment_end(&template[here..]) {
            Some(len) => here + len,
            None if is_reference(&template[here..]) || is_directive(&template[here..]) => {
                return Err(directive_at(template, here));
            }
            None => {
                text.push_str(&template[here..=here]);
                here + 1
            }
        };
    }
    text.push_str(&template[at..]);
    Ok(text)
}

/// Reads a template of plain substitution: `$context.x` and `$stageVariables.x` between literal text.
pub(crate) fn substitution(template: &str) -> Result<Box<[Piece]>, Directive> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = template[at..].find(['#', '$']) {
        let here = at + found;
        literal.push_str(&template[at..here]);
        let rest = &template[here..];
        if let Some((source, len)) = reference(rest) {
            push_literal(&mut pieces, &mut literal);
            pieces.push(Piece::Value(source));
            at = here + len;
        } else if is_reference(rest) || is_directive(rest) {
            return Err(directive_at(template, here));
        } else {
            literal.push_str(&template[here..=here]);
            at = here + 1;
        }
    }
    literal.push_str(&template[at..]);
    push_literal(&mut pieces, &mut literal);
    Ok(pieces.into())
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

/// A known reference at the start of `text`, and its length.
fn reference(text: &str) -> Option<(ValueSource, usize)> {
    let after = text.strip_prefix('$')?;
    let (inner, braces) = match after.strip_prefix('{') {
        Some(rest) => (&rest[..rest.find('}')?], 2),
        None => {
            let part_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
            let end = after.find(|letter| !part_of_name(letter)).unwrap_or(after.len());
            // A dot at the end is the end of a sentence.
            (after[..end].trim_end_matches('.'), 0)
        }
    };
    let source = if let Some(name) = inner.strip_prefix("context.") {
        ValueSource::Context(ContextVariable::parse(name)?)
    } else {
        ValueSource::StageVariable(inner.strip_prefix("stageVariables.").filter(|name| !name.is_empty())?.into())
    };
    Some((source, 1 + braces + inner.len()))
}

/// The length of a comment at the start of `text`.
fn comment_end(text: &str) -> Option<usize> {
    if text.starts_with("##") {
        return Some(text.find('\n').map_or(text.len(), |end| end + 1));
    }
    text.starts_with("#*").then(|| text.find("*#").map_or(text.len(), |end| end + 2))
}

fn is_reference(text: &str) -> bool {
    let Some(after) = text.strip_prefix('$') else { return false };
    let after = after.trim_start_matches('!');
    let after = after.strip_prefix('{').unwrap_or(after);
    after.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
}

fn is_directive(text: &str) -> bool {
    let Some(after) = text.strip_prefix('#') else { return false };
    let word = after.strip_prefix('{').unwrap_or(after);
    after.starts_with("[[") || DIRECTIVES.iter().any(|directive| word.starts_with(directive))
}

fn directive_at(template: &str, at: usize) -> Directive {
    let before = &template[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let text = &template[at..];
    let end =
        text.find(|letter: char| letter.is_whitespace() || matches!(letter, '(' | '"' | ',')).unwrap_or(text.len());
    Directive {
        line: before.matches('\n').count() + 1,
        column: template[line_start..at].chars().count() + 1,
        text: text[..end].chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_directives_is_itself_without_comments() {
        for (template, expect) in [
            ("{\"statusCode\": 200}", "{\"statusCode\": 200}"),
            ("## note $x #if\n{a}", "{a}"),
            ("a #* $b #set *# c", "a  c"),
            ("costs $5, #1 of #fff, 50$", "costs $5, #1 of #fff, 50$"),
            ("", ""),
        ] {
            assert_eq!(static_text(template).as_deref(), Ok(expect), "{template}");
        }
    }

    #[test]
    fn the_first_directive_or_reference_is_named_with_its_place() {
        for (template, line, column, text) in [
            ("$input.body", 1, 1, "$input.body"),
            ("{\n  \"a\": \"$!{x}\"}", 2, 9, "$!{x}"),
            ("\u{e4} #set($a = 1)", 1, 3, "#set"),
            ("#{else}", 1, 1, "#{else}"),
        ] {
            let expect = Directive { line, column, text: text.to_owned() };
            assert_eq!(static_text(template), Err(expect), "{template}");
        }
    }

    #[test]
    fn known_references_are_substituted_and_others_refused() {
        let pieces = substitution(r#"{"message":$context.error.messageString,"s":"${stageVariables.v}."}"#).unwrap();
        let literal = |text: &str| Piece::Literal(text.into());
        let expect = [
            literal(r#"{"message":"#),
            Piece::Value(ValueSource::Context(ContextVariable::ErrorMessageString)),
            literal(r#","s":""#),
            Piece::Value(ValueSource::StageVariable("v".into())),
            literal(r#"."}"#),
        ];
        assert_eq!(*pieces, expect);
        for wrong in ["$input.path('$')", "#if($context.stage)", "$context.nothing", "$util.escapeJavaScript($x)"] {
            assert!(substitution(wrong).is_err(), "{wrong}");
        }
    }
}
