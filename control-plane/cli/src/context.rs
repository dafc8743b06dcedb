//! `context`: which cluster the command line speaks to.

use clap::Subcommand;
use serde_json::json;

use crate::{
    contexts::Contexts,
    failure::Failure,
    output::Output,
    table::{Column, column},
};

const COLUMNS: [Column; 3] = [column("CURRENT", "current"), column("NAME", "name"), column("CONTROL", "control")];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the contexts of ~/.config/sluice/config.toml
    #[command(after_help = "Example:\n  sluice context list")]
    List,
    /// Speak to this cluster from now on
    #[command(after_help = "Example:\n  sluice context use prod")]
    Use {
        /// Name of the context
        name: String,
    },
}

impl Command {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let mut contexts = Contexts::load()?;
        match self {
            Self::List => {
                let items = contexts.contexts.iter().map(|(name, cluster)| {
                    let is_current = contexts.current.as_ref() == Some(name);
                    json!({"current": is_current, "name": name, "control": cluster.control})
                });
                output.list(&COLUMNS, &items.collect::<Vec<_>>(), None, None);
            }
            Self::Use { name } => {
                contexts.cluster(Some(&name))?;
                contexts.current = Some(name.clone());
                contexts.save()?;
                output.either(&json!({"current": name}), &format!("now using {name}"));
            }
        }
        Ok(())
    }
}
