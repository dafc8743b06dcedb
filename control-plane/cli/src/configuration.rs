//! `apply`, `diff` and `get`: whole configuration as files.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sluice_proto::{
    admin::{ApplyReply, ApplyRequest, ExportReply, ExportRequest, Object, ObjectResult},
    model::Diagnostic,
};

use crate::{
    args::Consent,
    failure::{Exit, Failure, diagnostic_json},
    freshness::Freshness,
    objects,
    output::{Format, marked, revision_json, yaml},
    session::{Session, config},
    table::{self, Column, column},
};

const COLUMNS: [Column; 4] =
    [column("KIND", "kind"), column("NAME", "name"), column("EFFECT", "effect"), column("ID", "id")];

/// Objects that a question names; more are counted.
const DELETED_SHOWN: usize = 20;

/// The files to read.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// File or folder; - is stdin; may be repeated
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
}

/// Whose files these are.
#[derive(Debug, Args)]
pub(crate) struct Ownership {
    /// What these files make is this owner's; any name, the same each time
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Delete what an earlier apply of this owner made and these files no longer hold
    #[arg(long, requires = "owner")]
    prune: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice apply -f pets.yaml
  sluice apply -f config/ --dry-run
  sluice apply -f config/ --owner shop --prune --yes")]
pub(crate) struct Apply {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    ownership: Ownership,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice diff -f pets.yaml
  sluice diff -f config/ --owner shop --prune")]
pub(crate) struct Diff {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    ownership: Ownership,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice get RestApi pets -o yaml > pets.yaml
  sluice get UsagePlan -o json")]
pub(crate) struct Get {
    /// RestApi, UsagePlan or ApiKey
    kind: String,
    /// Name or id of one object [default: all of the kind]
    name: Option<String>,
    #[command(flatten)]
    freshness: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    Yes,
    No,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let objects = objects::read(&self.files.files)?;
        let commit = if self.dry_run { Commit::No } else { Commit::Yes };
        if self.ownership.prune && commit == Commit::Yes && !self.consent.yes {
            let planned = apply(session, objects.clone(), &self.ownership, Commit::No).await?;
            if let Some(deleted) = deleted(&planned) {
                session.consent(self.consent, &format!("delete {deleted}"))?;
            }
        }
        let reply = apply(session, objects, &self.ownership, commit).await?;
        print(session, &reply);
        Ok(())
    }
}

impl Diff {
    /// Exits 1 for differences, so that a failure must exit with more.
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let objects = objects::read(&self.files.files);
        let reply = match objects {
            Ok(objects) => apply(session, objects, &self.ownership, Commit::No).await,
            Err(failure) => Err(failure),
        };
        let reply = reply.map_err(|failure| match failure.exit {
            Exit::Failed => Failure { exit: Exit::Usage, ..failure },
            _ => failure,
        })?;
        print(session, &reply);
        let is_same = reply.objects.iter().all(|object| object.effect == "unchanged");
        Ok(if is_same { Exit::Done } else { Exit::Failed })
    }
}

async fn apply(
    session: &Session,
    objects: Vec<Object>,
    ownership: &Ownership,
    commit: Commit,
) -> Result<ApplyReply, Failure> {
    let message = ApplyRequest {
        request_id: session.requests.next(),
        objects,
        dry_run: commit == Commit::No,
        owner: ownership.owner.clone(),
        prune: ownership.prune,
    };
    session.client.call(session.timeout, message, async |channel, request| config(channel).apply(request).await).await
}

/// What an apply deletes, in words; none when it deletes nothing.
fn deleted(reply: &ApplyReply) -> Option<String> {
    let gone = reply.objects.iter().filter(|object| object.effect == "deleted");
    let names: Vec<_> = gone.map(|object| format!("{} {}", object.kind, object.name)).collect();
    let shown = names.iter().take(DELETED_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        many if many > DELETED_SHOWN => Some(format!("{shown} and {} more", many - DELETED_SHOWN)),
        _ => Some(shown),
    }
}

fn print(session: &Session, reply: &ApplyReply) {
    session.output.warnings(&reply.diagnostics);
    session.output.either(&reply_json(reply), &reply_text(reply));
}

fn reply_json(reply: &ApplyReply) -> Value {
    json!({
        "items": reply.objects.iter().map(object_json).collect::<Vec<_>>(),
        "revision": reply.revision.as_ref().map(revision_json),
        "diagnostics": reply.diagnostics.iter().map(|found: &Diagnostic| diagnostic_json(found)).collect::<Vec<_>>(),
    })
}

fn object_json(object: &ObjectResult) -> Value {
    json!({
        "kind": object.kind,
        "name": object.name,
        "effect": object.effect,
        "id": object.id,
        "differences": object.differences,
    })
}

fn reply_text(reply: &ApplyReply) -> String {
    let items = reply.objects.iter().map(object_json).collect::<Vec<_>>();
    let mut text = table::lines(&COLUMNS, &items);
    for object in reply.objects.iter().filter(|object| !object.differences.is_empty()) {
        text.push_str(&format!("\n\n{} {}", object.kind, object.name));
        for difference in &object.differences {
            text.push_str("\n  ");
            text.push_str(difference);
        }
    }
    if let Some(revision) = &reply.revision {
        text.push_str(&format!("\n\nrevision {}", revision.number));
    }
    text
}

impl Get {
    /// YAML unless JSON is asked for: what is written here is what `apply` reads.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut objects = Vec::new();
        let mut page_token = None;
        loop {
            let message = ExportRequest {
                kind: self.kind.clone(),
                name: self.name.clone(),
                page_token,
                stale: self.freshness.stale,
                ..ExportRequest::default()
            };
            let reply: ExportReply = session
                .client
                .read(session.timeout, message, async |channel, request| config(channel).export(request).await)
                .await?;
            objects.extend(reply.objects);
            if reply.next_page_token.is_empty() {
                break;
            }
            page_token = Some(reply.next_page_token);
        }
        let stale = session.client.stale();
        let documents = objects.iter().map(document).collect::<Result<Vec<_>, _>>()?;
        match session.output.format() {
            Format::Json => session.output.value(&marked(json!({"items": documents}), stale.as_ref())),
            Format::Table | Format::Yaml => {
                // In the file too, which is kept.
                stale.iter().for_each(|stale| session.output.text(&format!("# {stale}")));
                session.output.text(&yaml_documents(&documents));
            }
        }
        Ok(())
    }
}

