//! `cluster backup`: the state of the cluster as a file.
//!
//! Promise: a backup stands under its name only when it is whole, on disk, and was read back. Absent: the way back
//! (`restore`), and the cluster key: secrets in the file are sealed under it, so that file and key are kept apart, and both
//! are needed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use sluice_backup::{Reader, Summary};
use sluice_identity::Channel;
use sluice_proto::admin::CreateBackupRequest;
use sluice_rpc::admin::backups_client::BackupsClient;
use tonic::Status;

use crate::{counted::counted, failure::Failure, session::Session, time::utc, upload};

const KEY_REMINDER: &str = "secrets in it are sealed: it is of use only with the cluster key, which is not in it; keep a copy of cluster.key of a \
                            control node's --data-dir, elsewhere than the backup";

/// Copy the configuration and all that the cluster keeps to one file
#[derive(Debug, Args)]
#[command(after_help = "\
The file holds one revision, from any control node. Secrets stay sealed under the cluster key, which is not in it: keep
cluster.key of a control node's --data-dir, apart from the file.

Examples:
  sluice cluster backup sluice.backup
  sluice cluster backup --verify sluice.backup
  sluice cluster backup - | ssh vault 'cat > sluice.backup'")]
pub(crate) struct Backup {
    /// Where to write it; replaced when it is whole. - is stdout
    file: PathBuf,
    /// Only check the file that is there, without a cluster
    #[arg(long)]
    verify: bool,
    /// Take what the control node that answers has, with or without a leader
    #[arg(long, conflicts_with = "verify")]
    stale: bool,
}

impl Backup {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.verify {
            let summary = verified(&self.file)?;
            session
                .output
                .either(&summary_json(&self.file, &summary), &format!("whole: {}", described(&self.file, &summary)));
            return Ok(());
        }
        if self.file.as_os_str() == "-" {
            receive(session, self.stale, &mut || Ok(Box::new(io::stdout()) as Box<dyn Write>)).await?;
            session.output.note(KEY_REMINDER);
            return Ok(());
        }
        let summary = self.to_file(session).await?;
        session
            .output
            .either(&summary_json(&self.file, &summary), &format!("wrote {}", described(&self.file, &summary)));
        session.output.note(KEY_REMINDER);
        Ok(())
    }

    /// Writes the file under another name, reads it back, and renames it.
    async fn to_file(&self, session: &Session) -> Result<Summary, Failure> {
        let begun = partial(&self.file)?;
        let failure = |error: io::Error| Failure::file(&begun, &error);
        let written = async {
            receive(session, self.stale, &mut || Ok(Box::new(create(&begun)?) as Box<dyn Write>)).await?;
            let summary = verified(&begun)?;
            File::open(&begun).and_then(|file| file.sync_all()).map_err(failure)?;
            fs::rename(&begun, &self.file).map_err(|error| Failure::file(&self.file, &error))?;
            Ok(summary)
        };
        let written = written.await;
        if written.is_err() {
            // Not there when it could not be made.
            let _ = fs::remove_file(&begun);
        } else if let Some(folder) = begun.parent() {
            File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
                .and_then(|folder| folder.sync_all())
                .map_err(failure)?;
        }
        written
    }
}

/// The name under which a file is begun, beside its own.
fn partial(file: &Path) -> Result<PathBuf, Failure> {
    let mut name = file.file_name().ok_or_else(|| Failure::usage("expected the name of a file"))?.to_owned();
    name.push(".partial");
    Ok(file.with_file_name(name))
}

/// For its owner only: what clients may do stands in it, if not their secrets.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes the bytes of a backup to what `begin` makes, anew with each control node that is asked.
async fn receive(
    session: &Session,
    stale: bool,
    begin: &mut dyn FnMut() -> io::Result<Box<dyn Write>>,
) -> Result<(), Failure> {
    let bar = upload::bar(session.output);
    bar.set_message("bytes");
    let begin = std::cell::RefCell::new(begin);
    let received = session
        .client
        .attempt(None, async |channel: Channel, _| {
            let reply = BackupsClient::new(channel).create(CreateBackupRequest { stale }).await?;
            let mut replies = reply.into_inner();
            let local =
                |error: io::Error| Status::failed_precondition(format!("the backup could not be written: {error}"));
            let mut out = (*begin.borrow_mut())().map_err(local)?;
            while let Some(reply) = replies.message().await? {
                out.write_all(&reply.chunk).map_err(local)?;
                bar.inc(reply.chunk.len() as u64);
            }
            out.flush().map_err(local)
        })
        .await;
    bar.finish_and_clear();
    received
}

/// Reads a backup to its end.
pub(crate) fn verified(file: &Path) -> Result<Summary, Failure> {
    let opened = File::open(file).map_err(|error| Failure::file(file, &error))?;
    let read = Reader::open(BufReader::new(opened)).and_then(Reader::verify);
    read.map_err(|damage| Failure::failed(format!("{}: {damage}", file.display())))
}

pub(crate) fn described(file: &Path, summary: &Summary) -> String {
    let (header, rows) = (&summary.header, usize::try_from(summary.end.rows).unwrap_or(usize::MAX));
    format!(
        "{}: revision {} of cluster {}, {}, taken {}, {} bytes",
        file.display(),
        header.number,
        header.cluster_id,
        counted(rows, "row"),
        utc(i64::try_from(header.time_ms / 1000).unwrap_or(i64::MAX)),
        summary.bytes
    )
}

fn summary_json(file: &Path, summary: &Summary) -> Value {
    let header = &summary.header;
    json!({
        "file": file.display().to_string(),
        "clusterId": header.cluster_id,
        "revision": {"generation": header.generation, "number": header.number},
        "level": header.level,
        "takenDate": header.time_ms / 1000,
        "version": header.version,
        "rows": summary.end.rows,
        "bytes": summary.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_begun_beside_itself() {
        assert_eq!(partial(Path::new("/var/b/x.backup")).unwrap(), Path::new("/var/b/x.backup.partial"));
        assert_eq!(partial(Path::new("x")).unwrap(), Path::new("x.partial"));
        assert!(partial(Path::new("/")).is_err());
    }

    #[test]
    fn what_is_no_backup_is_refused_by_name_before_anyone_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pets.yaml");
        fs::write(&path, "openapi: 3.0.1").unwrap();
        let failure = verified(&path).unwrap_err();
        assert!(failure.message.contains("pets.yaml: expected a backup made by"), "{}", failure.message);
    }
}
