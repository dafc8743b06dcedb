//! The layers of settings: defaults, file, variables, flags; later ones win.

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf};

use clap::ArgMatches;
use toml::{Table, Value as Toml};

use crate::{
    Default, Program, Setting, SettingsFailure, Values,
    command::{CONFIG, command},
    nearest::nearest,
    value::Value,
};

const PREFIX: &str = "SLUICE_";
const CONFIG_VARIABLE: &str = "SLUICE_CONFIG";
/// Variables of the command line and of the build scripts: no settings of a daemon, and no mistakes either, when one
/// shell starts both.
const FOREIGN: &[&str] =
    &["SLUICE_CONTROL", "SLUICE_TOKEN_FILE", "SLUICE_CA_FILE", "SLUICE_CONTEXT", "SLUICE_OUTPUT", "SLUICE_CACHE"];

/// Where settings come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The command line, with the program's name first.
    pub arguments: Vec<OsString>,
    /// Variables; those that do not begin with `SLUICE_` are not looked at.
    pub variables: Vec<(String, String)>,
}

impl Sources {
    /// Those of this process.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { arguments: std::env::args_os().collect(), variables: variables.collect() }
    }
}

/// Text as given, and where.
struct Given {
    text: String,
    origin: String,
}

type Layer = BTreeMap<&'static str, Given>;

/// Reads the settings of `program`.
///
/// # Errors
/// The first value or key that cannot be used; `CommandLine` also for `--help` and `--version`.
pub fn read(program: &Program, sources: Sources) -> Result<Values, SettingsFailure> {
    let flags = command(program).try_get_matches_from(sources.arguments)?;
    let variables: Vec<_> = sources.variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let named = variables.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, path)| path.as_str());
    let file = flags.get_one::<String>(CONFIG).map(String::as_str).or(named);
    let mut given = Layer::new();
    if let Some(path) = file {
        given.extend(of_file(program, path.into())?);
    }
    given.extend(of_variables(program, &variables)?);
    given.extend(of_flags(program, &flags));
    let mut values = BTreeMap::new();
    for setting in program.settings {
        if let Some(value) = value_of(setting, given.remove(setting.key))? {
            values.insert(setting.key, value);
        }
    }
    Ok(Values::new(values))
}

fn value_of(setting: &Setting, given: Option<Given>) -> Result<Option<Value>, SettingsFailure> {
    let given = match (given, setting.default) {
        (Some(given), _) => given,
        (None, Default::Is(text)) => Given { text: text.to_owned(), origin: "default".to_owned() },
        (None, Default::Absent(_)) => return Ok(None),
        (None, Default::Required) => {
            return Err(SettingsFailure::Missing {
                key: setting.key,
                flag: setting.flag(),
                variable: setting.variable(),
                example: setting.example,
            });
        }
    };
    let Given { text, origin } = given;
    match setting.kind.parse(&text) {
        Some(value) => Ok(Some(value)),
        None => {
            let expected = setting.kind.describe();
            Err(SettingsFailure::Value { key: setting.key, origin, expected, found: text })
        }
    }
}

fn of_file(program: &Program, path: PathBuf) -> Result<Layer, SettingsFailure> {
    let text = fs::read_to_string(&path).map_err(|source| SettingsFailure::File { path: path.clone(), source })?;
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| SettingsFailure::Toml { path: path.clone(), reason: error.to_string() })?;
    let mut found = Vec::new();
    flatten("", &table, &mut found);
    let origin = format!("the file {}", path.display());
    let mut layer = Layer::new();
    for (key, text) in found {
        let Some(setting) = program.settings.iter().find(|setting| setting.key == key) else {
            let nearest = nearest(&key, program.settings.iter().map(|setting| setting.key));
            return Err(unknown(key.clone(), origin, nearest.unwrap_or_default().to_owned()));
        };
        layer.insert(setting.key, Given { text, origin: origin.clone() });
    }
    Ok(layer)
}

fn flatten(prefix: &str, table: &Table, found: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Toml::Table(table) => flatten(&key, table, found),
            Toml::Array(items) => {
                found.push((key, items.iter().map(text_of).collect::<Vec<_>>().join(",")));
            }
            Toml::String(_) | Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) | Toml::Datetime(_) => {
                found.push((key, text_of(value)));
            }
        }
    }
}

