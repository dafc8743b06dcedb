//! `cluster restore`: the configuration of a backup, or of an earlier revision, in place of the present one.
//!
//! Promise: a file that is damaged is refused before a control node is asked; what is replaced is said before it is, and what
//! it became after. Absent: what stays of the cluster, which the control plane decides.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sluice_identity::{Channel, read_secret};
use sluice_proto::admin::{
    HistoryReply, HistoryRequest, Moment, RestoreReply, RestoreRequest, RestoreResult, RestoreStart, RewindRequest,
    restore_reply, restore_request, rewind_request,
};
use sluice_rpc::admin::backups_client::BackupsClient;
use tonic::{Status, Streaming};

use crate::{
    args::Consent,
    backup::{described, verified},
    counted::counted,
    failure::Failure,
    output::revision_json,
    session::Session,
    time::{self, utc},
    upload,
};

/// Bytes of one piece of a file.
const CHUNK_BYTES: usize = 256 * 1024;

/// Put the configuration of a backup, or of an earlier revision, in place of the cluster's
#[derive(Debug, Args)]
#[command(after_help = "\
APIs, stages, deployments, plans, keys and settings become those of then, at once and as a new generation; nodes, join
tokens, operators and certificates of the cluster stay. Take a backup first if the present configuration may be wanted.

--to takes an earlier revision from the control node's own log, which reaches some way back: --list says how far.

Examples:
  sluice cluster restore sluice.backup
  sluice cluster restore sluice.backup --cluster-key-file old-cluster.key --yes
  sluice cluster restore --list
  sluice cluster restore --to 1207
  sluice cluster restore --to 2026-11-28T14:00:00Z --yes")]
pub(crate) struct Restore {
    /// The backup
    #[arg(required_unless_present_any = ["to", "list"], conflicts_with_all = ["to", "list"])]
    file: Option<PathBuf>,
    /// Cluster key of the cluster that the backup is from, where it is another one
    #[arg(long, value_name = "FILE", requires = "file")]
    cluster_key_file: Option<PathBuf>,
    /// Earlier revision: its number, or a time (UTC) such as 2026-11-28T14:00:00Z
    #[arg(long, value_name = "REVISION", value_parser = earlier, conflicts_with = "list")]
    to: Option<Earlier>,
    /// Show which earlier revisions the control node can restore
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Which earlier revision is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    Number(u64),
    /// Milliseconds since the epoch.
    Time(u64),
}

fn earlier(text: &str) -> Result<Earlier, String> {
    if let Ok(number) = text.parse() {
        return Ok(Earlier::Number(number));
    }
    let seconds = time::parse_utc(text).and_then(|seconds| u64::try_from(seconds).ok());
    let wrong = || "expected the number of a revision, or a time such as 2026-11-28T14:00:00Z".to_owned();
    // To the end of the second.
    seconds.map(|seconds| Earlier::Time(seconds * 1000 + 999)).ok_or_else(wrong)
}

impl Restore {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.list {
            return list(session).await;
        }
        match (self.to, &self.file) {
            (Some(to), _) => self.rewind(session, to).await,
            (None, Some(file)) => self.take_file(session, file).await,
            (None, None) => Err(Failure::usage("expected a backup, --to or --list")),
        }
    }

    async fn take_file(&self, session: &Session, file: &Path) -> Result<(), Failure> {
        let summary = verified(file)?;
        let cluster_key = match &self.cluster_key_file {
            Some(path) => read_secret(path).map_err(|failure| Failure::failed(failure.to_string()))?.expose().clone(),
            None => String::new(),
        };
        self.ask(session, &described(file, &summary))?;
        let digest = summary.end.digest.to_vec();
        let start = RestoreStart { request_id: session.requests.next(), digest, cluster_key };
        let bar = upload::bar(session.output);
        bar.set_length(summary.end.rows);
        let result = session
            .client
            .attempt(None, async |channel: Channel, _| {
                let file = File::open(file).map_err(|error| Status::failed_precondition(error.to_string()))?;
                let messages = messages(restore_request::Kind::Start(start.clone()), file);
                let replies = BackupsClient::new(channel).restore(tokio_stream::iter(messages)).await?;
                restored(replies.into_inner(), &bar).await
            })
            .await;
        bar.finish_and_clear();
        tell(session, &file.display().to_string(), &result?);
        Ok(())
    }

    async fn rewind(&self, session: &Session, to: Earlier) -> Result<(), Failure> {
        let (to, what) = match to {
            Earlier::Number(number) => (rewind_request::To::Number(number), format!("revision {number}")),
            Earlier::Time(time_ms) => {
                (rewind_request::To::TimeMs(time_ms), format!("what they were at {}", said(time_ms)))
            }
        };
        self.ask(session, &what)?;
        let message = RewindRequest { request_id: session.requests.next(), to: Some(to) };
        let bar = upload::bar(session.output);
        let result = session
            .client
            .attempt(None, async |channel: Channel, _| {
                let replies = BackupsClient::new(channel).rewind(message.clone()).await?;
                restored(replies.into_inner(), &bar).await
            })
            .await;
        bar.finish_and_clear();
        tell(session, &what, &result?);
        Ok(())
    }

    fn ask(&self, session: &Session, with: &str) -> Result<(), Failure> {
        session.consent(self.consent, &format!("replace all APIs, stages, plans and keys of the cluster with {with}"))
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let reply = session
        .client
        .read(session.timeout, HistoryRequest {}, async |channel, request| {
            BackupsClient::new(channel).history(request).await
        })
        .await?;
    let HistoryReply { from, to, node_id } = reply;
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let value = json!({"from": moment_json(&from), "to": moment_json(&to), "answeredBy": node_id});
    let number = |moment: &Moment| moment.revision.as_ref().map_or(0, |revision| revision.number);
    let text = format!(
        "control node {node_id} can restore revisions {} to {}, of {} to {}",
        number(&from),
        number(&to),
        said(from.time_ms),
        said(to.time_ms)
    );
    session.output.either(&value, &text);
    Ok(())
}

