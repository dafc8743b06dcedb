//! What is wrong with a backup, and where.

use std::io;

/// A backup that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The file does not begin as a backup does.
    #[error("expected a backup made by `sluice cluster backup`, found another file")]
    NotABackup,
    /// The file is of a later format.
    #[error("expected a backup of format {expected}, found format {found}; use a release that knows it")]
    Format {
        /// What this release reads.
        expected: u8,
        /// What the file says.
        found: u8,
    },
    /// The file is not as it was written.
    #[error("the backup is damaged at byte {offset}, in record {record}: {problem}; use another copy of it")]
    Broken {
        /// Where the record begins, in bytes from the start of the file.
        offset: u64,
        /// Number of the record; 0 is the header.
        record: u64,
        /// What was expected, and what was found.
        problem: String,
    },
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}
