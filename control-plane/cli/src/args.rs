//! The command line as a whole: global flags, and one command per noun.

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, FromArgMatches as _, Parser, Subcommand, parser::ValueSource};
use sluice_model::ids::{NotAStageName, StageName};
use uuid::Uuid;

use crate::{
    api, audit, cluster, completion, configuration, context, deployment, dev, duration, echo, freshness::Freshness,
    key, node, operator, output::Format, plan, request, route, stage,
};

/// The operator's command line of Sluice: APIs, stages, keys, plans and the cluster itself.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sluice api import pets.yaml --backend http://127.0.0.1:9000
  sluice api deploy pets --stage prod
  sluice key create alice -o json
  sluice key create alice --request-id 0198b7c4-5a00-7000-8000-0123456789ab   # as status 3 said

Exit status: 0 done; 1 failed, nothing changed, or the output could not be written; 2 wrong usage or an ambiguous
name; 3 not reachable, outcome unknown (repeat it with the --request-id of the error, and it is done once); 4 someone else changed it; 5 committed, but not served everywhere in time."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What a command line says.
    ///
    /// # Errors
    /// As `Parser::try_parse`.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        let is = |flag, source| matches.value_source(flag) == Some(source);
        if is("context", ValueSource::CommandLine) {
            // Who names a context means that cluster, whatever the shell points at: a variable would send the context's
            // token elsewhere.
            let global = &mut cli.global;
            if is("control", ValueSource::EnvVariable) {
                global.control.clear();
            }
            global.ca_file.take_if(|_| is("ca_file", ValueSource::EnvVariable));
            global.token_file.take_if(|_| is("token_file", ValueSource::EnvVariable));
            global.cert_file.take_if(|_| is("cert_file", ValueSource::EnvVariable));
            global.key_file.take_if(|_| is("key_file", ValueSource::EnvVariable));
        }
        Ok(cli)
    }
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Control nodes to ask, any of them [default: http://127.0.0.1:7100]
    #[arg(long, env = "SLUICE_CONTROL", value_delimiter = ',', value_name = "URL[,URL...]", global = true)]
    pub(crate) control: Vec<String>,
    /// File with the operator's token
    #[arg(long, env = "SLUICE_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// File with the operator's certificate, shown instead of a token
    #[arg(long, env = "SLUICE_CERT_FILE", value_name = "FILE", requires = "key_file", global = true)]
    pub(crate) cert_file: Option<PathBuf>,
    /// File with the private key of the operator's certificate
    #[arg(long, env = "SLUICE_KEY_FILE", value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// File with the certificate of the cluster's CA
    #[arg(long, env = "SLUICE_CA_FILE", value_name = "FILE", global = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Context of ~/.config/sluice/config.toml to use instead of the current one
    #[arg(long, env = "SLUICE_CONTEXT", value_name = "NAME", global = true)]
    pub(crate) context: Option<String>,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
    /// How long one call may take; does not bound imports and waits
    #[arg(long, default_value = "10s", value_parser = duration::parse, value_name = "TIME", global = true)]
    pub(crate) timeout: Duration,
    /// Id of the change, as the error of a try with an unknown outcome names it: repeated with it, it is made once
    #[arg(long, value_parser = request::parse, value_name = "UUID", global = true)]
    pub(crate) request_id: Option<Uuid>,
    /// Speak plaintext to control nodes that are not on this machine
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// APIs: create, import, deploy
    #[command(subcommand)]
    Api(api::Command),
    /// Deployments of an API
    #[command(subcommand)]
    Deployment(deployment::Command),
    /// Routes of an API
    #[command(subcommand)]
    Route(route::Command),
    /// Stages of an API: settings, rollback
    #[command(subcommand)]
    Stage(stage::Command),
    /// API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Usage plans: who may call which stage, how often
    #[command(subcommand)]
    Plan(plan::Command),
    /// Nodes of the cluster
    #[command(subcommand)]
    Node(node::Command),
    /// The cluster itself
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Who drives the cluster: tokens, certificates and roles
    #[command(subcommand)]
    Operator(operator::Command),
    /// Who did what
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make the cluster's configuration what files say, in one commit
    Apply(configuration::Apply),
    /// What `apply` would change: exits 0 for nothing, 1 for differences, more for errors
    Diff(configuration::Diff),
    /// Configuration as files that `apply` reads
    Get(configuration::Get),
    /// Which cluster the command line speaks to
    #[command(subcommand)]
    Context(context::Command),
    /// A whole cluster on this machine, until it is told to stop
    Dev(dev::Dev),
    /// A backend that answers with what it was sent
    Echo(echo::Echo),
    /// Completion for a shell
    Completion(completion::Completion),
}

/// The name of a stage, as the model takes it: none at all would mean no stage to what is sent.
pub(crate) fn stage_name(text: &str) -> Result<String, NotAStageName> {
    StageName::parse(text).map(|name| name.as_str().to_owned())
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Page {
    /// Follow all pages
    #[arg(long, conflicts_with = "next_token")]
    pub(crate) all: bool,
    /// Items of a page, 1 to 500
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=500), value_name = "N")]
    pub(crate) page_size: Option<u32>,
    /// Where the page before ended: its nextToken
    #[arg(long, value_name = "TOKEN")]
    pub(crate) next_token: Option<String>,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
}