fn text_of(value: &Toml) -> String {
    match value {
        Toml::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn of_variables(program: &Program, variables: &[(String, String)]) -> Result<Layer, SettingsFailure> {
    let mut layer = Layer::new();
    for (name, text) in variables {
        if name == CONFIG_VARIABLE || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        let Some(setting) = program.settings.iter().find(|setting| setting.variable() == *name) else {
            let valid: Vec<_> = program.settings.iter().map(Setting::variable).collect();
            let nearest = nearest(name, valid.iter().map(String::as_str)).unwrap_or_default().to_owned();
            return Err(unknown(name.clone(), "the environment".to_owned(), nearest));
        };
        layer.insert(setting.key, Given { text: text.clone(), origin: format!("variable {name}") });
    }
    Ok(layer)
}

fn of_flags(program: &Program, flags: &ArgMatches) -> Layer {
    let mut layer = Layer::new();
    for setting in program.settings {
        if let Some(texts) = flags.get_many::<String>(setting.key) {
            let text = texts.map(String::as_str).collect::<Vec<_>>().join(",");
            layer.insert(setting.key, Given { text, origin: format!("flag --{}", setting.flag()) });
        }
    }
    layer
}

fn unknown(key: String, origin: String, nearest: String) -> SettingsFailure {
    SettingsFailure::Unknown { key, origin, nearest }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Kind;

    const PROGRAM: Program = Program {
        name: "node",
        about: "A node.",
        version: "1.2.3",
        settings: &[
            Setting {
                key: "data_dir",
                kind: Kind::Path,
                default: Default::Required,
                about: "Where.",
                example: "/data",
            },
            Setting {
                key: "listen.admin",
                kind: Kind::Address,
                default: Default::Is("127.0.0.1:7100"),
                about: "Port.",
                example: "0.0.0.0:7100",
            },
            Setting {
                key: "join",
                kind: Kind::List,
                default: Default::Absent("none"),
                about: "Whom.",
                example: "https://a:7100",
            },
            Setting {
                key: "raft.heartbeat",
                kind: Kind::Time { min: Duration::from_millis(10), max: Duration::from_secs(1) },
                default: Default::Is("100ms"),
                about: "Beat.",
                example: "50ms",
            },
            Setting {
                key: "bootstrap",
                kind: Kind::Flag,
                default: Default::Is("false"),
                about: "Begin.",
                example: "true",
            },
        ],
    };

    fn sources(arguments: &[&str], variables: &[(&str, &str)]) -> Sources {
        let arguments = std::iter::once("node").chain(arguments.iter().copied()).map(OsString::from).collect();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Sources { arguments, variables: variables.iter().map(own).collect() }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_win_over_variables_which_win_over_the_file() {
        let file =
            file("data_dir = '/file'\njoin = ['a', 'b']\n[listen]\nadmin = 'file:1'\n[raft]\nheartbeat = '20ms'\n");
        let path = file.path().to_str().unwrap();
        let variables = [("SLUICE_LISTEN__ADMIN", "variable:2"), ("SLUICE_DATA_DIR", "/variable"), ("HOME", "x")];
        let values = read(&PROGRAM, sources(&["--config", path, "--data-dir=/flag"], &variables)).unwrap();
        assert_eq!(values.path("data_dir").to_str(), Some("/flag"));
        assert_eq!(values.text("listen.admin"), "variable:2");
        assert_eq!(values.time("raft.heartbeat"), Duration::from_millis(20));
        assert_eq!(values.list("join"), ["a", "b"]);
        assert!(!values.flag("bootstrap"));
    }

    #[test]
    fn the_bare_flag_means_true() {
        let values = read(&PROGRAM, sources(&["--data-dir", "d", "--bootstrap", "--join", "a", "--join", "b,c"], &[]));
        let values = values.unwrap();
        assert!(values.flag("bootstrap"));
        assert_eq!(values.list("join"), ["a", "b", "c"]);
        assert_eq!(
            values.to_line(),
            "bootstrap=true data_dir=d join=a,b,c listen.admin=127.0.0.1:7100 raft.heartbeat=100ms"
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let file = file("[listen]\nadmni = 'a:1'\n");
        let path = file.path().to_str().unwrap();
        for (sources, expect) in [
            (sources(&["--config", path], &[]), "did you mean listen.admin?"),
            (sources(&[], &[("SLUICE_LISTEN_ADMIN", "a:1")]), "did you mean SLUICE_LISTEN__ADMIN?"),
            (sources(&["--data-dri", "x"], &[]), "--data-dir"),
        ] {
            let message = read(&PROGRAM, sources).unwrap_err().to_string();
            assert!(message.contains(expect), "{message}");
        }
    }

    #[test]
    fn variables_of_the_command_line_are_no_mistakes() {
        let given = [("SLUICE_CONTROL", "http://127.0.0.1:7100"), ("SLUICE_DATA_DIR", "d")];
        read(&PROGRAM, sources(&[], &given)).unwrap();
    }

    #[test]
    fn a_wrong_value_says_where_it_came_from_and_what_fits() {
        let given = [("SLUICE_RAFT__HEARTBEAT", "5ms"), ("SLUICE_DATA_DIR", "d")];
        let message = read(&PROGRAM, sources(&[], &given)).unwrap_err().to_string();
        assert!(message.contains("variable SLUICE_RAFT__HEARTBEAT"), "{message}");
        assert!(message.contains("from 10ms to 1s"), "{message}");
    }

    #[test]
    fn what_is_required_is_missed() {
        let message = read(&PROGRAM, sources(&[], &[])).unwrap_err().to_string();
        assert!(message.contains("--data-dir, SLUICE_DATA_DIR"), "{message}");
    }

    #[test]
    fn help_says_default_unit_range_variable_and_example() {
        let help = read(&PROGRAM, sources(&["--help"], &[])).unwrap_err().to_string();
        for part in ["--listen-admin", "default 127.0.0.1:7100", "SLUICE_LISTEN__ADMIN", "from 10ms to 1s", "50ms"] {
            assert!(help.contains(part), "{part} in {help}");
        }
    }
}
