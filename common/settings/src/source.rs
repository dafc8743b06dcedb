//! Where settings come from: the file becomes clap's defaults, so that variables and flags win over it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Command, Parser, builder::Resettable};

use crate::{
    SettingsFailure,
    table::{WrongShape, leaves},
    variable::{CONFIG, VARIABLES},
};

const PREFIX: &str = "SLUICE_";

/// Reads the settings of this process.
///
/// # Errors
/// [`SettingsFailure`]; also what `--help` and `--version` print.
pub fn load<S: Parser>() -> Result<S, SettingsFailure> {
    load_from(std::env::args_os().collect(), std::env::vars_os())
}

/// Reads settings from a command line (the program's name first) and variables. Values of variables are read by clap
/// from the process; here their names are checked.
///
/// # Errors
/// [`SettingsFailure`]; also what `--help` and `--version` print.
pub fn load_from<S: Parser>(
    args: Vec<OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<S, SettingsFailure> {
    let matches = read(S::command(), args, variables)?;
    Ok(S::from_arg_matches(&matches)?)
}

/// The settings that hold when no one says anything, whatever the environment has.
///
/// # Panics
/// When a setting is required or a default is invalid, which a test of the daemon checks.
pub fn defaults<S: Parser>() -> S {
    let command = S::command().mut_args(|arg| arg.env(Resettable::Reset));
    let matches = command.try_get_matches_from([""]).expect("no setting is required");
    S::from_arg_matches(&matches).expect("every default is valid")
}

fn read(
    command: Command,
    args: Vec<OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<ArgMatches, SettingsFailure> {
    let mut file = config_flag(&args);
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name == CONFIG {
            file = file.or(Some(value.into()));
        } else if !VARIABLES.contains(&name) && !known(&command).any(|known| known == name) {
            return Err(unknown(&command, name, "the environment", str::to_owned));
        }
    }
    let command = match file {
        Some(path) => with_file(command, &path)?,
        None => command,
    };
    Ok(command.try_get_matches_from(args)?)
}

/// The value of `--config`, before the command line is really parsed.
fn config_flag(args: &[OsString]) -> Option<PathBuf> {
    let apart = args.iter().position(|arg| arg == "--config").and_then(|at| args.get(at + 1));
    let joined = || args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    apart.map(PathBuf::from).or_else(joined)
}

/// Makes the file's values the defaults of `command`.
fn with_file(mut command: Command, path: &Path) -> Result<Command, SettingsFailure> {
    let unreadable = |source| SettingsFailure::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let table: toml::Table =
        text.parse().map_err(|source| SettingsFailure::NotToml { path: path.to_owned(), source: Box::new(source) })?;
    let wrong = |WrongShape { key, found }| SettingsFailure::WrongShape { key, path: path.to_owned(), found };
    for (key, values) in leaves(&table).map_err(wrong)? {
        let variable = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
        let argument = command.get_arguments().find(|arg| arg.get_env().is_some_and(|env| env == variable.as_str()));
        let Some(id) = argument.map(|arg| arg.get_id().clone()) else {
            return Err(unknown(&command, &variable, &path.display().to_string(), as_key));
        };
        command = command.mut_arg(id, |arg| arg.default_values(values));
    }
    Ok(command)
}

/// The variables of all settings.
fn known(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(|arg| arg.get_env()?.to_str())
}

fn unknown(command: &Command, variable: &str, place: &str, show: impl Fn(&str) -> String) -> SettingsFailure {
    let nearest = known(command).min_by_key(|known| distance(known, variable)).unwrap_or_default();
    SettingsFailure::Unknown { found: show(variable), place: place.to_owned(), nearest: show(nearest) }
}

/// The key of the file that a variable stands for.
fn as_key(variable: &str) -> String {
    variable.trim_start_matches(PREFIX).replace("__", ".").to_lowercase()
}

/// How many letters must change to make one text the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Parser)]
    struct Sample {
        #[arg(long, env = "SLUICE_CONFIG")]
        config: Option<PathBuf>,
        #[arg(long, env = "SLUICE_SAMPLE__COUNT", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=9))]
        sample_count: u16,
        #[arg(long, env = "SLUICE_SAMPLE__NAMES", value_delimiter = ',')]
        sample_names: Vec<String>,
        #[arg(long, env = "SLUICE_SAMPLE_FLAG")]
        sample_flag: bool,
        #[arg(long, env = "SLUICE_SAMPLE_TIME", default_value = "10s",
              value_parser = crate::time_within(Duration::ZERO..=Duration::from_secs(60)))]
        sample_time: Duration,
    }

    fn sample(file: &str, flags: &[&str], variables: &[&str]) -> Result<Sample, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, file).unwrap();
        let mut args: Vec<OsString> = vec!["node".into(), "--config".into(), path.into()];
        args.extend(flags.iter().map(OsString::from));
        let variables = variables.iter().map(|name| (OsString::from(name), OsString::new()));
        load_from(args, variables).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "sample_flag = true\n[sample]\ncount = 3\nnames = [\"a\", \"b\"]\n";
        let read = sample(file, &["--sample-count", "2"], &[]).unwrap();
        assert_eq!((read.sample_count, read.sample_names, read.sample_flag), (2, vec!["a".into(), "b".into()], true));
        assert_eq!(read.sample_time.as_secs(), 10);
        assert!(read.config.is_some());
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let refused = sample("[sample]\ncuont = 1\n", &[], &[]).unwrap_err();
        assert!(refused.contains("unknown setting sample.cuont"), "{refused}");
        assert!(refused.ends_with("did you mean sample.count?"), "{refused}");
        let refused = sample("", &[], &["SLUICE_SAMPLE_COUNT"]).unwrap_err();
        assert!(refused.ends_with("did you mean SLUICE_SAMPLE__COUNT?"), "{refused}");
        let refused = sample("", &["--sample-cuont", "1"], &[]).unwrap_err();
        assert!(refused.contains("--sample-count"), "{refused}");
    }

    #[test]
    fn variables_of_other_programs_are_no_mistakes() {
        let others = ["SLUICE_CONTROL", "SLUICE_TOKEN_FILE", "SLUICE_CACHE", "SLUICE_SKIPS", "SLUICE_CORES", "HOME"];
        sample("", &[], &others).unwrap();
        let refused = sample("cores = 2\n", &[], &[]).unwrap_err();
        assert!(refused.contains("unknown setting cores"), "a file belongs to one program: {refused}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_range() {
        let refused = sample("[sample]\ncount = 0\n", &[], &[]).unwrap_err();
        assert!(refused.contains("1..=9"), "{refused}");
        let refused = sample("sample_time = '2h'\n", &[], &[]).unwrap_err();
        assert!(refused.contains("from 0ns to 60s"), "{refused}");
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_refused_with_its_key() {
        let refused = sample("[sample.count]\nport = 1\n", &[], &[]).unwrap_err();
        assert!(refused.contains("sample.count.port"), "{refused}");
        let refused = sample("sample_flag = 1979-05-27\n", &[], &[]).unwrap_err();
        assert!(refused.contains("setting sample_flag"), "{refused}");
    }

    #[test]
    fn defaults_need_no_environment() {
        assert_eq!(defaults::<Sample>().sample_count, 1);
    }
}
