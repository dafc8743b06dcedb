//! Revisions: which configuration a node holds.

use std::{fmt, sync::Arc};

/// A configuration's name: the generation of the cluster and the number within it.
///
/// Only revisions of one generation lead to each other. A restore begins its generation at the next number, so that within
/// a cluster the greater number is always the later state; nothing follows from numbers of different clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Made when a cluster is initialised and by every restore; UUID text.
    pub generation: Arc<str>,
    /// Raised whenever a row that data nodes see has changed.
    pub number: u64,
}

impl Revision {
    /// The revision `number` of `generation`.
    pub fn new(generation: impl Into<Arc<str>>, number: u64) -> Self {
        Self { generation: generation.into(), number }
    }

    /// Whether both belong to the same generation, so that their numbers compare.
    pub fn same_generation(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.number, self.generation)
    }
}

impl From<&Revision> for sluice_proto::model::Revision {
    fn from(revision: &Revision) -> Self {
        Self { generation: revision.generation.to_string(), number: revision.number }
    }
}

impl From<Revision> for sluice_proto::model::Revision {
    fn from(revision: Revision) -> Self {
        Self::from(&revision)
    }
}

impl From<sluice_proto::model::Revision> for Revision {
    fn from(message: sluice_proto::model::Revision) -> Self {
        Self { generation: message.generation.into(), number: message.number }
    }
}

impl From<&sluice_proto::model::Revision> for Revision {
    fn from(message: &sluice_proto::model::Revision) -> Self {
        Self { generation: message.generation.as_str().into(), number: message.number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_survives_its_message() {
        let revision = Revision::new("g1", 7);
        let message = sluice_proto::model::Revision::from(&revision);
        assert_eq!(Revision::from(&message), revision);
        assert_eq!(Revision::from(message), revision);
    }

    #[test]
    fn numbers_compare_only_within_a_generation() {
        assert!(Revision::new("a", 1).same_generation(&Revision::new("a", 2)));
        assert!(!Revision::new("a", 1).same_generation(&Revision::new("b", 1)));
    }
}
