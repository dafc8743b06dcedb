//! Ids, revisions, diagnostics, digests, limits and checks of documents: what every other crate agrees on.
//!
//! Promise: everything here is a function of its arguments; a check names every problem of a document at once, with the
//! path of its field. Absent: what needs more than one document (references, routes: `sluice-compile` and `sluice-state`).

pub mod check;
pub mod diagnostic;
pub mod digest;
pub mod ids;
pub mod level;
pub mod limits;
pub mod part;
pub mod revision;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use digest::{Digest, RowHash, RowHasher, StateDigest};
pub use level::LEVEL;
pub use revision::Revision;
