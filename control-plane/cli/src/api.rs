//! `api`: create, list, get, delete, import, deploy.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sluice_identity::Channel;
use sluice_model::ids::API_ID_CHARS;
use sluice_proto::{
    admin::{Deploy, ImportReply, ImportRequest, ImportResult, ImportStart, import_reply, import_request, operation},
    model::{Kind, RestApi, Revision, document},
};
use sluice_rpc::admin::apis_client::ApisClient;
use tonic::{Status, Streaming};

use crate::{
    args::{Consent, Page},
    document::stored_json,
    failure::{Failure, diagnostic_json},
    fleet::{Served, Wait, nodes_json},
    noun::Noun,
    output::revision_json,
    session::{Session, ShowValue, new_request_id},
    table::{column, time},
    upload,
};

pub(crate) const API: Noun = Noun {
    kind: Kind::RestApi,
    word: "api",
    id_chars: Some(API_ID_CHARS),
    columns: &[
        column("ID", "id"),
        column("NAME", "name"),
        time("CREATED", "createdDate"),
        column("DESCRIPTION", "description"),
    ],
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an empty API; `delete` is the opposite
    #[command(after_help = "Example:\n  sluice api create pets --description 'All about pets'")]
    Create {
        /// Name; need not be unique
        name: String,
        /// Kind of API
        #[arg(long, value_enum, default_value_t = ApiKind::Rest)]
        kind: ApiKind,
        /// Description
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// List the APIs
    #[command(after_help = "Example:\n  sluice api list --all -o json")]
    List(#[command(flatten)] Page),
    /// Show an API
    #[command(after_help = "Example:\n  sluice api get pets -o yaml")]
    Get {
        /// Id or name
        api: String,
    },
    /// Delete an API with its stages and deployments
    #[command(after_help = "Example:\n  sluice api delete pets --yes")]
    Delete {
        /// Id or name
        api: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Import OpenAPI 3 or Swagger 2, JSON or YAML, also .gz and .zst; all problems of the file are reported at once
    #[command(after_help = "\
Examples:
  sluice api import pets.yaml
  sluice api import github.json.zst --backend http://127.0.0.1:9000
  sluice api import pets.yaml --update pets --mode merge")]
    Import(#[command(flatten)] Import),
    /// Make an immutable deployment and point a stage at it; the stage is made if it is new
    #[command(after_help = "Example:\n  sluice api deploy pets --stage prod --description 'first release'")]
    Deploy {
        /// Id or name
        api: String,
        /// Stage
        #[arg(long, value_name = "STAGE")]
        stage: String,
        /// Description of the deployment
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApiKind {
    Rest,
    Http,
    Websocket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// What the file does not name stays
    Merge,
    /// What the file does not name goes
    Overwrite,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The description; - is stdin
    file: PathBuf,
    /// Name of the API, instead of the file's title
    #[arg(long)]
    name: Option<String>,
    /// Update this API (id or name) instead of making one
    #[arg(long, value_name = "API")]
    update: Option<String>,
    /// What happens to what the file does not name [default: overwrite]
    #[arg(long, value_enum, requires = "update")]
    mode: Option<Mode>,
    /// Proxy every operation without an integration to this URL
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create { kind: ApiKind::Http | ApiKind::Websocket, .. } => {
                Err(Failure::failed("this release runs REST APIs only: leave --kind out, or say --kind rest"))
            }
            Self::Create { name, description, .. } => {
                let api = RestApi { name, description, ..RestApi::default() };
                API.create(session, document::Kind::RestApi(api)).await
            }
            Self::List(page) => API.list(session, &[], &page).await,
            Self::Get { api } => API.get(session, &[&session.id_of(&API, &api).await?], ShowValue::No).await,
            Self::Delete { api, consent } => API.delete(session, &[&session.id_of(&API, &api).await?], consent).await,
            Self::Import(import) => import.run(session).await,
            Self::Deploy { api, stage, description, wait } => {
                let api_id = session.id_of(&API, &api).await?;
                deploy_and_tell(session, Deploy { api_id, stage_name: stage, description, ..Deploy::default() }, &wait)
                    .await
            }
        }
    }
}

impl Import {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let api_id = match &self.update {
            Some(api) => Some(session.id_of(&API, api).await?),
            None => None,
        };
        let verb = if api_id.is_some() { "updated" } else { "created" };
        let start = ImportStart {
            name: self.name,
            api_id,
            mode: self.mode.map(|mode| if mode == Mode::Merge { "merge" } else { "overwrite" }.to_owned()),
            backend: self.backend,
            ..ImportStart::default()
        };
        let result = import(session, &self.file, start).await?;
        session.output.warnings(&result.diagnostics);
        session.output.either(&imported_json(&result), &imported_text(verb, &result));
        Ok(())
    }
}

/// Sends a file as `start` says; the rest of `start` is filled in here.
pub(crate) async fn import(session: &Session, file: &Path, start: ImportStart) -> Result<ImportResult, Failure> {
    let bytes = upload::read(file)?;
    let start = ImportStart {
        request_id: new_request_id(),
        file_name: file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        size: bytes.len() as u64,
        ..start
    };
    let bar = upload::bar(session.output);
    let result = session
        .client
        .attempt(None, async |channel: Channel, _| {
            let start = import_request::Kind::Start(start.clone());
            let messages = upload::messages(start, &bytes, import_request::Kind::Chunk);
            let stream = tokio_stream::iter(messages.into_iter().map(|kind| ImportRequest { kind: Some(kind) }));
            let replies = ApisClient::new(channel).import(stream).await?.into_inner();
            imported(replies, &bar).await
        })
        .await;
    bar.finish_and_clear();
    result
}

/// Follows the progress of an import to its result.
async fn imported(mut replies: Streaming<ImportReply>, bar: &indicatif::ProgressBar) -> Result<ImportResult, Status> {
    while let Some(reply) = replies.message().await? {
        match reply.kind {
            Some(import_reply::Kind::Result(result)) => return Ok(result),
            Some(import_reply::Kind::Progress(progress)) => {
                bar.set_message(progress.phase);
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            }
            None => {}
        }
    }
    Err(Status::unavailable("the control node ended the import without a result"))
}

fn imported_json(result: &ImportResult) -> Value {
    json!({
        "id": result.api_id,
        "name": result.name,
        "resources": result.resources,
        "methods": result.methods,
        "models": result.models,
        "diagnostics": result.diagnostics.iter().map(diagnostic_json).collect::<Vec<_>>(),
        "revision": result.revision.as_ref().map(revision_json),
    })
}

fn imported_text(verb: &str, result: &ImportResult) -> String {
    let ImportResult { api_id, name, resources, methods, models, revision, .. } = result;
    let at = revision.as_ref().map(|revision| format!(" at revision {}", revision.number)).unwrap_or_default();
    format!("{verb} api {api_id} ({name}){at}: {resources} resources, {methods} methods, {models} models")
}

/// Deploys and prints what came of it. What was committed is said even where it is not served in time.
pub(crate) async fn deploy_and_tell(session: &Session, what: Deploy, wait: &Wait) -> Result<(), Failure> {
    let (deployed, waited) = deploy(session, what, wait).await?;
    session.output.either(&deployed.to_json(), &deployed.to_text());
    waited
}

/// Points a stage at a new deployment, or at the one that `what` names, and waits until it is served.
///
/// Answers what was committed, and whether the wait ended well.
///
/// # Errors
/// When nothing was committed, or that is not known.
pub(crate) async fn deploy(
    session: &Session,
    what: Deploy,
    wait: &Wait,
) -> Result<(Deployed, Result<(), Failure>), Failure> {
    let began = Instant::now();
    let (api_id, stage, named) = (what.api_id.clone(), what.stage_name.clone(), what.deployment_id.clone());
    let reply = session.change(vec![operation::Kind::Deploy(what)]).await?;
    let made = reply.results.iter().map(stored_json).find_map(|document| {
        let field = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        field("deploymentId").or_else(|| field("id"))
    });
    let deployment_id = named.or(made).unwrap_or_default();
    let (served, waited) = match wait.served(session, reply.revision.as_ref()).await {
        Ok(served) => (served, Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    let milliseconds = began.elapsed().as_millis();
    Ok((Deployed { api_id, stage, deployment_id, revision: reply.revision, served, milliseconds }, waited))
}

/// What a deployment came to.
pub(crate) struct Deployed {
    api_id: String,
    stage: String,
    deployment_id: String,
    revision: Option<Revision>,
    served: Option<Served>,
    milliseconds: u128,
}

impl Deployed {
    fn to_json(&self) -> Value {
        json!({
            "apiId": self.api_id,
            "stageName": self.stage,
            "deploymentId": self.deployment_id,
            "revision": self.revision.as_ref().map(revision_json),
            "served": self.served.is_some(),
            "milliseconds": u64::try_from(self.milliseconds).unwrap_or(u64::MAX),
            "nodes": self.served.as_ref().map_or_else(|| json!([]), |served| nodes_json(&served.nodes)),
            "addresses": self.addresses(),
        })
    }

    fn to_text(&self) -> String {
        let Self { api_id, stage, deployment_id, .. } = self;
        let number = self.revision.as_ref().map_or(0, |revision| revision.number);
        let mut text = format!("deployed api {api_id} to stage {stage}: deployment {deployment_id}, revision {number}");
        if let Some(served) = &self.served {
            let count = served.nodes.iter().filter(|node| node.state == "served").count();
            let nodes = if count == 1 { "1 data node".to_owned() } else { format!("all {count} data nodes") };
            text.push_str(&format!("\nserved by {nodes} after {} ms", self.milliseconds));
        }
        for address in self.addresses() {
            text.push_str("\n  ");
            text.push_str(&address);
        }
        text
    }

    /// Where each node that serves it is called: by host name where it is this machine, and by path.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let Self { api_id, stage, .. } = self;
        let nodes = self.served.iter().flat_map(|served| &served.nodes).filter(|node| node.state == "served");
        nodes
            .flat_map(|node| {
                let address = node.address.trim_start_matches("http://").trim_end_matches('/');
                let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
                let is_here = sluice_identity::is_loopback(host.trim_matches(['[', ']']));
                let by_host = format!("http://{api_id}.execute-api.localhost:{port}/{stage}");
                let by_path = format!("http://{address}/_aws/execute-api/{api_id}/{stage}");
                is_here.then_some(by_host).into_iter().chain([by_path])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use sluice_proto::admin::NodeServing;

    use super::*;

    #[test]
    fn a_deployment_is_told_with_its_addresses() {
        let node = |address: &str, state: &str| NodeServing {
            address: address.into(),
            state: state.into(),
            ..NodeServing::default()
        };
        let deployed = Deployed {
            api_id: "abcdef1234".into(),
            stage: "prod".into(),
            deployment_id: "d12345".into(),
            revision: Some(Revision { generation: "g".into(), number: 9 }),
            served: Some(Served {
                nodes: vec![node("127.0.0.1:8080", "served"), node("10.0.0.1:80", "served"), node("x:1", "gone")],
            }),
            milliseconds: 12,
        };
        assert_eq!(
            deployed.to_text(),
            "deployed api abcdef1234 to stage prod: deployment d12345, revision 9\n\
             served by all 2 data nodes after 12 ms\n  \
             http://abcdef1234.execute-api.localhost:8080/prod\n  \
             http://127.0.0.1:8080/_aws/execute-api/abcdef1234/prod\n  \
             http://10.0.0.1:80/_aws/execute-api/abcdef1234/prod"
        );
        assert_eq!(deployed.to_json()["revision"]["number"], 9);
        assert_eq!(deployed.to_json()["addresses"].as_array().map(Vec::len), Some(3));
    }
}
