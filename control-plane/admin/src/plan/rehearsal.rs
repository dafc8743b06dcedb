//! What the operations of one change will have done, for those that are planned after them.
//!
//! Promise: it is apply's own work, on a draft that nobody else sees. Versions of what it writes are [`PENDING`].

use sluice_proto::raft::{Command, Outcome, RowChange, Stamp, outcome};
use sluice_state::{Draft, Tables};

use super::PENDING;
use crate::{propose::change, refused::Refused};

/// Applies rows to a draft, so that what is planned next sees them.
pub(crate) struct Rehearsal<'a, T: Tables> {
    pub(crate) draft: Draft<'a, T>,
    stamp: Stamp,
}

impl<'a, T: Tables> Rehearsal<'a, T> {
    pub(crate) fn new(base: &'a T, stamp: &Stamp) -> Self {
        Self { draft: Draft::new(base), stamp: Stamp { request: None, audit: None, ..stamp.clone() } }
    }

    /// # Errors
    /// What apply would refuse.
    pub(crate) fn play(&mut self, rows: &[RowChange]) -> Result<(), Refused> {
        if rows.is_empty() {
            return Ok(());
        }
        self.command(&change(self.stamp.clone(), rows.to_vec()))
    }

    /// # Errors
    /// What apply would refuse.
    pub(crate) fn command(&mut self, command: &Command) -> Result<(), Refused> {
        let applied = sluice_state::apply(&mut self.draft, PENDING, command);
        match applied.outcome {
            Outcome { kind: Some(outcome::Kind::Rejected(rejected)) } => Err(rejected.into()),
            Outcome { kind: Some(outcome::Kind::Done(_)) | None } => Ok(()),
        }
    }
}
