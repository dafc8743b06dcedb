//! A node as a child process.

use std::{ffi::OsString, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::failure::Failure;

/// How long a child may take to stop before it is killed: longer than its drain and the handover of leadership.
const STOP: Duration = Duration::from_secs(15);

/// A child that is killed when this is dropped.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`, which stands beside this one.
    ///
    /// # Errors
    /// When it is not there or cannot be run.
    pub(super) fn start(program: &str, arguments: &[OsString]) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(|failure| Failure::failed(format!("own path: {failure}")))?;
        let path = own.with_file_name(program);
        let mut command = Command::new(&path);
        command
            .args(arguments)
            .stdin(Stdio::null())
            // stdout is for the line that says `ready`.
            .stdout(Stdio::from(std::io::stderr()))
            // A group of its own: Ctrl-C reaches this process alone, which stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            // The settings of whoever runs this are not those of its nodes.
            if name.to_string_lossy().starts_with("SLUICE_") {
                command.env_remove(name);
            }
        }
        let child = command.spawn().map_err(|failure| {
            let hint = "it is built beside `sluice`; without it leave --processes out";
            Failure::failed(format!("cannot start {}: {failure}; {hint}", path.display()))
        })?;
        Ok(Self { child })
    }

    /// The child's id, while it has not ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended. Cancel-safe.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(failure) => failure.to_string(),
        }
    }

    /// Asks it to stop, and kills it when it does not.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        // Without an id it has ended already; a signal that finds no process tells the same.
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(STOP, self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
    }
}
