//! Runs of many seeds. `SEED=7 cargo test -p sluice-sim --test seeds -- --nocapture the_seed_of_the_environment` runs one
//! again and prints all that happens in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mutations;
mod processes;

use std::{env, path::Path, thread, time::Duration};

use sluice_sim::{Circumstances, Report, Telling, run};

use self::processes::{CHILD, SEED, hold, ran};

/// Seeds of the fast tier.
const FEW: u64 = 6;
/// Seeds of the slow tier, unless `SLUICE_SIM_SEEDS` says another count.
const MANY: u64 = 3_000;

/// A run that takes longer, in real time, hangs.
const HANGS_AFTER: Duration = Duration::from_secs(180);

/// One run in this process, on a thread of its own.
fn in_process(seed: u64, telling: Telling, adjust: impl FnOnce(&mut Circumstances) + Send + 'static) -> Report {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = home.path().to_owned();
    thread::spawn(move || run(seed, telling, adjust, &path, runtime)).join().unwrap().unwrap()
}

#[test]
fn the_seed_of_the_environment_holds() {
    let Ok(seed) = env::var(SEED) else { return };
    let is_child = env::var(CHILD).is_ok();
    if is_child {
        thread::spawn(|| {
            thread::sleep(HANGS_AFTER);
            eprintln!("the run does not come to its end");
            std::process::exit(3);
        });
    }
    let telling = if is_child { Telling::Quiet } else { Telling::Everything };
    let report = in_process(seed.parse().unwrap(), telling, |_| {});
    eprintln!("{}", processes::line(&report));
    if let Some(violation) = report.violation {
        for line in &violation.before {
            eprintln!("  {line}");
        }
        panic!("SEED={seed} breaks {} at {:?}: {}", violation.invariant, violation.at, violation.what);
    }
}

#[test]
fn one_seed_run_twice_gives_the_same_trace_and_another_seed_another_one() {
    let prints: Vec<String> = [3, 3, 4].into_iter().map(|seed| ran(seed).unwrap()).collect();
    assert_eq!(prints[0], prints[1]);
    assert_ne!(prints[0], prints[2]);
}

#[test]
fn a_few_seeds_hold() {
    hold(1..=FEW);
}

#[test]
#[ignore = "slow tier"]
fn thousands_of_seeds_hold() {
    let count = env::var("SLUICE_SIM_SEEDS").map_or(MANY, |count| count.parse().unwrap());
    let from = env::var("SLUICE_SIM_FROM").map_or(1_000, |from| from.parse().unwrap());
    hold(from..=from + count - 1);
}
