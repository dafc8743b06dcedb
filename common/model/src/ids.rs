//! Ids: `a-z0-9`, as long as AWS's for each noun; and the newtypes that parse.
//!
//! Absent: randomness. Callers pass random bytes, so that pure crates can make ids.

use std::fmt;

use crate::limits;

/// Characters of the id of an API.
pub const API_ID_CHARS: usize = 10;
/// Characters of the id of an API key.
pub const KEY_ID_CHARS: usize = 10;
/// Characters of the id of a resource, deployment, model, authorizer, request validator or usage plan.
pub const SHORT_ID_CHARS: usize = 6;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An id of `chars` characters of `a-z0-9` from the first 16 of `random` bytes (fewer: as if padded with zeros).
///
/// Every id is equally likely when the bytes are random and `chars` is at most 20.
pub fn id_from_random(random: &[u8], chars: usize) -> String {
    let mut seed = [0_u8; 16];
    let used = random.len().min(seed.len());
    seed[..used].copy_from_slice(&random[..used]);
    let mut rest = u128::from_le_bytes(seed);
    let mut id = String::with_capacity(chars);
    for _ in 0..chars {
        id.push(char::from(ALPHABET[(rest % 36) as usize]));
        rest /= 36;
    }
    id
}

/// Whether `text` looks like an id: 1 to 64 characters of `a-z0-9`.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// A stage's name: 1 to 128 characters of `a-zA-Z0-9_-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageName(String);

/// A text that is not a stage's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a stage name of 1 to 128 characters of a-z, A-Z, 0-9, _ and -, found {found:?}")]
pub struct NotAStageName {
    found: String,
}

impl StageName {
    /// Parses `text`.
    ///
    /// # Errors
    /// `NotAStageName` when it is empty, too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, NotAStageName> {
        let fits = !text.is_empty() && text.len() <= limits::STAGE_NAME_CHARS_MAX;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if fits && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAStageName { found: text.chars().take(160).collect() })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_length_and_alphabet() {
        for seed in 0..200_u8 {
            let id = id_from_random(&[seed; 16], API_ID_CHARS);
            assert_eq!(id.len(), API_ID_CHARS);
            assert!(is_id(&id), "{id}");
        }
        assert_ne!(id_from_random(&[1; 16], 6), id_from_random(&[2; 16], 6));
        assert_eq!(id_from_random(&[], 3), "aaa");
    }

    #[test]
    fn stage_names_are_aws_names() {
        for good in ["prod", "v1_2-x", "A", &"x".repeat(128)] {
            assert_eq!(StageName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "$default", "é", &"x".repeat(129)] {
            assert!(StageName::parse(bad).is_err(), "{bad}");
        }
    }
}
