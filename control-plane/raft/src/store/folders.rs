//! Where log, state and snapshots lie.
//!
//! ```text
//! raft/log/                 the log
//! raft/state/CURRENT        one line: the name of the state in use
//! raft/state/state-{n}/     the state
//! raft/snapshots/{log id}/  a checkpoint of the state
//! ```
//! Promise: a name is in place only when what it names is whole and synced; what a crash left half done is removed at
//! the next start. Absent: RocksDB.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{FailPoints, RaftFailure, fail::Point};

const CURRENT: &str = "CURRENT";
const STATE_PREFIX: &str = "state-";

/// A folder that can be given up: it is removed when the last holder lets go.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    retired: AtomicBool,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, retired: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It goes with its last holder.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// It stays after all.
    pub(crate) fn keep(&self) {
        self.retired.store(false, Ordering::Release);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            // What stays is removed at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folders of one node's Raft.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    next_state: AtomicU64,
    fail_points: FailPoints,
}

impl Folders {
    /// Makes what is missing under `data_dir`.
    pub(crate) fn open(data_dir: &Path, fail_points: FailPoints) -> Result<Self, RaftFailure> {
        let root = data_dir.join("raft");
        let folders = Self { root, next_state: AtomicU64::new(1), fail_points };
        folders.make().map_err(|error| folders.failure(&error))?;
        Ok(folders)
    }

    fn make(&self) -> io::Result<()> {
        for folder in [self.log(), self.states(), self.snapshots()] {
            fs::create_dir_all(folder)?;
        }
        let highest = names(&self.states())?.iter().filter_map(|name| state_number(name)).max();
        self.next_state.store(highest.map_or(1, |number| number + 1), Ordering::Relaxed);
        sync(&self.root)?;
        // The name of the root itself.
        self.root.parent().map_or(Ok(()), sync)
    }

    /// A step of this node's disk has come here.
    pub(crate) fn hit(&self, point: Point) {
        self.fail_points.hit(point);
    }

    pub(crate) fn failure(&self, problem: &dyn std::fmt::Display) -> RaftFailure {
        RaftFailure::Storage { path: self.root.clone(), problem: problem.to_string() }
    }

    /// The folder of all of them.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn states(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// A folder for a state that does not exist yet.
    pub(crate) fn new_state(&self) -> Folder {
        let number = self.next_state.fetch_add(1, Ordering::Relaxed);
        Folder::new(self.states().join(format!("{STATE_PREFIX}{number}")))
    }

    /// The state in use; none before the first start.
    pub(crate) fn current_state(&self) -> io::Result<Option<Folder>> {
        let text = match fs::read_to_string(self.states().join(CURRENT)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = text.trim_end();
        if state_number(name).is_none() || !self.states().join(name).is_dir() {
            let problem = format!("expected CURRENT to name a state folder, found {name:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Some(Folder::new(self.states().join(name))))
    }

    /// Makes the state at `path` the one in use: by renaming a one-line file, so wholly or not at all.
    pub(crate) fn switch_to(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let next = self.states().join("CURRENT.next");
        let mut file = File::create(&next)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        self.hit(Point::SnapshotBeforeSwitch);
        fs::rename(&next, self.states().join(CURRENT))?;
        sync(&self.states())
    }

    /// Removes states other than `current` and snapshots other than `snapshots`.
    pub(crate) fn remove_strays(&self, current: &Path, snapshots: &[&Path]) -> io::Result<()> {
        for (folder, keep) in [(self.states(), &[current][..]), (self.snapshots(), snapshots)] {
            for name in names(&folder)? {
                let path = folder.join(&name);
                if path.is_dir() && !keep.contains(&path.as_path()) {
                    fs::remove_dir_all(path)?;
                }
            }
        }
        Ok(())
    }
}

fn state_number(name: &str) -> Option<u64> {
    name.strip_prefix(STATE_PREFIX)?.parse().ok()
}

/// Names in `folder` that are text, sorted.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Syncs a folder: its names.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Syncs every file in a folder, then the folder.
pub(crate) fn sync_files(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        let path = folder.join(name);
        if path.is_file() {
            File::open(path)?.sync_all()?;
        }
    }
    sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_names_the_new_state_and_strays_go() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::open(home.path(), FailPoints::default()).unwrap();
        assert!(folders.current_state().unwrap().is_none());
        let (first, second) = (folders.new_state(), folders.new_state());
        for state in [&first, &second] {
            fs::create_dir(state.path()).unwrap();
            folders.switch_to(state.path()).unwrap();
        }
        let folders = Folders::open(home.path(), FailPoints::default()).unwrap();
        let current = folders.current_state().unwrap().unwrap();
        assert_eq!(current.path(), second.path());
        assert_ne!(folders.new_state().path(), second.path());
        folders.remove_strays(current.path(), &[]).unwrap();
        assert!(!first.path().exists() && second.path().exists());
    }

    #[test]
    fn a_name_that_is_no_state_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::open(home.path(), FailPoints::default()).unwrap();
        for text in ["../log\n", "state-7\n", "\n"] {
            fs::write(home.path().join("raft/state/CURRENT"), text).unwrap();
            assert!(folders.current_state().is_err(), "{text}");
        }
    }

    #[test]
    fn a_retired_folder_is_removed_with_its_last_holder() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("gone");
        fs::create_dir(&path).unwrap();
        drop(Folder::new(path.clone()));
        assert!(path.exists());
        let folder = Folder::new(path.clone());
        folder.retire();
        drop(folder);
        assert!(!path.exists());
    }
}
