//! The command line of a program, and its `--help`, from the table.

use clap::{Arg, ArgAction, Command};

use crate::{Kind, Program, Setting};

/// The flag that names the settings file.
pub(crate) const CONFIG: &str = "config";

pub(crate) fn command(program: &Program) -> Command {
    let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE.toml").help(
        "Settings file, TOML. Variables (SLUICE_*) win over it, flags over both. [variable SLUICE_CONFIG; example /etc/sluice/node.toml]",
    );
    Command::new(program.name)
        .about(program.about)
        .version(program.version)
        .arg(config)
        .args(program.settings.iter().map(argument))
}

fn argument(setting: &Setting) -> Arg {
    let help = format!(
        "{} [{}; {}; variable {}; example {}]",
        setting.about,
        setting.kind.describe(),
        setting.default_text(),
        setting.variable(),
        setting.example
    );
    let argument = Arg::new(setting.key).long(setting.flag()).help(help);
    match setting.kind {
        Kind::Flag => argument.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL"),
        Kind::List => argument.action(ArgAction::Append).value_name("LIST"),
        Kind::Path => argument.value_name("PATH"),
        Kind::Address => argument.value_name("HOST:PORT"),
        Kind::Time { .. } => argument.value_name("TIME"),
        Kind::Bytes { .. } => argument.value_name("BYTES"),
        Kind::Count { .. } => argument.value_name("N"),
        Kind::Choice(_) | Kind::Text => argument.value_name("TEXT"),
    }
}
