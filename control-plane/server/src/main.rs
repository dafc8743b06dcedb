//! The program `sluice-control`: one control-plane node.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use sluice_control::{ControlNode, Settings, StartFailure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

fn main() -> ExitCode {
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(failure) => return failure.report(),
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // It may go to the disk that is full: `eprintln!` would panic, and with another status.
            let _ = writeln!(std::io::stderr(), "error: {}", sluice_settings::whole(failure.as_ref()));
            let status = failure.downcast_ref::<StartFailure>().map_or(1, StartFailure::exit_status);
            ExitCode::from(status)
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    sluice_telemetry::init_tracing(settings.log_format.into(), &settings.log)?;
    // Settings name the files of secrets, never hold one: there is nothing to redact.
    info!(?settings, "starting");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let starting = ControlNode::start(settings);
    // Cancel safe: a start that is dropped leaves a folder that the next start goes on with.
    let mut node = tokio::select! {
        started = starting => started?,
        name = signals.next() => {
            info!(signal = name, "stopped while starting");
            return Ok(());
        }
    };
    info!(
        admin = %node.admin_url(), http = %node.http_url(), peer = %node.peer_address(), "the node is up"
    );
    // Cancel safe: both only wait.
    let ended = tokio::select! {
        ended = node.failed() => Err(ended),
        name = signals.next() => {
            info!(signal = name, "stopping");
            Ok(())
        }
    };
    tokio::select! {
        () = node.shutdown() => {}
        name = signals.next() => warn!(signal = name, "told twice: stopping at once"),
    }
    Ok(ended?)
}

/// The signals that stop a node.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
