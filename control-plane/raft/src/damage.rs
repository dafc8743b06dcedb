//! Files that are not as they were written: found when a store is opened, named, and never read past.
//!
//! Promise: RocksDB checks every block that it reads; a small store is read whole before it is used, so that damage shows at
//! the start and not in the midst of a change. A read that fails later stops the process. Absent: mending (`states` rebuilds
//! a state, whose log says all of it; a log has no second copy on its node).

use std::path::Path;

use rocksdb::{DB, Error, ErrorKind, IteratorMode, ReadOptions};

use crate::RaftFailure;

/// Bytes of files up to which a store is read whole when it is opened: about a second.
const READ_WHOLE_BYTES: u64 = 1 << 30;

/// What a failure of RocksDB's means for the store in `folder`.
pub(crate) fn failure_of(folder: &Path, error: &Error) -> RaftFailure {
    let (path, problem) = (folder.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::Corruption => RaftFailure::Damaged { path, problem },
        _ => RaftFailure::Storage { path, problem },
    }
}

/// Reads all that is in `db`, unless it is large.
///
/// # Errors
/// `Damaged` with the file that is.
pub(crate) fn read_whole(db: &DB, folder: &Path) -> Result<(), RaftFailure> {
    let failure = |error: Error| failure_of(folder, &error);
    let bytes: u64 = db.live_files().map_err(failure)?.iter().map(|file| file.size as u64).sum();
    if bytes > READ_WHOLE_BYTES {
        return Ok(());
    }
    let mut options = ReadOptions::default();
    // What is read once does not push out what is read often.
    options.fill_cache(false);
    db.iterator_opt(IteratorMode::Start, options).try_for_each(|row| row.map(drop)).map_err(failure)
}
