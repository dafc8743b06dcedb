//! What the documentation shows is what the programs take: every command line in it is parsed, every setting is in it.

mod deployment;

use std::{collections::BTreeSet, path::PathBuf};

use clap::{Command, CommandFactory as _};
use sluice_telemetry::{
    bound,
    metric::{COUNTERS, GAUGES, HISTOGRAMS},
};

use crate::args::Cli;

/// The documents, by their path from the root.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "deploy/docs/cluster.md",
    "deploy/docs/operating.md",
    "deploy/docs/import.md",
    "deploy/docs/files.md",
    "deploy/docs/requests.md",
    "deploy/CHANGELOG.md",
];
const SETTINGS: &str = "deploy/docs/cluster.md";

#[test]
fn every_command_line_that_is_shown_is_taken() {
    let mut seen = 0;
    for document in DOCUMENTS {
        for line in shell_lines(&read(document)) {
            for words in commands(&line) {
                let Some(program) = program(&words) else { continue };
                seen += 1;
                if let Err(refused) = program.try_get_matches_from(&words) {
                    assert!(!refused.use_stderr(), "{document}: {line}\n{refused}");
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn every_setting_of_the_daemons_is_explained_with_its_default() {
    let text = read(SETTINGS);
    for daemon in [sluice_control::Settings::command(), sluice_data::Settings::command()] {
        let section = text.split(&format!("### {}\n", daemon.get_name())).nth(1).expect("a section for each daemon");
        let section = section.split("\n##").next().unwrap_or_default();
        let flags: Vec<_> = daemon.get_arguments().filter(|flag| flag.get_env().is_some()).collect();
        for flag in &flags {
            let name = format!("| `--{}` |", flag.get_long().expect("settings are flags"));
            let row = section.lines().find(|row| row.starts_with(&name));
            let row = row.unwrap_or_else(|| panic!("{SETTINGS} has no row {name} for {}", daemon.get_name()));
            for default in flag.get_default_values().iter().filter_map(|value| value.to_str()) {
                assert!(default == "false" || row.contains(&format!("`{default}`")), "{default} is not in: {row}");
            }
        }
        assert_eq!(
            section.lines().filter(|row| row.starts_with("| `--")).count(),
            flags.len(),
            "{}",
            daemon.get_name()
        );
    }
}

#[test]
fn a_variable_of_the_operators_means_nothing_else_to_a_daemon() {
    fn variables(command: &Command, found: &mut BTreeSet<String>) {
        let read = command.get_arguments().filter_map(|flag| Some(flag.get_env()?.to_string_lossy().into_owned()));
        found.extend(read);
        command.get_subcommands().for_each(|below| variables(below, found));
    }
    let (mut operators, mut daemons) = (BTreeSet::new(), BTreeSet::new());
    variables(&Cli::command(), &mut operators);
    variables(&sluice_control::Settings::command(), &mut daemons);
    variables(&sluice_data::Settings::command(), &mut daemons);
    let shared: Vec<_> = operators.intersection(&daemons).map(String::as_str).collect();
    assert_eq!(shared, ["SLUICE_LOG"], "which means the same everywhere");
}

#[test]
fn every_metric_is_explained() {
    let known: BTreeSet<&str> = COUNTERS.iter().chain(GAUGES).chain(HISTOGRAMS).map(|metric| metric.name).collect();
    let text = read(SETTINGS);
    let explained = text.lines().filter_map(|row| row.strip_prefix("| `")?.split(['{', '`']).next());
    let explained: BTreeSet<&str> = explained.filter(|name| name.starts_with("sluice_")).collect();
    assert_eq!(explained, known, "{SETTINGS} and the programs name different metrics");
}

#[test]
fn every_metric_to_watch_is_there() {
    let known: BTreeSet<&str> = COUNTERS.iter().chain(GAUGES).chain(HISTOGRAMS).map(|metric| metric.name).collect();
    let text = read("deploy/docs/operating.md");
    let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let watched: BTreeSet<&str> = words.filter(|word| word.starts_with("sluice_")).collect();
    assert!(watched.len() > 15, "only {watched:?}");
    assert!(watched.is_subset(&known), "no such metric: {:?}", watched.difference(&known));
}

#[test]
fn every_bound_that_is_counted_is_explained() {
    let known: BTreeSet<&str> = bound::CONTROL.iter().chain(bound::DATA).chain(&bound::CORES).copied().collect();
    let text = read(SETTINGS);
    let section = text.split("\n### Bounds\n").nth(1).expect("a section of the bounds");
    let rows = section.split("\nWorth an alert").next().unwrap_or_default().lines();
    let explained: BTreeSet<&str> = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(explained, known, "{SETTINGS} and the programs name different bounds");
}

fn read(document: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of the blocks marked `sh`, joined where they end with a backslash.
fn shell_lines(text: &str) -> Vec<String> {
    let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let joined = blocks.map(|block| block.replace("\\\n", " "));
    joined.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The commands of a line as words: quotes are taken off; `|`, `;`, `&` and a redirection end a command, `#` all of them.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word, mut quote) = (Vec::new(), Vec::new(), String::new(), None);
    for letter in line.chars().chain(['\n']) {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ' | '|' | ';' | '&' | '>' | '\n') => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                if letter != ' ' {
                    commands.push(std::mem::take(&mut words));
                }
            }
            (None, '#') if word.is_empty() => break,
            (None, letter) => word.push(letter),
        }
    }
    commands.push(words);
    commands
}

/// The command line that reads these words, when they call a program of ours.
fn program(words: &[String]) -> Option<Command> {
    match words.first()?.as_str() {
        "sluice" => Some(Cli::command()),
        "sluice-control" => Some(sluice_control::Settings::command()),
        "sluice-data" => Some(sluice_data::Settings::command()),
        _ => None,
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let split = |line: &str| commands(line).into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>();
    assert_eq!(split("a 'b c' d > e | f --x=\"1 2\" & # g"), [vec!["a", "b c", "d"], vec!["e"], vec!["f", "--x=1 2"]]);
    assert_eq!(shell_lines("x\n```sh\na \\\n  b\nc\n```\ny\n```\nd\n```\n"), ["a    b", "c"]);
}
