//! Disks of a test: file systems in memory, of a size, in a mount namespace that only the processes started in it see.
//!
//! Promise: nothing is mounted for anyone else, and all is gone when the value is dropped. Needs root, `unshare` and `nsenter`
//! (util-linux).

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::process::Process;

/// How long a mount may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A disk mounted on a folder.
#[derive(Debug)]
pub struct Volume {
    /// Keeps the namespace: what is on the disk outlives the processes that used it.
    holder: Process,
    folder: PathBuf,
}

impl Volume {
    /// Mounts a disk of `bytes` on `folder`, or says why this machine cannot.
    ///
    /// # Errors
    /// Without root, without `unshare`, or where mounting is forbidden.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("mounting a disk needs root".to_owned());
        }
        std::fs::create_dir_all(folder).expect("the folder of a test is writable");
        let script = format!(
            "mount -t tmpfs -o size={bytes},mode=700 tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep infinity"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(folder).stderr(Stdio::null());
        let mut holder = Process::start("the holder of a mount namespace", &mut command, None);
        let give_up = Instant::now() + PATIENCE;
        let volume = |holder| Self { holder, folder: folder.to_owned() };
        loop {
            let mark = seen_by(holder.pid(), folder).join("mounted");
            if std::fs::remove_file(mark).is_ok() {
                return Ok(volume(holder));
            }
            if !holder.runs() || Instant::now() > give_up {
                return Err("a file system in memory cannot be mounted in a namespace".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process in whose namespace the disk is.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.holder.pid()
    }

    /// A file on the disk, as this process reaches it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        seen_by(self.holder.pid(), &self.folder).join(name)
    }

    /// Free bytes of the disk.
    ///
    /// # Panics
    /// When it has gone.
    #[must_use]
    pub fn free(&self) -> u64 {
        let found = nix::sys::statvfs::statvfs(&self.path("")).expect("the disk is mounted");
        found.blocks_available() * found.fragment_size()
    }

    /// Fills the disk until `left` bytes are free.
    ///
    /// # Panics
    /// When it cannot be filled.
    pub fn fill(&self, name: &str, left: u64) {
        let bytes = self.free().saturating_sub(left);
        let file = std::fs::File::create(self.path(name)).expect("the disk takes a file");
        if let Err(error) =
            nix::fcntl::posix_fallocate(&file, 0, i64::try_from(bytes).expect("a disk of a test is small"))
        {
            // A node may have taken some of it meanwhile: then it is full all the same.
            assert_eq!(error, nix::errno::Errno::ENOSPC, "the disk is filled");
        }
    }

    /// Removes what filled it.
    ///
    /// # Panics
    /// When it is not there.
    pub fn clear(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("what fills the disk can be removed");
    }
}

fn seen_by(pid: u32, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
}