/// Consent to what cannot be undone.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_context_that_is_named_goes_before_variables_and_flags_before_it() {
        // PATH stands in for SLUICE_CONTROL, which a test cannot set.
        let read = |line: &str| {
            let command = Cli::command().mut_arg("control", |flag| flag.env("PATH").value_delimiter(None));
            Cli::of(&command.try_get_matches_from(words(line)).unwrap()).unwrap().global.control
        };
        let variable = std::env::var("PATH").unwrap();
        assert_eq!(read("sluice api list"), [variable]);
        assert_eq!(read("sluice api list --context prod"), Vec::<String>::new());
        assert_eq!(read("sluice --context prod api list --control http://a:1"), ["http://a:1"]);
    }

    #[test]
    fn every_command_shows_an_example() {
        fn visit(command: &clap::Command, path: &str) {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let path = format!("{path} {}", below.get_name());
                if below.has_subcommands() {
                    visit(below, &path);
                } else {
                    let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains(path.trim()), "{path} --help has no example of its own");
                }
            }
        }
        visit(&Cli::command(), "sluice");
    }

    #[test]
    fn lines_are_taken_or_refused() {
        let taken = [
            "sluice api list --all -o json",
            "sluice api list --stale",
            "sluice stage get pets prod --stale",
            "sluice get RestApi --stale",
            "sluice node get n1 --stale",
            "sluice -o yaml api get pets",
            "sluice --control http://a:1,http://b:2 api delete pets --yes",
            "sluice api import pets.yaml --update pets --mode merge",
            "sluice api deploy pets --stage prod --wait=false --timeout 500ms",
            "sluice stage set pets prod */*/throttling/rateLimit=100 variables/x-",
            "sluice stage rollback pets prod --to abc123 --yes",
            "sluice key create alice --value-file -",
            "sluice key create alice --request-id 0198b7c4-5a00-7000-8000-0123456789ab",
            "sluice plan create gold --rate 100/s --burst 20",
            "sluice plan attach gold pets prod --method 'GET /pets' --rate 1000/h",
            "sluice cluster token create --role data --ttl 1h",
            "sluice operator create ci --role deployer --ttl 90d --token-file-out ci.token",
            "sluice --cert-file a.pem --key-file a.key operator certificate alice",
            "sluice audit list --since 24h --actor ann --method Change --outcome denied --all",
            "sluice cluster promote n2",
            "sluice cluster demote 127.0.0.1:7111",
            "sluice cluster remove n2 --yes",
            "sluice cluster transfer-leader",
            "sluice cluster transfer-leader 2",
            "sluice node remove n2 --yes",
            "sluice node drain n2",
            "sluice node drain n2 --undo --wait=false --wait-timeout 5s",
            "sluice apply -f a.yaml -f dir --dry-run",
            "sluice apply -f dir --owner shop --prune --yes",
            "sluice diff -f dir --owner shop --prune",
            "sluice get RestApi pets -o yaml",
            "sluice dev --control-nodes 3 --data-nodes 2 --processes --ports auto --ephemeral",
            "sluice dev --import pets.yaml --backend http://127.0.0.1:9000 --stage dev",
            "sluice echo --listen 127.0.0.1:0 --delay 50ms --status 500",
        ];
        for line in taken {
            let parsed = Cli::try_parse_from(words(line));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
        let refused = [
            "sluice",
            "sluice api",
            "sluice api frobnicate",
            "sluice api export pets",
            "sluice api import pets.yaml --mode merge",
            "sluice api deploy pets",
            "sluice api deploy pets --stage ''",
            "sluice api deploy pets --stage a/b",
            "sluice stage get pets ''",
            "sluice stage delete pets ''",
            "sluice plan attach gold pets ''",
            "sluice dev --import pets.yaml --stage ''",
            "sluice api list --page-size 501",
            "sluice api delete pets --stale",
            "sluice api list --all --next-token x",
            "sluice stage set pets prod",
            "sluice stage set pets prod novalue",
            "sluice plan create gold --rate fast",
            "sluice plan attach gold pets prod --rate 5",
            "sluice cluster token create --role boss",
            "sluice apply -f dir --prune",
            "sluice operator create ci",
            "sluice operator create ci --role boss",
            "sluice --cert-file a.pem api list",
            "sluice cluster demote",
            "sluice node remove",
            "sluice --timeout soon api list",
            "sluice key create alice --request-id 1",
            "sluice dev --control-nodes 2",
            "sluice dev --data-nodes 0",
            "sluice dev --ports 80",
            "sluice dev --ephemeral --data-dir x",
            "sluice dev --backend http://b",
        ];
        for line in refused {
            assert!(Cli::try_parse_from(words(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn a_negative_limit_is_refused_as_a_limit_and_not_as_a_flag() {
        for (line, expected) in [
            ("sluice plan create gold --rate -1", "expected a rate"),
            ("sluice plan create gold --burst -1", "expected a whole number"),
            ("sluice plan attach gold pets prod --method 'GET /pets' --rate -1/s", "expected a rate"),
        ] {
            let refused = Cli::try_parse_from(words(line)).unwrap_err().to_string();
            assert!(refused.contains(expected), "{line}: {refused}");
        }
    }

    /// Splits a line as a shell would, single quotes only.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        parts
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }
}
