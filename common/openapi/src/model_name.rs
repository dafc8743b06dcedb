//! Names of models: letters and digits only, each once.
//!
//! Promise: a name that AWS allows is kept as it is; others lose what is not allowed and are numbered when they then
//! clash.

use std::collections::HashSet;

/// The names that are taken.
#[derive(Debug, Default)]
pub(crate) struct ModelNames {
    taken: HashSet<String>,
}

impl ModelNames {
    /// Takes `name` as it is, if AWS allows it and nobody has it.
    pub(crate) fn keep(&mut self, name: &str) -> Option<String> {
        let is_allowed = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_allowed && self.taken.insert(name.to_owned())).then(|| name.to_owned())
    }

    /// Takes what is left of `name` without the characters that AWS does not allow, numbered if that is taken.
    pub(crate) fn strip(&mut self, name: &str) -> String {
        let mut stripped = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        if stripped.is_empty() {
            "Model".clone_into(&mut stripped);
        }
        let mut candidate = stripped.clone();
        let mut number = 2_usize;
        while !self.taken.insert(candidate.clone()) {
            candidate = format!("{stripped}{number}");
            number += 1;
        }
        candidate
    }
}

/// `repos/get-content` to `ReposGetContent`: the words of an operation id as one name.
pub(crate) fn joined_words(text: &str) -> String {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(String::new(), |mut name, word| {
        name.push(word.as_bytes()[0].to_ascii_uppercase().into());
        name.push_str(&word[1..]);
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_names_stay_and_others_are_stripped_and_numbered() {
        let mut names = ModelNames::default();
        assert_eq!(names.keep("simpleuser").as_deref(), Some("simpleuser"));
        assert_eq!(names.keep("simple-user"), None);
        assert_eq!(names.strip("simple-user"), "simpleuser2");
        assert_eq!(names.strip("simple_user"), "simpleuser3");
        assert_eq!(names.strip("café-menü"), "cafmen");
        assert_eq!((names.strip("_"), names.strip("-")), ("Model".to_owned(), "Model2".to_owned()));
    }

    #[test]
    fn operation_ids_become_names() {
        assert_eq!(joined_words("repos/get-content"), "ReposGetContent");
        assert_eq!(joined_words("listPets"), "ListPets");
        assert_eq!(joined_words("--"), "");
    }
}
