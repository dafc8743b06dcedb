//! A checkpoint of the state on disk: what Raft calls a snapshot.
//!
//! Promise: its folder has its name, which is its log id, only once it is whole and synced; so the log may be dropped
//! up to there. It is removed when a newer one has taken its place and nobody sends it any more.
//! Absent: what travels (`image`).

use std::{fs, io, path::Path, sync::Arc};

use rocksdb::{DB, IteratorMode, checkpoint::Checkpoint};
use sluice_state::{Rows, Tables, View};
use tracing::warn;

use super::{
    Applied, StateStore,
    folders::{Folder, Folders, sync, sync_files},
    options, range, read_applied, rows,
};
use crate::{
    durable::snapshot_name,
    fail::Point,
    failure::stop_process,
    rewind::{Moment, moment_of},
    types::SnapshotMeta,
};

/// A whole, synced checkpoint.
pub(crate) struct StateCheckpoint {
    meta: SnapshotMeta,
    folder: Folder,
}

impl StateCheckpoint {
    /// Takes one of `store`. It holds what was applied when it was taken, which may be more than when it was asked for.
    pub(crate) fn take(store: &StateStore, folders: &Folders) -> io::Result<Arc<Self>> {
        let building = folders.snapshots().join("building");
        if building.exists() {
            fs::remove_dir_all(&building)?;
        }
        Checkpoint::new(store.db())
            .and_then(|checkpoint| checkpoint.create_checkpoint(&building))
            .map_err(io::Error::other)?;
        sync_files(&building)?;
        let Applied { log_id, membership } = applied_at(&building)?;
        let path = folders.snapshots().join(snapshot_name(log_id.as_ref()));
        if path.exists() {
            fs::remove_dir_all(&building)?;
        } else {
            folders.hit(Point::CheckpointBeforeName);
            fs::rename(&building, &path)?;
            sync(&folders.snapshots())?;
            folders.hit(Point::CheckpointAfterName);
        }
        let meta = SnapshotMeta { last_log_id: log_id, last_membership: membership };
        Ok(Arc::new(Self { meta, folder: Folder::new(path) }))
    }

    /// The whole checkpoints that an earlier process left, oldest first. One that cannot be opened is left aside, and with it
    /// nothing is lost: another is taken.
    pub(crate) fn all(folders: &Folders) -> io::Result<Vec<Arc<Self>>> {
        let mut found = Vec::new();
        for name in super::folders::names(&folders.snapshots())? {
            let path = folders.snapshots().join(&name);
            if !path.is_dir() || name == "building" {
                continue;
            }
            match applied_at(&path) {
                Ok(Applied { log_id, membership }) => {
                    let meta = SnapshotMeta { last_log_id: log_id, last_membership: membership };
                    found.push(Arc::new(Self { meta, folder: Folder::new(path) }));
                }
                Err(error) => warn!(path = %path.display(), %error, "a checkpoint of the state is damaged and removed"),
            }
        }
        found.sort_by_key(|checkpoint| checkpoint.meta.last_log_id);
        Ok(found)
    }

    /// The moment that it shows; none before the cluster was founded.
    pub(crate) fn moment(&self) -> io::Result<Option<Moment>> {
        Ok(moment_of(&View(ReadOnly(self.open()?))))
    }

    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A newer one has taken its place.
    pub(crate) fn retire(&self) {
        self.folder.retire();
    }

    /// Opens its rows.
    pub(crate) fn open(&self) -> io::Result<DB> {
        DB::open_for_read_only(&options(), self.path(), false).map_err(io::Error::other)
    }
}

fn applied_at(path: &Path) -> io::Result<Applied> {
    let db = DB::open_for_read_only(&options(), path, false).map_err(io::Error::other)?;
    read_applied(&db).map_err(io::Error::other)
}

/// The rows of a checkpoint.
struct ReadOnly(DB);

impl Tables for ReadOnly {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).unwrap_or_else(|error| stop_process("reading a checkpoint", &error))
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.0.iterator_opt(IteratorMode::Start, range)),
            None => Box::new(std::iter::empty()),
        }
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        match range(from, to) {
            Some(range) => rows(self.0.iterator_opt(IteratorMode::End, range)),
            None => Box::new(std::iter::empty()),
        }
    }
}
