//! Power cuts: what a process wrote and did not sync is gone when it was killed.
//!
//! `unsynced.c` is compiled by the test and preloaded into the process: it notes how much of each file was synced. After
//! the process was killed, [`Disk::lose`] cuts every file in the node's folder off there.
//!
//! Promise: no byte that was appended without a sync survives; a file that was never synced is empty. Absent: names
//! (a file that was made or renamed stays, as if its folder had been synced), and content that was written over, which
//! neither RocksDB nor this program does. Needs a C compiler, which building RocksDB needs too.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// As in `unsynced.c`.
const SLOTS: usize = 65_536;
const SLOT_BYTES: usize = 16;

/// A compiled `unsynced.c`.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
    folder: PathBuf,
}

/// What is on the disk of one node for sure.
#[derive(Clone, Debug)]
pub struct Disk {
    library: PathBuf,
    table: PathBuf,
    /// Syncs of files whose path fits this pattern do nothing.
    ignored: Option<String>,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Files that are shorter now.
    pub files: u64,
    /// By so many bytes together.
    pub bytes: u64,
}

impl Shim {
    /// Compiles it into `folder`, or says why this machine cannot.
    ///
    /// # Errors
    /// Without a C compiler.
    pub fn compiled(folder: &Path) -> Result<Self, String> {
        let (source, library) = (folder.join("unsynced.c"), folder.join("unsynced.so"));
        fs::write(&source, include_str!("unsynced.c")).map_err(|error| error.to_string())?;
        let mut command = Command::new("cc");
        command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).args(["-ldl", "-pthread"]);
        let output = command.output().map_err(|error| format!("cc (Debian's gcc): {error}"))?;
        if output.status.success() {
            Ok(Self { library, folder: folder.to_owned() })
        } else {
            Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// The disk of the node with this name.
    #[must_use]
    pub fn disk(&self, name: &str) -> Disk {
        let table = self.folder.join(format!("{name}.synced"));
        Disk { library: self.library.clone(), table, ignored: None }
    }
}

impl Disk {
    /// From the next start on, syncs of files whose path fits `pattern` (as a shell's) do nothing and say that all is well.
    pub fn ignore_syncs_of(&mut self, pattern: &str) {
        self.ignored = Some(pattern.to_owned());
    }

    /// Makes a command one of a program on this disk.
    pub fn hold(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("UNSYNCED_TABLE", &self.table);
        if let Some(pattern) = &self.ignored {
            command.env("UNSYNCED_IGNORE", pattern);
        }
    }

    /// Takes what was not synced from every file in the folder of a process that was killed.
    ///
    /// # Errors
    /// When the folder cannot be read or changed.
    pub fn lose(&self, folder: &Path) -> io::Result<Lost> {
        let synced = self.synced()?;
        let mut lost = Lost::default();
        let mut left = BTreeMap::new();
        for path in files(folder)? {
            let found = fs::symlink_metadata(&path)?;
            let kept = found.len().min(synced.get(&found.ino()).copied().unwrap_or(0));
            // A file that has several names is cut once.
            if left.insert(found.ino(), kept).is_none() && kept < found.len() {
                File::options().write(true).open(&path)?.set_len(kept)?;
                lost.files += 1;
                lost.bytes += found.len() - kept;
            }
        }
        self.write(&left)?;
        Ok(lost)
    }

    fn synced(&self) -> io::Result<BTreeMap<u64, u64>> {
        let bytes = fs::read(&self.table)?;
        let word = |at: &[u8]| u64::from_le_bytes(at.try_into().unwrap_or_default());
        let slots = bytes.chunks_exact(SLOT_BYTES).map(|slot| (word(&slot[..8]), word(&slot[8..])));
        Ok(slots.filter(|(inode, _)| *inode != 0).collect())
    }

    /// What is left is on disk, all of it.
    fn write(&self, left: &BTreeMap<u64, u64>) -> io::Result<()> {
        let mut slots = vec![(0, 0); SLOTS];
        for (inode, length) in left {
            let first = usize::try_from(inode % SLOTS as u64).unwrap_or_default();
            let free = (0..SLOTS).map(|step| (first + step) % SLOTS).find(|at| slots[*at].0 == 0);
            let free = free.ok_or_else(|| io::Error::other("the table of synced files is full"))?;
            slots[free] = (*inode, *length);
        }
        let mut file = File::create(&self.table)?;
        for (inode, length) in slots {
            file.write_all(&[inode.to_le_bytes(), length.to_le_bytes()].concat())?;
        }
        Ok(())
    }
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_was_not_synced_is_lost_and_what_was_stays() {
        let folder = TempDir::new().unwrap();
        let Ok(shim) = Shim::compiled(folder.path()) else { return };
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let mut disk = shim.disk("one");
        let write = |disk: &Disk, script: &str| {
            let mut command = Command::new("sh");
            disk.hold(command.args(["-c", script]).current_dir(&data));
            assert!(command.status().unwrap().success());
        };
        let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
        write(&disk, "printf 12345 > kept; sync kept; printf 678 >> kept; printf 12345 > lost; ln lost other");
        assert_eq!(disk.lose(&data).unwrap(), Lost { files: 2, bytes: 8 });
        assert_eq!((read("kept"), read("lost"), read("other")), ("12345".into(), String::new(), String::new()));

        disk.ignore_syncs_of("*/kept");
        write(&disk, "printf 67 >> kept; sync kept; printf 1 > lost; sync lost");
        assert_eq!(disk.lose(&data).unwrap(), Lost { files: 1, bytes: 2 });
        assert_eq!((read("kept"), read("lost")), ("12345".into(), "1".into()));
    }
}
