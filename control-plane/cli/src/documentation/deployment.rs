//! What operators install is what the daemons take: units of systemd, example settings, the container file and the chart name
//! only flags, variables and settings that are there, with values that are allowed.

use std::{collections::BTreeSet, ffi::OsString, path::Path, time::Duration};

use clap::{Command, CommandFactory as _, Parser};
use serde_json::Value;

use super::{commands, program, read};

const PREFIX: &str = "SLUICE_";

#[test]
fn a_unit_starts_its_daemon_with_flags_and_variables_that_it_has() {
    for name in ["sluice-control", "sluice-data"] {
        let unit = read(&format!("deploy/systemd/{name}.service"));
        let start: Vec<String> = setting(&unit, "ExecStart").split(' ').map(str::to_owned).collect();
        let words: Vec<String> = start.iter().map(|word| word.replace("/usr/local/bin/", "")).collect();
        let daemon = program(&words).expect("the unit starts a program of ours");
        assert_eq!(daemon.get_name(), name);
        daemon.clone().try_get_matches_from(&words).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_known(name, &unit, &[daemon]);
    }
}

#[test]
fn a_unit_waits_for_the_drain_and_allows_the_files_of_the_example_settings() {
    let control: sluice_control::Settings = load("deploy/etc/control.toml");
    let unit = read("deploy/systemd/sluice-control.service");
    assert!(stop_time(&unit) > control.drain_timeout, "TimeoutStopSec against {:?}", control.drain_timeout);
    let data: sluice_data::Settings = load("deploy/etc/data.toml");
    let unit = read("deploy/systemd/sluice-data.service");
    assert!(stop_time(&unit) > data.drain_delay + data.drain_timeout, "TimeoutStopSec against the drain");
    let files: u64 = setting(&unit, "LimitNOFILE").parse().expect("a number of files");
    assert!(files > 2 * u64::from(data.limits_connections), "LimitNOFILE against the connections");
}

#[test]
fn the_example_settings_hold_the_defaults_that_they_show() {
    let (shown, default) =
        (load::<sluice_control::Settings>("deploy/etc/control.toml"), sluice_control::Settings::default());
    assert_eq!(shown.raft_heartbeat, default.raft_heartbeat);
    assert_eq!(
        (shown.raft_election_min, shown.raft_election_max),
        (default.raft_election_min, default.raft_election_max)
    );
    assert_eq!(shown.raft_snapshot_log_bytes, default.raft_snapshot_log_bytes);
    assert_eq!(shown.drain_timeout, default.drain_timeout);
    let (shown, default) = (load::<sluice_data::Settings>("deploy/etc/data.toml"), sluice_data::Settings::default());
    assert_eq!((shown.drain_delay, shown.drain_timeout), (default.drain_delay, default.drain_timeout));
    assert_eq!(shown.limits_connections, default.limits_connections);
    assert_eq!(
        (shown.timeouts_head, shown.timeouts_idle, shown.timeouts_send),
        (default.timeouts_head, default.timeouts_idle, default.timeouts_send)
    );
}

#[test]
fn the_chart_starts_the_daemons_with_variables_and_flags_that_they_have() {
    let (control, data) = (sluice_control::Settings::command(), sluice_data::Settings::command());
    for (file, daemons) in [
        ("templates/control.yaml", vec![control.clone()]),
        ("files/control.sh", vec![control.clone()]),
        ("templates/data.yaml", vec![data.clone()]),
        ("files/data-join.sh", vec![data.clone()]),
        ("../../container/Containerfile", vec![control, data]),
    ] {
        let text = read(&format!("deploy/helm/sluice/{file}"));
        assert_known(file, &text, &daemons);
        assert!(!text.contains("kind: StatefulSet") || text.contains("\"sluice.pod\""), "{file}: no sluice.pod");
    }
    // A Service `sluice-control` would otherwise be the variable SLUICE_CONTROL_SERVICE_HOST, at which daemons stop.
    assert!(read("deploy/helm/sluice/templates/_helpers.tpl").contains("\nenableServiceLinks: false\n"));
}

#[test]
fn command_lines_of_the_chart_are_taken() {
    let mut seen = Vec::new();
    for file in ["files/control.sh", "files/data-join.sh", "templates/control.yaml", "templates/data.yaml"] {
        let text = read(&format!("deploy/helm/sluice/{file}")).replace("\\\n", " ");
        for line in text.lines().map(|line| line.trim().trim_start_matches("exec ")) {
            let listed = line.strip_prefix("command: [").map(|rest| rest.trim_end_matches(']').replace(", ", " "));
            for words in commands(listed.as_deref().unwrap_or(line)) {
                let Some(program) = program(&words) else { continue };
                seen.push(words[0].clone());
                program.try_get_matches_from(&words).unwrap_or_else(|refused| panic!("{file}: {line}\n{refused}"));
            }
        }
    }
    assert_eq!(seen, ["sluice", "sluice-control", "sluice", "sluice-data"]);
}

#[test]
fn settings_of_the_chart_are_settings_of_the_daemons() {
    let values: Value = serde_saphyr::from_str(&read("deploy/helm/sluice/values.yaml")).expect("values are YAML");
    let file = |role: &str| values[role]["settings"].as_str().expect("settings are text").to_owned();
    load_text::<sluice_control::Settings>(&file("control"));
    // Also what is only shown.
    load_text::<sluice_data::Settings>(&file("data").replace("# ", ""));
}

/// Panics when the text names a variable that none of the programs reads.
fn assert_known(place: &str, text: &str, programs: &[Command]) {
    let arguments = programs.iter().flat_map(Command::get_arguments);
    let known: BTreeSet<&str> = arguments.filter_map(|each| each.get_env()?.to_str()).collect();
    let word = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    for found in text.split(|letter| !word(letter)).filter(|found| found.len() > PREFIX.len()) {
        // Of the build, not of a program.
        let fits = !found.starts_with(PREFIX) || found == "SLUICE_CACHE" || known.contains(found);
        assert!(fits, "{place}: {found} is no variable of the daemon");
    }
}

/// The value of the one line of a unit that sets `name`.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut found = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = found.next().unwrap_or_else(|| panic!("no {name} in the unit"));
    assert!(found.next().is_none(), "{name} stands there twice");
    value
}

fn stop_time(unit: &str) -> Duration {
    let seconds = setting(unit, "TimeoutStopSec").strip_suffix('s').and_then(|number| number.parse().ok());
    Duration::from_secs(seconds.expect("TimeoutStopSec is in seconds"))
}

fn load<S: Parser>(document: &str) -> S {
    load_text(&read(document))
}

/// The settings that a daemon reads from a file.
fn load_text<S: Parser>(text: &str) -> S {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).expect("the folder takes files");
    loaded(&path).unwrap_or_else(|failure| panic!("{failure}\n{text}"))
}

fn loaded<S: Parser>(path: &Path) -> Result<S, sluice_settings::SettingsFailure> {
    let args: Vec<OsString> = vec!["node".into(), "--config".into(), path.into()];
    sluice_settings::load_from(args, std::iter::empty())
}