/// An object as a document of a file.
fn document(object: &Object) -> Result<Value, Failure> {
    let spec: Value = serde_json::from_str(&object.spec_json)
        .map_err(|failure| Failure::failed(format!("{} {} is not JSON: {failure}", object.kind, object.name)))?;
    Ok(json!({"kind": object.kind, "name": object.name, "spec": spec}))
}

fn yaml_documents(documents: &[Value]) -> String {
    let texts = documents.iter().map(|document| yaml(document).trim_end().to_owned());
    texts.collect::<Vec<_>>().join("\n---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_get_writes_is_what_apply_reads() {
        let object = |name: &str| Object {
            kind: "UsagePlan".into(),
            name: name.into(),
            spec_json: r#"{"throttle":{"rateLimit":2.5,"burstLimit":1},"description":"a: b\n"}"#.into(),
            ..Object::default()
        };
        let documents = [object("gold"), object("no")].iter().map(document).collect::<Result<Vec<_>, _>>().unwrap();
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), yaml_documents(&documents)).unwrap();
        let back = objects::read(&[file.path().to_path_buf()]).unwrap();
        assert_eq!(back.len(), 2);
        for (object, name) in back.iter().zip(["gold", "no"]) {
            assert_eq!((object.kind.as_str(), object.name.as_str()), ("UsagePlan", name));
            assert_eq!(object.spec_json, r#"{"throttle":{"rateLimit":2.5,"burstLimit":1},"description":"a: b\n"}"#);
        }
    }

    #[test]
    fn differences_stand_below_their_object() {
        let object = ObjectResult {
            kind: "ApiKey".into(),
            name: "alice".into(),
            effect: "changed".into(),
            id: "abc".into(),
            differences: vec!["enabled: true -> false".into()],
        };
        let text = reply_text(&ApplyReply { objects: vec![object], ..ApplyReply::default() });
        assert!(text.ends_with("\n\nApiKey alice\n  enabled: true -> false"), "{text}");
    }
}
