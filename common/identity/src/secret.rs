//! Values that are not shown, and the random tokens that operators and joining nodes carry.
//!
//! Promise: a [`Secret`] prints as `***`; a token has 256 bits of randomness and is stored and compared only by hash,
//! in constant time. Absent: wiping memory.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::IdentityFailure;

/// A value that prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value` from logs and debug output.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the place that uses it, never for one that prints.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// A new token: `prefix` and 43 characters of `A-Za-z0-9-_`, 256 random bits.
///
/// # Errors
/// `Random` when the system has no randomness.
pub fn random_token(prefix: &str) -> Result<Secret<String>, IdentityFailure> {
    let bytes: [u8; 32] = random_bytes()?;
    Ok(Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// What is stored and compared in place of a token: blake3, 32 bytes.
///
/// A plain hash suffices: a token has 256 bits of its own, so that nothing can be guessed.
pub fn token_hash(token: &str) -> blake3::Hash {
    blake3::hash(token.as_bytes())
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], IdentityFailure> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityFailure::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let token = random_token("t_").unwrap();
        assert_eq!(format!("{token} {token:?}"), "*** ***");
        assert!(token.expose().starts_with("t_") && token.expose().len() == 45);
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(random_token("").unwrap().expose(), random_token("").unwrap().expose());
    }
}