fn moment_json(moment: &Moment) -> Value {
    json!({"revision": moment.revision.as_ref().map(revision_json), "date": moment.time_ms / 1000})
}

fn said(time_ms: u64) -> String {
    utc(i64::try_from(time_ms / 1000).unwrap_or(i64::MAX))
}

/// The file as a stream. One that cannot be read to its end is cut there, which the control node finds.
fn messages(start: restore_request::Kind, mut file: File) -> impl Iterator<Item = RestoreRequest> + Send {
    let pieces = std::iter::from_fn(move || {
        let mut piece = vec![0; CHUNK_BYTES];
        let read = file.read(&mut piece).ok().filter(|read| *read > 0)?;
        piece.truncate(read);
        Some(restore_request::Kind::Chunk(piece))
    });
    std::iter::once(start).chain(pieces).map(|kind| RestoreRequest { kind: Some(kind) })
}

async fn restored(mut replies: Streaming<RestoreReply>, bar: &ProgressBar) -> Result<RestoreResult, Status> {
    bar.set_message("rows staged");
    while let Some(reply) = replies.message().await? {
        match reply.kind {
            Some(restore_reply::Kind::Result(result)) => return Ok(result),
            Some(restore_reply::Kind::Progress(progress)) => bar.set_position(progress.rows_staged),
            None => {}
        }
    }
    Err(Status::unavailable("the control node ended the restore without a result"))
}

fn tell(session: &Session, from: &str, result: &RestoreResult) {
    let (revision, replaced) =
        (result.revision.clone().unwrap_or_default(), result.replaced.clone().unwrap_or_default());
    let value = json!({
        "restored": {"from": from, "rows": result.rows, "resealed": result.resealed},
        "revision": revision_json(&revision),
        "replaced": revision_json(&replaced),
    });
    let text = format!(
        "restored {}: {from}\ngeneration {}, revision {}\nbefore: generation {}, revision {}\ndata nodes take it as a whole: \
         see `sluice node list`",
        counted(usize::try_from(result.rows).unwrap_or(usize::MAX), "row"),
        revision.generation,
        revision.number,
        replaced.generation,
        replaced.number
    );
    session.output.either(&value, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_goes_first_and_the_file_follows_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        std::fs::write(&path, vec![7; CHUNK_BYTES + 1]).unwrap();
        let start = restore_request::Kind::Start(RestoreStart::default());
        let sizes = messages(start, File::open(&path).unwrap()).map(|message| match message.kind {
            Some(restore_request::Kind::Chunk(chunk)) => chunk.len(),
            _ => 0,
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [0, CHUNK_BYTES, 1]);
    }

    #[test]
    fn an_earlier_revision_is_a_number_or_a_time() {
        assert_eq!(earlier("1207"), Ok(Earlier::Number(1207)));
        assert_eq!(earlier("2023-11-14T22:13:20Z"), Ok(Earlier::Time(1_700_000_000_999)));
        assert_eq!(earlier("2023-11-14 22:13:20Z"), Ok(Earlier::Time(1_700_000_000_999)));
        for wrong in
            ["", "yesterday", "-1", "2023-11-14", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z"]
        {
            assert!(earlier(wrong).is_err(), "{wrong}");
        }
    }
}
