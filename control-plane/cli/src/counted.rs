//! Counts as people say them.

/// `1 key`, `2 keys`, `0 keys`; of nouns whose plural is made by an s.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let said = [0, 1, 2].map(|count| counted(count, "more warning"));
        assert_eq!(said, ["0 more warnings", "1 more warning", "2 more warnings"]);
    }
}
