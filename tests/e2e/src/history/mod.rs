//! What clients asked of single keys and what they were answered, and whether one key at a time can explain it.
//!
//! Promise: a history is accepted exactly when there is an order of its operations, each between its call and its
//! answer, in which a key that is made, changed at a version, deleted and read gives every answer: linearizability
//! (Herlihy and Wing). An operation whose outcome is not known may take effect at any time after its call, or never.
//! Absent: several keys in one operation.

mod clients;
mod search;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

pub use clients::{Exam, Notes};

/// A value: a number that no other write of the history has.
pub type Value = u64;
/// A version that the cluster gave a value; no two values of a key have the same.
pub type Version = u64;

/// One operation on one key. Times are of one clock, and rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it was asked.
    pub called: u64,
    /// When it was answered; none for one whose outcome is not known.
    pub ended: Option<u64>,
    /// What was asked, and what was answered.
    pub kind: Kind,
}

/// What was asked of a key; the answer is none where the outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Make it, if it is not there.
    Create(Value, Option<Written>),
    /// Replace it, if it has this version.
    Update(Value, Version, Option<Written>),
    /// Delete it, whatever it is.
    Delete(Option<Written>),
    /// Read it: what was there.
    Read(Option<(Value, Version)>),
}

impl Kind {
    /// Whether it is a write that was acknowledged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Create(_, told) | Self::Update(_, _, told) | Self::Delete(told) => {
                matches!(told, Some(Written::Done(_)))
            }
            Self::Read(_) => false,
        }
    }
}

/// How a write was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done; what was put has this version, a deletion 0.
    Done(Version),
    /// There was something already.
    Exists,
    /// There was another version.
    Changed,
    /// There was nothing.
    Missing,
}

/// Why no order explains a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The first operation, in the order of calls, that no order reaches.
    pub stuck: Operation,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "not linearizable: {}; at {:?}", self.problem, self.stuck)
    }
}

/// Looks for an order of the operations on one key, which is not there at first.
///
/// # Errors
/// The violation, when there is none.
pub fn check(mut operations: Vec<Operation>) -> Result<(), Violation> {
    operations.sort_by_key(|operation| operation.called);
    let versions = versions(&operations)?;
    search::order(&operations, &versions)
}

/// The version of each value that anyone was told of. What nobody was told of can be nobody's expectation.
fn versions(operations: &[Operation]) -> Result<BTreeMap<Value, Version>, Violation> {
    let (mut versions, mut values) = (BTreeMap::new(), BTreeMap::new());
    for operation in operations {
        let told = match &operation.kind {
            Kind::Create(value, Some(Written::Done(version)))
            | Kind::Update(value, _, Some(Written::Done(version)))
            | Kind::Read(Some((value, version))) => (*value, *version),
            Kind::Create(..) | Kind::Update(..) | Kind::Delete(_) | Kind::Read(None) => continue,
        };
        for (of, this, that) in [(&mut versions, told.0, told.1), (&mut values, told.1, told.0)] {
            match of.entry(this) {
                Entry::Vacant(entry) => _ = entry.insert(that),
                Entry::Occupied(entry) if *entry.get() == that => {}
                Entry::Occupied(entry) => {
                    let problem = format!("expected one version a value, found {} too", entry.get());
                    return Err(Violation { stuck: operation.clone(), problem });
                }
            }
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests;
