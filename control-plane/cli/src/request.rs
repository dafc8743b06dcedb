//! The ids of the requests with which one command changes something.
//!
//! Promise: a command that is repeated with the id that it names is done once. One that makes several changes takes ids
//! that follow from the first, so that a repetition finds each again. Absent: how long the cluster remembers an id.

use std::cell::Cell;

use uuid::Uuid;

use crate::failure::{Exit, Failure};

/// Ids for the changes of one command.
#[derive(Debug)]
pub(crate) struct RequestIds {
    first: Uuid,
    taken: Cell<u32>,
}

impl RequestIds {
    /// From `first` on, or from a new one.
    pub(crate) fn new(first: Option<Uuid>) -> Self {
        Self { first: first.unwrap_or_else(Uuid::now_v7), taken: Cell::new(0) }
    }

    /// The id of the next change: 16 bytes.
    pub(crate) fn next(&self) -> Vec<u8> {
        let before = self.taken.replace(self.taken.get() + 1);
        let mut bytes = *self.first.as_bytes();
        // The last four are random and nothing else: time, version and variant stay.
        if let Some(last) = bytes.last_chunk_mut::<4>() {
            *last = u32::from_be_bytes(*last).wrapping_add(before).to_be_bytes();
        }
        bytes.to_vec()
    }

    /// Says how to repeat a command whose outcome is not known, where that may be another change.
    pub(crate) fn with_repetition(&self, failure: Failure) -> Failure {
        // An id that is too old is refused each time.
        if failure.exit != Exit::Unknown || failure.code == "request-too-old" || self.taken.get() == 0 {
            return failure;
        }
        let message = format!("{}; repeat the same command with --request-id {}", failure.message, self.first);
        Failure { message, ..failure }
    }
}

/// Reads the id of a request: a UUID of version 7, as an error of `sluice` names it.
///
/// # Errors
/// What was expected, for the command line's own message.
pub(crate) fn parse(text: &str) -> Result<Uuid, String> {
    let found = Uuid::try_parse(text).ok().filter(|id| id.get_version_num() == 7);
    found.ok_or_else(|| format!("expected a UUID of version 7, as the error of the first try names it, found `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198b7c4-5a00-7000-8000-0000ffffffff";

    #[test]
    fn a_repetition_takes_the_same_ids_in_the_same_order() {
        let taken = |ids: &RequestIds| [ids.next(), ids.next(), ids.next()];
        let first = taken(&RequestIds::new(Some(parse(ID).unwrap())));
        assert_eq!(first, taken(&RequestIds::new(Some(parse(ID).unwrap()))));
        assert!(first[0] != first[1] && first[1] != first[2]);
        for id in &first {
            assert_eq!(Uuid::from_slice(id).unwrap().get_version_num(), 7);
            assert_eq!(id[..12], first[0][..12]);
        }
        assert_ne!(RequestIds::new(None).next(), RequestIds::new(None).next());
    }

    #[test]
    fn only_a_change_whose_outcome_is_not_known_says_how_to_repeat_it() {
        let failure = |exit, code: &str| Failure::new(exit, code, "no answer");
        let ids = RequestIds::new(Some(parse(ID).unwrap()));
        let unknown = failure(Exit::Unknown, "unavailable");
        assert_eq!(ids.with_repetition(unknown.clone()), unknown, "nothing was to be changed");
        drop(ids.next());
        let said = ids.with_repetition(unknown).message;
        assert_eq!(said, format!("no answer; repeat the same command with --request-id {ID}"));
        for known in [failure(Exit::Failed, "invalid"), failure(Exit::Unknown, "request-too-old")] {
            assert_eq!(ids.with_repetition(known.clone()), known);
        }
    }

    #[test]
    fn an_id_is_of_version_7() {
        assert_eq!(parse(ID).unwrap().to_string(), ID);
        for text in ["", "x", "0198b7c4-5a00-4000-8000-0000ffffffff"] {
            assert!(parse(text).unwrap_err().contains("version 7"), "{text}");
        }
    }
}
