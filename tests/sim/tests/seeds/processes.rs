//! Each seed in a process of its own: tokio and others count what they do in a process, and draw from the count.

use std::{
    collections::BTreeMap,
    env,
    ops::RangeInclusive,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use sluice_sim::Report;

/// Names the seed to run.
pub(crate) const SEED: &str = "SEED";
/// Set for a process that was started here.
pub(crate) const CHILD: &str = "SLUICE_SIM_CHILD";
/// Failures after which no more seeds are run.
const FAILURES_MAX: usize = 3;

/// What a process prints of its run.
pub(crate) fn line(report: &Report) -> String {
    let Report { seed, fingerprint, events, .. } = report;
    format!("ran SEED={seed}: {events} events, fingerprint {fingerprint:016x}")
}

/// Runs `seed` in a process; its line.
///
/// # Errors
/// What the process printed, when a rule was broken or it did not come to its end.
pub(crate) fn ran(seed: u64) -> Result<String, String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_seed_of_the_environment_holds", "--nocapture"]);
    command.env(SEED, seed.to_string()).env(CHILD, "1").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = printed.lines().find_map(|line| line.find("ran SEED=").map(|at| line[at..].to_owned()));
    match line {
        Some(line) if output.status.success() => Ok(line),
        _ => Err(format!("SEED={seed}: {}\n{printed}", output.status)),
    }
}

/// Runs all `seeds`, as many at once as there are cores.
pub(crate) fn hold(seeds: RangeInclusive<u64>) {
    let waiting = Mutex::new(seeds.clone());
    let failed = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(seed) = next else { return };
                    if failed.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    if let Err(printed) = ran(seed) {
                        failed.lock().unwrap().insert(seed, printed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    for printed in failed.values() {
        eprintln!("{printed}");
    }
    let seeds_failed: Vec<&u64> = failed.keys().collect();
    assert!(failed.is_empty(), "of seeds {seeds:?} these failed; each runs again with SEED=...: {seeds_failed:?}");
}
