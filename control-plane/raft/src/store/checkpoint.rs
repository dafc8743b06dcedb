//! A checkpoint of the state on disk: what Raft calls a snapshot.
//!
//! Promise: its folder has its name, which is its log id, only once it is whole and synced; so the log may be dropped
//! up to there. It is removed when a newer one has taken its place and nobody sends it any more.
//! Absent: what travels (`image`).

use std::{fs, io, path::Path, sync::Arc};

use rocksdb::{DB, checkpoint::Checkpoint};

use super::{
    Applied, StateStore,
    folders::{Folder, Folders, sync, sync_files},
    options, read_applied,
};
use crate::{durable::snapshot_name, fail::Point, types::SnapshotMeta};

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

    /// The newest whole checkpoint that an earlier process left.
    pub(crate) fn newest(folders: &Folders) -> io::Result<Option<Arc<Self>>> {
        let mut newest: Option<Self> = None;
        for name in super::folders::names(&folders.snapshots())? {
            let path = folders.snapshots().join(&name);
            if !path.is_dir() || name == "building" {
                continue;
            }
            let Applied { log_id, membership } = applied_at(&path)?;
            if newest.as_ref().is_none_or(|newest| newest.meta.last_log_id < log_id) {
                let meta = SnapshotMeta { last_log_id: log_id, last_membership: membership };
                newest = Some(Self { meta, folder: Folder::new(path) });
            }
        }
        Ok(newest.map(Arc::new))
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
