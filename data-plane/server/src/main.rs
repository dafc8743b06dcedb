//! `sluice-data`: one data node as a process.

use std::process::ExitCode;

use anyhow::Context as _;
use sluice_data::{DataNode, Settings, StartFailure};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

// 800 instructions a request less than glibc's, for some memory per idle connection.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for all that is not traffic: following, compiling, operations.
const BACKGROUND_THREADS: usize = 2;

fn main() -> ExitCode {
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(failure) => return failure.report(),
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", sluice_settings::whole(failure.as_ref()));
            let status = failure.downcast_ref::<StartFailure>().map_or(1, StartFailure::exit_status);
            ExitCode::from(status)
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    sluice_telemetry::init_tracing(settings.log_format.into(), &settings.log)?;
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(BACKGROUND_THREADS)
        .thread_name("sluice-background")
        .on_thread_park(sluice_trim::when_asked)
        .enable_all()
        .build()
        .context("cannot start the background runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    info!(?settings, version = env!("CARGO_PKG_VERSION"), "settings");
    let mut node = tokio::select! {
        node = DataNode::start(settings) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let removed = node.removed();
    let mut ended = Ok(());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        failure = removed => {
            error!("this node was removed from its cluster: it finishes its requests, stops, and does not start again");
            ended = Err(failure.into());
        }
        () = node.failed() => {
            error!("a traffic core ended by itself, which is a defect");
            anyhow::bail!("a traffic core ended by itself; see the log before this line");
        }
    }
    tokio::select! {
        () = node.shutdown() => ended,
        _ = terminate.recv() => anyhow::bail!("stopped before requests in flight were finished, by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped before requests in flight were finished, by a second signal"),
    }
}

/// Lets this process open as many sockets as the system allows it; shells often start with 1,024.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(errno) = raised {
        error!(%errno, "the limit of open sockets could not be raised");
    }
}
