//! `key`: API keys.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use sluice_identity::Channel;
use sluice_model::ids::KEY_ID_CHARS;
use sluice_proto::{
    admin::{ImportCsvReply, ImportCsvRequest, ImportCsvResult, ImportCsvStart, import_csv_reply, import_csv_request},
    model::{ApiKey, Kind, document},
};
use sluice_rpc::admin::keys_client::KeysClient;
use tonic::{Status, Streaming};

use crate::{
    args::{Consent, Page},
    assignment::replace,
    counted::counted,
    failure::{Exit, Failure, diagnostic_json},
    freshness::Freshness,
    noun::Noun,
    output::revision_json,
    session::{Session, ShowValue, id_of_stored},
    table::{column, time},
    upload,
};

pub(crate) const KEY: Noun = Noun {
    kind: Kind::ApiKey,
    word: "key",
    id_chars: Some(KEY_ID_CHARS),
    columns: &[
        column("ID", "id"),
        column("NAME", "name"),
        column("ENABLED", "enabled"),
        time("CREATED", "createdDate"),
        column("DESCRIPTION", "description"),
    ],
    absent: &[("enabled", true)],
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a key; its value is made if none is given, and shown in the answer
    #[command(after_help = "\
Examples:
  sluice key create alice
  sluice key create alice -o json | jq -r .value
  sluice key create bob --value-file ./bob.key")]
    Create {
        /// Name; need not be unique
        name: String,
        /// File with the value, 20 to 128 characters; - is stdin
        #[arg(long, value_name = "FILE")]
        value_file: Option<PathBuf>,
        /// Description
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Identifier at AWS Marketplace
        #[arg(long, value_name = "ID")]
        customer_id: Option<String>,
    },
    /// List the keys, without their values
    #[command(after_help = "Example:\n  sluice key list --all -o json")]
    List(#[command(flatten)] Page),
    /// Show a key
    #[command(after_help = "Example:\n  sluice key get alice --show-value")]
    Get {
        /// Id or name
        key: String,
        /// Show the value too
        #[arg(long)]
        show_value: bool,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Let a key be used again; `disable` is the opposite
    #[command(after_help = "Example:\n  sluice key enable alice")]
    Enable {
        /// Id or name
        key: String,
    },
    /// Refuse a key from now on; `enable` is the opposite
    #[command(after_help = "Example:\n  sluice key disable alice")]
    Disable {
        /// Id or name
        key: String,
    },
    /// Delete a key
    #[command(after_help = "Example:\n  sluice key delete alice --yes")]
    Delete {
        /// Id or name
        key: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Import keys from AWS's CSV: name,key,description,enabled,usageplanIds; may be repeated after an interruption
    #[command(after_help = "Example:\n  sluice key import keys.csv")]
    Import {
        /// The CSV; - is stdin
        file: PathBuf,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create { name, value_file, description, customer_id } => {
                let value = value_file.map(value_of).transpose()?;
                let key = ApiKey { name, value, description, customer_id, ..ApiKey::default() };
                create(session, key).await
            }
            Self::List(page) => KEY.list(session, &[], &page).await,
            Self::Get { key, show_value, freshness } => {
                let session = &session.reading(freshness);
                let show_value = if show_value { ShowValue::Yes } else { ShowValue::No };
                KEY.get(session, &[&session.id_of(&KEY, &key).await?], show_value).await
            }
            Self::Enable { key } => set_enabled(session, &key, "enabled", "true").await,
            Self::Disable { key } => set_enabled(session, &key, "disabled", "false").await,
            Self::Delete { key, consent } => {
                KEY.delete(session, &[&session.id_of(&KEY, &key).await?], &key, consent).await
            }
            Self::Import { file } => import(session, &file).await,
        }
    }
}

async fn create(session: &Session, key: ApiKey) -> Result<(), Failure> {
    let reply = KEY.put_new(session, document::Kind::ApiKey(key)).await?;
    let value = reply.results.iter().find_map(|stored| match stored.document.as_ref()?.kind.as_ref()? {
        document::Kind::ApiKey(key) => key.value.clone(),
        _ => None,
    });
    let id = reply.results.first().and_then(id_of_stored).unwrap_or_default();
    KEY.print_changed(session, "created", reply);
    if let (crate::output::Format::Table, Some(value)) = (session.output.format(), value) {
        session.output.text(&format!("value {value}"));
    }
    session
        .output
        .unwritten_but(&format!("the key was made, its id is {id}: `sluice key get {id} --show-value` shows its value"))
}

fn value_of(file: PathBuf) -> Result<String, Failure> {
    let text = String::from_utf8(upload::read(&file)?);
    let text = text.map_err(|_| Failure::failed(format!("{}: expected text", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn set_enabled(session: &Session, key: &str, verb: &str, value: &str) -> Result<(), Failure> {
    let id = session.id_of(&KEY, key).await?;
    KEY.patch(session, verb, &[&id], vec![replace("enabled", value)]).await
}

async fn import(session: &Session, file: &std::path::Path) -> Result<(), Failure> {
    let bytes = upload::read(file)?;
    let start = ImportCsvStart { request_id: session.requests.next(), size: bytes.len() as u64 };
    let bar = upload::bar(session.output);
    bar.set_message("rows");
    bar.set_length(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count().saturating_sub(1) as u64);
    let result = session
        .client
        .attempt(None, async |channel: Channel, _| {
            let messages = upload::messages(
                import_csv_request::Kind::Start(start.clone()),
                &bytes,
                import_csv_request::Kind::Chunk,
            );
            let stream = tokio_stream::iter(messages.into_iter().map(|kind| ImportCsvRequest { kind: Some(kind) }));
            imported(KeysClient::new(channel).import_csv(stream).await?.into_inner(), &bar).await
        })
        .await;
    bar.finish_and_clear();
    report(session, &result?)
}

/// Follows the progress of an import to its result.
async fn imported(
    mut replies: Streaming<ImportCsvReply>,
    bar: &indicatif::ProgressBar,
) -> Result<ImportCsvResult, Status> {
    while let Some(reply) = replies.message().await? {
        match reply.kind {
            Some(import_csv_reply::Kind::Result(result)) => return Ok(result),
            Some(import_csv_reply::Kind::Progress(progress)) => bar.set_position(progress.rows_done),
            None => {}
        }
    }
    Err(Status::unavailable("the control node ended the import without a result"))
}

/// Rows fail one by one: the others are there, and the exit status says that some are not.
fn report(session: &Session, result: &ImportCsvResult) -> Result<(), Failure> {
    let ImportCsvResult { created, unchanged, failed, diagnostics, revision } = result;
    let value = json!({
        "created": created,
        "unchanged": unchanged,
        "failed": failed,
        "diagnostics": diagnostics.iter().map(diagnostic_json).collect::<Vec<_>>(),
        "revision": revision.as_ref().map(revision_json),
    });
    let at = revision.as_ref().map(|revision| format!(" at revision {}", revision.number)).unwrap_or_default();
    let keys = counted(usize::try_from(*created).unwrap_or(usize::MAX), "key");
    session.output.either(&value, &format!("created {keys}{at}, {unchanged} unchanged, {failed} failed"));
    if *failed == 0 {
        session.output.warnings(diagnostics);
        return Ok(());
    }
    let rows = counted(usize::try_from(*failed).unwrap_or(usize::MAX), "row");
    let message = format!("could not import {rows}; the others are there");
    Err(Failure { diagnostics: diagnostics.clone(), ..Failure::new(Exit::Failed, "rows-failed", message) })
}
