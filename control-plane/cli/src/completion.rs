//! `completion`: what a shell needs to complete commands.

use std::io::Write as _;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{args::Cli, failure::Failure};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  source <(sluice completion bash)")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Known,
}

impl Completion {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shell = match self.shell {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "sluice", &mut script);
        // A closed pipe (`sluice completion bash | head`) is no error.
        drop(std::io::stdout().write_all(&script));
        Ok(())
    }
}
