//! A data node beside those that `sluice dev` starts.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use crate::process::{Build, Process};

/// A data node of one traffic core on free ports of loopback.
#[derive(Debug)]
pub struct DataNode {
    /// The process; of the starter, when there is one that stays (valgrind does, taskset does not).
    pub process: Process,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Its operations port.
    pub operations: SocketAddr,
}

impl DataNode {
    /// Starts it on `data_dir`, by another program when `starter` names one (`["taskset", "-c", "0"]`).
    ///
    /// # Panics
    /// When it cannot be started, or loopback has no free port.
    #[must_use]
    pub fn start(starter: &[&str], data_dir: &Path, control: &str) -> Self {
        Self::with(starter, data_dir, control, &["--drain-delay", "0s"])
    }

    /// The same with more flags; those may say another number of cores.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn with(starter: &[&str], data_dir: &Path, control: &str, flags: &[&str]) -> Self {
        Self::of(Build::This, starter, data_dir, control, flags)
    }

    /// The same of another build.
    ///
    /// # Panics
    /// As `start`.
    #[must_use]
    pub fn of(build: Build, starter: &[&str], data_dir: &Path, control: &str, flags: &[&str]) -> Self {
        let (address, operations) = (free_address(), free_address());
        let mut command = match starter.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(build.program("sluice-data"));
                command
            }
            None => Command::new(build.program("sluice-data")),
        };
        command.args(["--follow", control]).args(flags);
        if !flags.contains(&"--cores") {
            command.args(["--cores", "1"]);
        }
        command.args(["--listen-http", &address.to_string(), "--listen-operations", &operations.to_string()]);
        command.arg("--data-dir").arg(data_dir);
        let log = data_dir.with_extension("log");
        let process = Process::start("sluice-data", &mut command, Some(log));
        Self { process, address, operations }
    }
}

/// An address of loopback whose port was free a moment ago.
///
/// # Panics
/// When loopback has no free port.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}
