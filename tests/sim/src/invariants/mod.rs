//! What holds in every run, one file each. An invariant sees every event and says which one must not have happened.

mod applied_digests_equal;
mod heals_by_itself;
mod no_acknowledged_write_lost;
mod one_leader_per_term;
mod revision_never_backwards;
mod wait_never_lies;

use crate::event::Event;

/// Something that always holds.
pub trait Invariant: Send {
    /// The name of its file.
    fn name(&self) -> &'static str;

    /// Takes note of `event`.
    ///
    /// # Errors
    /// What of it must not have happened.
    fn see(&mut self, event: &Event) -> Result<(), String>;
}

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(no_acknowledged_write_lost::NoAcknowledgedWriteLost::default()),
        Box::new(applied_digests_equal::AppliedDigestsEqual::default()),
        Box::new(one_leader_per_term::OneLeaderPerTerm::default()),
        Box::new(revision_never_backwards::RevisionNeverBackwards::default()),
        Box::new(wait_never_lies::WaitNeverLies),
        Box::new(heals_by_itself::HealsByItself),
    ]
}
