//! The valid word nearest to a mistyped one.

/// The candidate with the fewest edits to `word`; the first of several.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates.min_by_key(|candidate| edits(word, candidate))
}

/// Insertions, removals and replacements that make `a` out of `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, expect) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("listen.admn", "listen.admin", 1)]
        {
            assert_eq!(edits(a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_found() {
        assert_eq!(nearest("dat_dir", ["log.format", "data_dir"].into_iter()), Some("data_dir"));
    }
}
