//! Where settings come from: the file becomes clap's defaults, so that variables and flags win over it.
//!
//! A setting's one name is its variable: `SLUICE_LISTEN__HTTP` is `http` in the table `[listen]`, and `--listen-http`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};

const PREFIX: &str = "SLUICE_";
/// Variables of Sluice's other programs and of its build, which a data node may find around it.
const OTHER_VARIABLES: [&str; 4] = ["SLUICE_TOKEN_FILE", "SLUICE_CACHE", "SLUICE_CONTEXT", "SLUICE_OUTPUT"];

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFailure {
    /// A flag or a value is wrong; or help was asked for.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the settings file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {} is not TOML: {source}", .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A key that no setting has.
    #[error("unknown setting {found} in {place}; did you mean {nearest}?")]
    Unknown {
        /// The key as written.
        found: String,
        /// File or environment.
        place: String,
        /// The nearest key that exists.
        nearest: String,
    },
    /// A value that is neither text, number, flag nor list of them.
    #[error("setting {key} in {}: expected text, a number, a flag or a list, found a {found}", .path.display())]
    WrongShape {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// The kind of value.
        found: &'static str,
    },
}

/// Reads all sources.
///
/// # Errors
/// [`SettingsFailure`].
pub(super) fn read(
    command: Command,
    args: Vec<OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<ArgMatches, SettingsFailure> {
    let mut file = config_flag(&args);
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name == "SLUICE_CONFIG" {
            file = file.or(Some(value.into()));
        } else if !OTHER_VARIABLES.contains(&name) && !known(&command).any(|known| known == name) {
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
    let at = args.iter().position(|arg| arg == "--config").and_then(|at| args.get(at + 1));
    let joined = || args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    at.map(PathBuf::from).or_else(joined)
}

/// Makes the file's values the defaults of `command`.
fn with_file(mut command: Command, path: &Path) -> Result<Command, SettingsFailure> {
    let unreadable = |source| SettingsFailure::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let table: toml::Table =
        text.parse().map_err(|source| SettingsFailure::NotToml { path: path.to_owned(), source: Box::new(source) })?;
    let mut found = Vec::new();
    flatten("", &table, path, &mut found)?;
    for (key, values) in found {
        let variable = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
        let id = command.get_arguments().find(|arg| arg.get_env().is_some_and(|env| env == variable.as_str()));
        let Some(id) = id.map(|arg| arg.get_id().clone()) else {
            return Err(unknown(&command, &variable, &path.display().to_string(), as_key));
        };
        command = command.mut_arg(id, |arg| arg.default_values(values));
    }
    Ok(command)
}

/// The leaves of a table with their dotted keys.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    path: &Path,
    found: &mut Vec<(String, Vec<String>)>,
) -> Result<(), SettingsFailure> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let wrong = |value: &toml::Value| SettingsFailure::WrongShape {
            key: key.clone(),
            path: path.to_owned(),
            found: value.type_str(),
        };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, path, found)?,
            toml::Value::Array(items) => {
                let items = items.iter().map(|item| leaf(item).ok_or_else(|| wrong(item)));
                let items = items.collect::<Result<_, _>>()?;
                found.push((key, items));
            }
            value => {
                let value = leaf(value).ok_or_else(|| wrong(value))?;
                found.push((key, vec![value]));
            }
        }
    }
    Ok(())
}

fn leaf(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
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
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::super::Settings;
    use super::*;

    fn load(file: &str, flags: &[&str], variables: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluice.toml");
        std::fs::write(&path, file).unwrap();
        let mut args: Vec<OsString> = vec!["sluice-data".into(), "--config".into(), path.into()];
        args.extend(flags.iter().map(OsString::from));
        let variables = variables.iter().map(|name| (OsString::from(name), OsString::new()));
        // the test process's own variables are not part of the case
        let command = Settings::command();
        let matches = read(command, args, variables).map_err(|failure| failure.to_string())?;
        Settings::from_arg_matches(&matches).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "cores = 3\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[listen]\nhttp = \"127.0.0.1:9001\"\n";
        let settings = load(file, &["--cores", "2"], &[]).unwrap();
        assert_eq!(settings.cores, Some(2));
        assert_eq!(settings.listen_http.port(), 9001);
        assert_eq!(settings.trusted_proxies, ["10.0.0.0/8", "::1"]);
        assert_eq!(settings.drain_delay.as_secs(), 10);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let refused = load("[listen]\nhtpp = \"127.0.0.1:9001\"\n", &[], &[]).unwrap_err();
        assert!(refused.contains("unknown setting listen.htpp"), "{refused}");
        assert!(refused.ends_with("did you mean listen.http?"), "{refused}");
        let refused = load("", &[], &["SLUICE_DRAIN_DELEY"]).unwrap_err();
        assert!(refused.contains("SLUICE_DRAIN_DELEY"), "{refused}");
        assert!(refused.ends_with("did you mean SLUICE_DRAIN_DELAY?"), "{refused}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_range() {
        let refused = load("cores = 0\n", &[], &[]).unwrap_err();
        assert!(refused.contains("1..=1024"), "{refused}");
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_refused_with_its_key() {
        let refused = load("[listen.http]\nport = 1\n", &[], &[]).unwrap_err();
        assert!(refused.contains("listen.http.port"), "{refused}");
        let refused = load("cores = 1979-05-27\n", &[], &[]).unwrap_err();
        assert!(refused.contains("setting cores"), "{refused}");
    }
}
