//! `sluice`: the operator's command line.
//!
//! Promise: commands, flags, exit statuses and JSON are a contract with scripts; a command that changes something says
//! what it changed and at which revision, and may be repeated, by its request id, when its outcome is not known. Absent: any knowledge of
//! the state itself: all of it is asked of a control node over gRPC. `dev` alone starts nodes.

mod api;
mod args;
mod assignment;
mod audit;
mod backup;
mod client;
mod cluster;
mod completion;
mod configuration;
mod context;
mod contexts;
mod counted;
mod credential;
mod deploy;
mod deployment;
mod dev;
mod document;
#[cfg(test)]
mod documentation;
mod duration;
mod echo;
mod failure;
mod fleet;
mod freshness;
mod key;
mod members;
mod node;
mod noun;
mod objects;
mod operator;
mod output;
mod plan;
mod plan_key;
mod rate;
mod request;
mod restore;
mod rotate_key;
mod route;
mod session;
mod signals;
mod stage;
mod table;
mod time;
mod unanswered;
mod upload;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Command},
    failure::{Exit, Failure},
    output::Output,
    session::Session,
};

fn main() -> ExitCode {
    let cli = match Cli::command().try_get_matches().and_then(|matches| Cli::of(&matches)) {
        Ok(cli) => cli,
        Err(refused) => return failure::refused_by_parser(&refused, std::env::args_os()),
    };
    let output = Output::new(cli.global.output);
    match run(cli, output) {
        Ok(exit) => match output.unwritten() {
            None => exit.into(),
            Some(failure) => {
                output.failure(&failure);
                failure.exit.into()
            }
        },
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let mut runtime = match cli.command {
        Command::Echo(_) | Command::Dev(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(|failure| Failure::failed(format!("no runtime: {failure}")))?;
    runtime.block_on(async {
        match cli.command {
            Command::Dev(command) => command.run(output).await.map(|()| Exit::Done),
            Command::Echo(command) => command.run(output).await.map(|()| Exit::Done),
            Command::Completion(command) => {
                command.run(output);
                Ok(Exit::Done)
            }
            Command::Context(command) => command.run(output).map(|()| Exit::Done),
            command => {
                let session = Session::open(&cli.global, output)?;
                command.ask(&session).await.map_err(|failure| session.requests.with_repetition(failure))
            }
        }
    })
}

impl Command {
    /// Runs a command that speaks to a cluster.
    async fn ask(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Api(command) => command.run(session).await?,
            Self::Deployment(command) => command.run(session).await?,
            Self::Route(command) => command.run(session).await?,
            Self::Stage(command) => command.run(session).await?,
            Self::Key(command) => command.run(session).await?,
            Self::Plan(command) => command.run(session).await?,
            Self::Node(command) => command.run(session).await?,
            Self::Cluster(command) => command.run(session).await?,
            Self::Operator(command) => command.run(session).await?,
            Self::Audit(command) => command.run(session).await?,
            Self::Apply(command) => command.run(session).await?,
            Self::Get(command) => command.run(session).await?,
            Self::Diff(command) => return command.run(session).await,
            Self::Dev(_) | Self::Echo(_) | Self::Completion(_) | Self::Context(_) => {
                unreachable!("these ask no cluster")
            }
        }
        Ok(Exit::Done)
    }
}
