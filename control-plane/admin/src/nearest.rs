//! The valid word nearest to a wrong one, for hints.

/// Returns the candidate with the smallest edit distance to `word`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .min()
        .filter(|(edits, _)| *edits <= edits_max(word.len()))
        .map(|(_, candidate)| candidate)
}

/// A slip of the fingers changes a third of a word at most; what differs by more is another word.
fn edits_max(chars: usize) -> usize {
    chars.div_ceil(3)
}

/// A hint of the form "did you mean `x`"; empty when nothing is near.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`")).unwrap_or_default()
}

/// Levenshtein's distance, one row at a time.
fn distance(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (line, wanted) in candidate.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, found) in word.iter().enumerate() {
            let replaced = diagonal + usize::from(*found != wanted);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let words = ["variables", "description", "deploymentId"];
        assert_eq!(nearest("varaibles", words), Some("variables"));
        assert_eq!(nearest("deploymentid", words), Some("deploymentId"));
        for other in ["zzz", "color", "tables", "desk", "deployed"] {
            assert_eq!(nearest(other, words), None, "{other}");
        }
    }
}
