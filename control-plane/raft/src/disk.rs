//! Free disk: the reserve below which changes are refused, and the ballast that lets a node with a full disk start.
//!
//! Promise: a change is refused while the leader, or so many voters that those with room are no majority, have less free disk
//! than the reserve: none is begun that the disks could not hold. The ballast is given back to the file system before it is
//! quite full, so that a node can still take a snapshot, drop its log, and be started. Absent: which commands pass
//! (`sluice-state`).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::posix_fallocate;
use tracing::{info, warn};

use crate::ProposeFailure;

/// The ballast is a quarter of the reserve, and no more than what opening two databases takes.
const BALLAST_BYTES_MAX: u64 = 64 << 20;

/// Who has too little free disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Raft's numbers of the nodes.
    pub nodes: Vec<u64>,
    /// What each should have, in bytes.
    pub reserve_bytes: u64,
}

impl From<Shortage> for ProposeFailure {
    fn from(Shortage { nodes, reserve_bytes }: Shortage) -> Self {
        Self::DiskFull { nodes, reserve_mib: reserve_bytes >> 20 }
    }
}

/// Whether changes are refused: `voters` with their free bytes, where those are known.
pub(crate) fn shortage(this: u64, voters: &[(u64, Option<u64>)], reserve_bytes: u64) -> Option<Shortage> {
    let is_short = |free: Option<u64>| free.is_some_and(|free| free < reserve_bytes);
    let nodes: Vec<u64> = voters.iter().filter(|(_, free)| is_short(*free)).map(|(id, _)| *id).collect();
    let with_room = voters.len() - nodes.len();
    let is_met = nodes.contains(&this) || with_room < voters.len() / 2 + 1;
    (is_met && !nodes.is_empty()).then_some(Shortage { nodes, reserve_bytes })
}

/// A file that holds disk for the time when there is no other.
#[derive(Debug, Clone)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
    reserve_bytes: u64,
}

impl Ballast {
    /// Of the node in `folder`.
    pub(crate) fn new(folder: &Path, reserve_bytes: u64) -> Self {
        let bytes = (reserve_bytes / 4).min(BALLAST_BYTES_MAX);
        Self { path: folder.join("ballast"), bytes, reserve_bytes }
    }

    /// Gives the ballast up when less than its own size is free, and takes it again when there is room for it beside the
    /// reserve. A file system that refuses either is asked again.
    pub(crate) fn adjust(&self, free: u64) {
        if self.bytes == 0 {
            return;
        }
        let is_there = self.path.exists();
        if is_there && free < self.bytes {
            match fs::remove_file(&self.path) {
                Ok(()) => warn!(free, bytes = self.bytes, "disk is full: the ballast is given up"),
                Err(error) => warn!(%error, path = %self.path.display(), "the ballast cannot be given up"),
            }
        } else if !is_there && free >= self.reserve_bytes.saturating_add(self.bytes) {
            match self.take() {
                Ok(()) => info!(bytes = self.bytes, "ballast taken"),
                Err(error) => {
                    let _ = fs::remove_file(&self.path);
                    warn!(%error, path = %self.path.display(), "no ballast could be taken");
                }
            }
        }
    }

    fn take(&self) -> io::Result<()> {
        let file = File::create(&self.path)?;
        posix_fallocate(&file, 0, i64::try_from(self.bytes).unwrap_or(i64::MAX))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(this: u64, voters: &[(u64, Option<u64>)]) -> Vec<u64> {
        shortage(this, voters, 100).map(|shortage| shortage.nodes).unwrap_or_default()
    }

    #[test]
    fn the_leader_or_a_majority_short_of_disk_refuses_and_a_minority_does_not() {
        assert!(nodes(1, &[(1, Some(100)), (2, Some(100)), (3, Some(100))]).is_empty());
        assert!(nodes(1, &[(1, Some(100)), (2, Some(99)), (3, None)]).is_empty(), "the others are a majority");
        assert_eq!(nodes(1, &[(1, Some(99)), (2, Some(100)), (3, Some(100))]), [1]);
        assert_eq!(nodes(1, &[(1, Some(100)), (2, Some(99)), (3, Some(0))]), [2, 3]);
        assert_eq!(nodes(1, &[(1, Some(0))]), [1]);
        assert!(shortage(1, &[(1, Some(0))], 0).is_none(), "without a reserve nothing is refused");
    }

    #[test]
    fn the_ballast_is_taken_given_up_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(folder.path(), 4 << 20);
        let size = || fs::metadata(folder.path().join("ballast")).map(|found| found.len()).ok();
        ballast.adjust(4 << 20);
        assert_eq!(size(), None, "there is no room beside the reserve");
        ballast.adjust(5 << 20);
        assert_eq!(size(), Some(1 << 20));
        ballast.adjust(1 << 20);
        assert_eq!(size(), Some(1 << 20), "not before it is needed");
        ballast.adjust((1 << 20) - 1);
        assert_eq!(size(), None);
        ballast.adjust(5 << 20);
        assert_eq!(size(), Some(1 << 20));
        Ballast::new(folder.path(), 0).adjust(0);
    }
}
