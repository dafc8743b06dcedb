//! `completion`: what a shell needs to complete commands.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{args::Cli, output::Output};

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
    pub(crate) fn run(self, output: Output) {
        let shell = match self.shell {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "sluice", &mut script);
        output.bytes(&script);
    }
}
