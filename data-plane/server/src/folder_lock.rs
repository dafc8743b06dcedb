//! One data node to a folder.
//!
//! Promise: of two processes that are given one `--data-dir`, the second does not start: they would be one node to the
//! cluster, and write one last-good copy. The system lets go of the lock when the process ends, however it ends.
//! Absent: control nodes; RocksDB locks theirs.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file that is locked; it stays, empty.
const LOCK_FILE: &str = "lock";
const FILE_MODE: u32 = 0o600;
/// Keys of the node will be in it.
const FOLDER_MODE: u32 = 0o700;

/// Why a node may not use its folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderFailure {
    /// Another process uses it.
    #[error(
        "a data node that runs uses {} already; stop it, or give this one a folder of its own (--data-dir)",
        .folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be made or locked.
    #[error("cannot lock the folder {}: {source}", .folder.display())]
    File {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A folder that is this node's until the value is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder, if it is missing, and takes it.
    pub(crate) fn take(folder: &Path) -> Result<Self, FolderFailure> {
        let failed = |source| FolderFailure::File { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(folder.join(LOCK_FILE)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderFailure::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_one_nodes_until_that_lets_go() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("not/there/yet");
        let held = FolderLock::take(&folder).unwrap();
        let refused = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(refused.contains(&folder.display().to_string()) && refused.contains("--data-dir"), "{refused}");
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FOLDER_MODE, "a folder that is made is its owner's");
        drop(held);
        FolderLock::take(&folder).unwrap();
    }
}
