//! The mark of a member: a file beside `raft/` that says whose promises the log there holds.
//!
//! A node that has lost its log has forgotten its votes and what it acknowledged. Going on as the member that it was, it
//! could vote twice in a term or complete a majority without an entry that was acknowledged. So it must not start, and
//! the log itself cannot say that it is gone.
//!
//! Promise: the mark is on disk before the first vote or append is acknowledged, and after that vote or append itself: a
//! mark without a log is a log that was lost, whenever the node was cut off. Absent: an older copy of the whole folder
//! that was put back; nothing in it tells (`Acknowledged` keeps such a follower from harming a leader).

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::RaftFailure;

const FILE: &str = "member";

/// The mark of one node's folder.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    folder: PathBuf,
    raft_id: u64,
    cluster_id: String,
}

impl Mark {
    /// Of the node in `folder`, the one that holds `raft/`.
    pub(crate) fn new(folder: &Path, raft_id: u64, cluster_id: &str) -> Self {
        Self { folder: folder.to_owned(), raft_id, cluster_id: cluster_id.to_owned() }
    }

    pub(crate) fn raft_id(&self) -> u64 {
        self.raft_id
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn text(&self) -> String {
        format!("raft node {} of cluster {}\n", self.raft_id, self.cluster_id)
    }

    /// Whether the mark is there.
    ///
    /// # Errors
    /// `OtherMember` when it is another node's, `Storage` when it cannot be read.
    pub(crate) fn found(&self) -> Result<bool, RaftFailure> {
        match fs::read_to_string(self.path()) {
            Ok(text) if text == self.text() => Ok(true),
            Ok(text) => Err(RaftFailure::OtherMember {
                expected: self.text().trim_end().to_owned(),
                found: text.trim_end().to_owned(),
                path: self.path(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(RaftFailure::Storage { path: self.path(), problem: error.to_string() }),
        }
    }

    /// What a node whose mark is there but whose log is not is told.
    pub(crate) fn lost(&self) -> RaftFailure {
        let (raft_id, folder) = (self.raft_id, self.folder.clone());
        RaftFailure::LostLog { raft_id, folder }
    }

    /// Makes the mark: whole and on disk when this returns.
    pub(crate) fn make(&self) -> io::Result<()> {
        let begun = self.folder.join(format!("{FILE}.new"));
        let mut file = File::create(&begun)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&begun, self.path())?;
        File::open(&self.folder)?.sync_all()
    }
}
