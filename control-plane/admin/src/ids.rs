//! Ids that the leader makes.
//!
//! Promise: the ids of one request are a function of its request id, so that a replay finds the rows that the first
//! execution made. Absent: secrets, which are random (`secrets`).

use sluice_model::ids::{API_ID_CHARS, KEY_ID_CHARS, SHORT_ID_CHARS, id_from_random};

/// Candidates that are tried before giving up: with ids of six characters the third is already never needed.
const CANDIDATES: u32 = 8;

/// Makes the ids of one request.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    key: [u8; 32],
    /// Which operation of the request, and which id within it.
    operation: u32,
    made: u32,
}

impl Ids {
    /// Ids of the request `id` of `actor`.
    pub(crate) fn of_request(actor: &str, id: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("sluice ids of a request v1");
        hasher.update(actor.as_bytes()).update(&[0]).update(id);
        Self { key: *hasher.finalize().as_bytes(), operation: 0, made: 0 }
    }

    /// Turns to the operation at `index`: its ids do not depend on those before it.
    pub(crate) fn turn_to(&mut self, index: usize) {
        self.operation = u32::try_from(index).unwrap_or(u32::MAX);
        self.made = 0;
    }

    /// The next id of an API that is not `taken`.
    pub(crate) fn api(&mut self, taken: impl Fn(&str) -> bool) -> String {
        self.next(API_ID_CHARS, taken)
    }

    /// The next id of an API key that is not `taken`.
    pub(crate) fn api_key(&mut self, taken: impl Fn(&str) -> bool) -> String {
        self.next(KEY_ID_CHARS, taken)
    }

    /// The next id of anything else that is not `taken`.
    pub(crate) fn short(&mut self, taken: impl Fn(&str) -> bool) -> String {
        self.next(SHORT_ID_CHARS, taken)
    }

    fn next(&mut self, chars: usize, taken: impl Fn(&str) -> bool) -> String {
        let nth = self.made;
        self.made += 1;
        let candidate = |attempt: u32| {
            let mut hasher = blake3::Hasher::new_keyed(&self.key);
            for number in [self.operation, nth, attempt] {
                hasher.update(&number.to_le_bytes());
            }
            id_from_random(hasher.finalize().as_bytes(), chars)
        };
        // All taken: the last one goes to apply, which refuses it as existing; nothing is overwritten.
        (0..CANDIDATES).map(candidate).find(|id| !taken(id)).unwrap_or_else(|| candidate(CANDIDATES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_makes_the_same_ids_and_another_makes_others() {
        let first = |request: &[u8]| Ids::of_request("local", request).api(|_| false);
        assert_eq!(first(b"1"), first(b"1"));
        assert_ne!(first(b"1"), first(b"2"));
    }

    #[test]
    fn a_taken_id_is_passed_over() {
        let free = Ids::of_request("local", b"1").short(|_| false);
        assert_ne!(Ids::of_request("local", b"1").short(|id| id == free), free);
    }

    #[test]
    fn ids_of_an_operation_do_not_depend_on_those_before_it() {
        let mut both = Ids::of_request("local", b"1");
        both.short(|_| false);
        both.turn_to(1);
        let mut second = Ids::of_request("local", b"1");
        second.turn_to(1);
        assert_eq!(both.short(|_| false), second.short(|_| false));
    }
}
