//! Backup files: the rows of the replicated state at one revision, in one file that says whether it is whole.
//!
//! ```text
//! "SLUICE" 'B' format                              8 bytes
//! kind · length (4, little-endian) · checksum (16) · payload     a record; the first is the header, then rows, then the end
//! ```
//! The checksum is blake3 of kind, length and payload; the end holds blake3 of every byte before it. Payloads are messages of
//! `sluice.raft.v1`; those with rows are compressed.
//!
//! Promise: what was cut, changed or put together from two files is refused, with the byte and the record where that shows;
//! reading needs the memory of one record, whatever the file says. Secrets are sealed in the rows as they are in the cluster:
//! the file is worth nothing for who has not the cluster key, which is not in it.
//! Absent: files and connections, and what rows mean.

mod damage;
mod reader;
mod record;
mod writer;

pub use damage::Damage;
pub use reader::{Reader, Summary};
pub use writer::Writer;

#[cfg(test)]
mod tests;
