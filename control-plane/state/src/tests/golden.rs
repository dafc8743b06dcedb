//! What the commands of level 1 do, frozen: a log that was kept, and the state after each of its commands.
//!
//! A cluster applies its log again after a restart, and node by node during an upgrade: a command that does something else
//! in a later release makes nodes disagree. A difference here is mended by giving the new effect a command, or a field, of
//! its own behind a level; the file changes by growing only, with
//! `cargo test -p sluice-state -- --ignored --nocapture print_the_log | grep ' | ' > control-plane/state/tests/data/level_1.log`.

use prost::Message;
use sluice_model::{Digest, limits};
use sluice_proto::raft::{Command, Outcome, outcome, rejected::Code};

use super::{golden_log, golden_log_of_access};
use crate::{
    Draft, MemoryTables,
    apply::{Bounds, apply_within},
};

/// Per line: the number and a hash of outcome and rows, under the bounds of the product and then under small ones; and the
/// command. All but the numbers are in hex.
const KEPT: &str = include_str!("../../tests/data/level_1.log");
/// The same of operators, the audit trail and owners of files; `print_the_log_of_access` prints it.
const KEPT_OF_ACCESS: &str = include_str!("../../tests/data/level_1_access.log");

/// Bounds that a short log meets.
const SMALL: Bounds = Bounds {
    changes_max: 24,
    change_key_bytes_max: 700,
    requests_max: 4,
    part_bytes_max: 500,
    audit_rows_max: 3,
    refused_rows_max: 2,
    removed_nodes_max: 10_000,
};

/// What one command came to.
struct Step {
    outcome: Outcome,
    number: u64,
    hash: String,
}

#[test]
fn the_commands_of_level_1_do_what_they_have_always_done() {
    for log in [KEPT, KEPT_OF_ACCESS] {
        let commands: Vec<Vec<u8>> = log.lines().map(|line| bytes_of(line.rsplit(" | ").next().unwrap())).collect();
        for (line, (kept, now)) in log.lines().zip(lines(&commands)).enumerate() {
            assert_eq!(now, kept, "command {}: {:?}", line + 1, Command::decode(&commands[line][..]));
        }
    }
}

#[test]
fn the_bounds_that_decide_what_commands_do_are_those_of_level_1() {
    let Bounds {
        changes_max,
        change_key_bytes_max,
        requests_max,
        part_bytes_max,
        audit_rows_max,
        refused_rows_max,
        removed_nodes_max,
    } = Bounds::PRODUCT;
    assert_eq!(
        (changes_max, change_key_bytes_max, requests_max, part_bytes_max, removed_nodes_max),
        (1_000_000, 64 << 20, 2_000_000, (1 << 20) - (16 << 10), 10_000)
    );
    assert_eq!((audit_rows_max, refused_rows_max), (100_000, 10_000));
    let of_rows = (limits::CHANGE_ROWS_MAX, limits::DOCUMENT_BYTES_MAX, limits::ROW_REFS_MAX, limits::UNIQUE_BYTES_MAX);
    assert_eq!(of_rows, (10_000, (1 << 20) - (16 << 10), 1_000, 64));
    let of_keys = (limits::KEY_PARTS_MAX, limits::KEY_PART_BYTES_MAX, limits::ACTOR_BYTES_MAX, limits::NAME_CHARS_MAX);
    assert_eq!(of_keys, (4, 256, 256, 1_024));
    let of_time = (limits::REQUEST_MS_MAX, limits::UNREFERENCED_MS_MAX);
    assert_eq!(of_time, (600_000, 600_000));
    let at_once = (limits::REQUESTS_TRIM_BATCH, limits::TRIM_ROWS_MAX, limits::CASCADE_ROWS_MAX);
    assert_eq!(at_once, (256, 10_000, 10_000));
}

#[test]
fn the_log_meets_every_command_and_every_refusal() {
    let commands: Vec<Vec<u8>> = KEPT.lines().map(|line| bytes_of(line.rsplit(" | ").next().unwrap())).collect();
    let met: Vec<_> = [Bounds::PRODUCT, SMALL].into_iter().flat_map(|bounds| run(bounds, &commands)).collect();
    for code in (1..).map_while(|code| Code::try_from(code).ok()) {
        let refused =
            |step: &Step| matches!(&step.outcome.kind, Some(outcome::Kind::Rejected(why)) if why.code() == code);
        assert!(met.iter().any(refused), "{code:?}");
    }
    for tag in [1, 2, 4, 5, 6, 7, 8, 9, 10, 11_u8] {
        // A length-delimited field of this number (protobuf's wire format).
        let of_this_kind = |command: &Vec<u8>| command.first() == Some(&(tag << 3 | 2));
        let mut steps = run(Bounds::PRODUCT, &commands).into_iter().zip(&commands);
        let is_done = |step: &Step| matches!(step.outcome.kind, Some(outcome::Kind::Done(_)));
        assert!(steps.any(|(step, command)| of_this_kind(command) && is_done(&step)), "command {tag}");
    }
}

#[test]
#[ignore = "prints the file, for when it grows"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn print_the_log() {
    for line in lines(&golden_log::commands()) {
        println!("{line}");
    }
}

#[test]
#[ignore = "prints the file, for when it grows"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn print_the_log_of_access() {
    for line in lines(&golden_log_of_access::commands()) {
        println!("{line}");
    }
}

fn lines(commands: &[Vec<u8>]) -> Vec<String> {
    let steps = run(Bounds::PRODUCT, commands).into_iter().zip(run(SMALL, commands));
    let text = |(product, small): (Step, Step), command: &Vec<u8>| {
        format!("{} {} | {} {} | {}", product.number, product.hash, small.number, small.hash, hex(command))
    };
    steps.zip(commands).map(|(steps, command)| text(steps, command)).collect()
}

fn run(bounds: Bounds, commands: &[Vec<u8>]) -> Vec<Step> {
    let mut tables = MemoryTables::new();
    let mut steps = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        let command = Command::decode(&command[..]).unwrap_or_default();
        let mut draft = Draft::new(&tables);
        let applied = apply_within(bounds, &mut draft, index as u64 + 1, &command);
        let writes = draft.into_writes();
        tables.write(writes);
        let hash = hash_of(&applied.outcome, &tables);
        steps.push(Step { outcome: applied.outcome, number: applied.changes.after, hash });
    }
    steps
}

/// Of the outcome and of every row, each part behind its length.
fn hash_of(outcome: &Outcome, tables: &MemoryTables) -> String {
    let mut all = outcome.encode_length_delimited_to_vec();
    for part in tables.rows().iter().flat_map(|(key, value)| [key, value]) {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    hex(&Digest::of(&all).as_bytes()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
