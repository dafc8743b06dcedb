//! Every target on its seeds and on mutations of them: bounded, on any toolchain. `PROPTEST_CASES` asks for more.
//!
//! The slow tier gives each target ten minutes, or as many seconds as `FUZZ_SECONDS` says. Mutations are drawn without regard
//! to what they reach: `cargo fuzz`, which sees that, needs a nightly toolchain.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sluice_fuzz::{TARGETS, Target};

/// Mutated inputs of one target.
const CASES: u32 = 1_000;
/// What the slow tier gives a target.
const SLOW: Duration = Duration::from_secs(600);
/// Changes of one input.
const EDITS_MAX: usize = 8;

/// One change of an input; places are taken of its length then.
#[derive(Clone, Debug)]
enum Edit {
    Flip {
        at: prop::sample::Index,
        bit: u8,
    },
    Insert {
        at: prop::sample::Index,
        bytes: Vec<u8>,
    },
    Remove {
        at: prop::sample::Index,
        bytes: usize,
    },
    Repeat {
        at: prop::sample::Index,
        bytes: usize,
        times: usize,
    },
    /// The rest becomes that of another seed.
    Splice {
        at: prop::sample::Index,
        other: prop::sample::Index,
        from: prop::sample::Index,
    },
}

fn edit(words: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    let word = if words.is_empty() { Just("").boxed() } else { prop::sample::select(words).boxed() };
    prop_oneof![
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip { at, bit }),
        4 => (at(), word).prop_map(|(at, word)| Edit::Insert { at, bytes: word.as_bytes().to_vec() }),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Edit::Insert { at, bytes }),
        2 => (at(), 1..40_usize).prop_map(|(at, bytes)| Edit::Remove { at, bytes }),
        1 => (at(), 1..30_usize, 1..20_usize).prop_map(|(at, bytes, times)| Edit::Repeat { at, bytes, times }),
        1 => (at(), at(), at()).prop_map(|(at, other, from)| Edit::Splice { at, other, from }),
    ]
}

impl Edit {
    fn carry_out(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        // One more than there are: also behind the last.
        let place = |at: &prop::sample::Index, length: usize| at.index(length + 1);
        let length = input.len();
        match self {
            Self::Flip { at, bit } => input.get_mut(place(at, length)).into_iter().for_each(|byte| *byte ^= 1 << bit),
            Self::Insert { at, bytes } => {
                let at = place(at, length);
                drop(input.splice(at..at, bytes.iter().copied()));
            }
            Self::Remove { at, bytes } => {
                let at = place(at, length);
                drop(input.drain(at..length.min(at + bytes)));
            }
            Self::Repeat { at, bytes, times } => {
                let at = place(at, length);
                let piece = input[at..length.min(at + bytes)].repeat(*times);
                drop(input.splice(at..at, piece));
            }
            Self::Splice { at, other, from } => {
                let other = &seeds[other.index(seeds.len())];
                input.truncate(place(at, length));
                input.extend_from_slice(&other[place(from, other.len())..]);
            }
        }
    }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds")).join(target.name);
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let mut seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    seeds.extend((target.seeds)());
    assert!(!seeds.is_empty(), "{} has seeds", target.name);
    seeds
}

fn mutated(name: &str) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(&target);
    seeds.iter().chain(&[Vec::new()]).for_each(|seed| (target.run)(seed));
    mutations(&target, &seeds, variable("PROPTEST_CASES").unwrap_or(CASES));
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs a target on so many mutations of its seeds, drawn anew each time.
fn mutations(target: &Target, seeds: &[Vec<u8>], cases: u32) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let edits = prop::collection::vec(edit(target.words), 1..EDITS_MAX);
    let outcome = runner.run(&(any::<prop::sample::Index>(), edits), |(seed, edits)| {
        let mut input = seeds[seed.index(seeds.len())].clone();
        edits.iter().for_each(|edit| edit.carry_out(&mut input, seeds));
        (target.run)(&input);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{}: {failure}", target.name);
    }
}

#[test]
#[ignore = "slow tier"]
fn every_target_stands_ten_minutes_of_mutations() {
    let time = variable("FUZZ_SECONDS").map_or(SLOW, Duration::from_secs);
    let waiting = Mutex::new(TARGETS.to_vec());
    let work = || {
        while let Some(target) = { waiting.lock().unwrap().pop() } {
            let (seeds, end) = (seeds(&target), Instant::now() + time);
            let mut inputs = 0_u64;
            while Instant::now() < end {
                mutations(&target, &seeds, CASES);
                inputs += u64::from(CASES);
            }
            eprintln!("{}: {inputs} inputs in {time:?}", target.name);
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        assert!(workers.into_iter().all(|worker| worker.join().is_ok()), "a target failed: see above");
    });
}

#[test]
fn any_commands_are_applied_or_refused() {
    mutated("commands");
}

#[test]
fn any_documents_are_checked_and_compiled() {
    mutated("documents");
}

#[test]
fn any_api_description_is_read_or_refused() {
    mutated("openapi");
}

#[test]
fn any_file_of_keys_is_read_row_by_row_or_refused() {
    mutated("keys");
}

#[test]
fn any_patch_is_carried_out_whole_or_refused() {
    mutated("patches");
}

#[test]
fn any_settings_are_texts_or_refused() {
    mutated("settings");
}

#[test]
fn any_join_token_is_read_as_it_was_written_or_refused() {
    mutated("tokens");
}

#[test]
fn any_response_is_read_the_same_however_it_is_cut() {
    mutated("response");
}

#[test]
fn any_rows_compile_to_a_snapshot() {
    mutated("rows");
}

#[test]
fn any_stream_leads_to_one_whole_revision() {
    mutated("stream");
}
