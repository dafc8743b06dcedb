//! Child processes: the programs under test, found beside the test binary.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a stopping process may take before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The path of a program of this build.
///
/// # Panics
/// When it was not built: `cargo build --workspace --bins` comes first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.ancestors().find(|folder| folder.join(name).is_file());
    let folder = profile.unwrap_or_else(|| panic!("{name} is not built; run `cargo build --workspace --bins` first"));
    folder.join(name)
}

/// Which build of the programs is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// This one.
    #[default]
    This,
    /// The one that stands for the release after it (the feature `next-level`), in the folder `SLUICE_NEXT`.
    Next,
}

impl Build {
    /// Whether the programs of this build are there, or what is missing.
    ///
    /// # Errors
    /// Without them.
    pub fn found(self) -> Result<(), String> {
        match self {
            Self::This => Ok(()),
            Self::Next => match std::env::var_os("SLUICE_NEXT") {
                Some(folder) if PathBuf::from(&folder).join("sluice-control").is_file() => Ok(()),
                _ => Err("SLUICE_NEXT names no folder with the programs of the next release".to_owned()),
            },
        }
    }

    /// The path of one of its programs.
    ///
    /// # Panics
    /// When it was not built.
    #[must_use]
    pub fn program(self, name: &str) -> PathBuf {
        match self {
            Self::This => program(name),
            Self::Next => {
                let folder = std::env::var_os("SLUICE_NEXT").expect("a test of the next release looks for it first");
                PathBuf::from(folder).join(name)
            }
        }
    }
}

/// A process that is stopped when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command with its output in `log`, or inherited.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, log: Option<PathBuf>) -> Self {
        if let Some(path) = log {
            let file =
                File::options().create(true).append(true).open(&path).expect("the log folder of a test is writable");
            let copy = file.try_clone().expect("an open file can be cloned");
            command.stdout(file).stderr(copy);
        }
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name} starts: {error}"));
        Self { child, name: name.to_owned() }
    }

    /// Takes over a child that was spawned elsewhere.
    #[must_use]
    pub fn adopt(name: &str, child: Child) -> Self {
        Self { child, name: name.to_owned() }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to stop and waits; returns its exit code.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(&mut self) -> Option<i32> {
        signal(self.pid(), Signal::SIGTERM);
        let give_up = Instant::now() + STOP_PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            if Instant::now() > give_up {
                self.kill();
                panic!("{} did not stop within {STOP_PATIENCE:?} of SIGTERM", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes it hang, or go on: its connections stay.
    pub fn pause(&self, pause: Pause) {
        signal(self.pid(), if pause == Pause::Begin { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Waits for its end; returns its exit code.
    #[must_use]
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// What `Process::pause` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// From now on.
    Begin,
    /// No longer.
    End,
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            // One that hangs could not be told to stop.
            self.pause(Pause::End);
            signal(self.pid(), Signal::SIGTERM);
            let give_up = Instant::now() + STOP_PATIENCE;
            while self.runs() && Instant::now() < give_up {
                std::thread::sleep(Duration::from_millis(10));
            }
            self.kill();
        }
    }
}

/// Sends a signal to a process that a test knows to be its own.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _gone_already = kill(Pid::from_raw(pid), signal);
    }
}

/// Notes that a test could not run, so that the runner prints it and the slow tier fails.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("SLUICE_SKIPS") {
        use std::io::Write as _;
        if let Ok(mut file) = File::options().create(true).append(true).open(path) {
            drop(file.write_all(line.as_bytes()));
        }
    }
}
