//! `api`: create, list, get, delete, import, deploy.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sluice_identity::Channel;
use sluice_model::ids::API_ID_CHARS;
use sluice_proto::{
    admin::{Deploy, ImportReply, ImportRequest, ImportResult, ImportStart, import_reply, import_request},
    model::{Kind, RestApi, document},
};
use sluice_rpc::admin::apis_client::ApisClient;
use tonic::{Status, Streaming};

use crate::{
    args::{Consent, Page, stage_name},
    counted::counted,
    deploy::deploy_and_tell,
    failure::{Failure, diagnostic_json},
    fleet::Wait,
    freshness::Freshness,
    node::broken_on,
    noun::Noun,
    output::revision_json,
    session::{Session, ShowValue},
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
    absent: &[],
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
    /// Show an API, with the data nodes that serve an older form of it and why
    #[command(after_help = "Example:\n  sluice api get pets -o yaml")]
    Get {
        /// Id or name
        api: String,
        #[command(flatten)]
        freshness: Freshness,
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
        #[arg(long, value_parser = stage_name, value_name = "STAGE")]
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
            Self::Get { api, freshness } => {
                let session = &session.reading(freshness);
                let api_id = session.id_of(&API, &api).await?;
                let mut shown = API.json(&session.get(&API, &[&api_id], ShowValue::No).await?);
                shown["brokenOn"] = broken_on(session, &api_id).await?;
                session.show(&shown);
                Ok(())
            }
            Self::Delete { api, consent } => {
                API.delete(session, &[&session.id_of(&API, &api).await?], &api, consent).await
            }
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
        request_id: session.requests.next(),
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
    let count = |count: u32, noun| counted(usize::try_from(count).unwrap_or(usize::MAX), noun);
    let (resources, methods) = (count(*resources, "resource"), count(*methods, "method"));
    format!("{verb} api {api_id} ({name}){at}: {resources}, {methods}, {}", count(*models, "model"))
}
