//! The last-good copy: a base file, and a file of deltas that are appended to it.
//!
//! Promise: what is read back is a whole revision that the node served, or nothing: a torn end of the deltas is cut, a base
//! that is not whole is not served. A new base is renamed into place; deltas of an older base that are still there are
//! skipped by their revisions. The lookup key is sealed under a key of this node (0600).
//! Absent: when it is written (`disk`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use prost::Message;
use sluice_identity::{ClusterKey, IdentityFailure, Sealer};
use sluice_model::{Revision, StateDigest};
use sluice_proto::sync::{
    Delta, FromControl, Row, SnapshotEnd, SnapshotRows, SnapshotStart, Welcome, from_control::Kind,
};
use tracing::{info, warn};

use crate::{
    failure::FollowFailure,
    holding::Holding,
    record,
    row_store::{RowStore, StoredRow},
};

const BASE_FILE: &str = "last-good.base";
const NEW_BASE_FILE: &str = "last-good.base.new";
const DELTA_FILE: &str = "last-good.delta";
const KEY_FILE: &str = "last-good.key";
/// What the sealed lookup key is bound to.
const LOOKUP_KEY_PLACE: &str = "last-good/lookup-key";
/// Bytes of rows in one record of a base.
const CHUNK_BYTES: usize = 256 * 1024;
const FILE_MODE: u32 = 0o600;
/// The first bytes of a base: name and form.
const MAGIC: &[u8; 8] = b"sluice\x00\x01";

/// Where the copy lies, and the key of its secrets.
#[derive(Debug)]
pub(crate) struct LastGood {
    folder: PathBuf,
    sealer: Sealer,
}

/// What the node knows beside the rows: needed to serve, and to find the cluster again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cluster_id: String,
    pub(crate) lookup_key: [u8; 32],
    pub(crate) control_addresses: Vec<String>,
}

/// A copy as it was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) facts: Facts,
    pub(crate) holding: Holding,
    /// Length of the base file.
    pub(crate) base_bytes: u64,
}

/// A whole configuration to be written.
#[derive(Debug)]
pub(crate) struct BaseCopy {
    pub(crate) facts: Facts,
    pub(crate) revision: Revision,
    pub(crate) digest: StateDigest,
    pub(crate) rows: Vec<(sluice_proto::raft::Table, StoredRow)>,
}

impl LastGood {
    /// Makes the folder and its key, if they are missing. A key that is damaged is replaced: what it sealed is lost, and
    /// the node starts without its copy.
    pub(crate) fn open(folder: &Path) -> Result<Self, FollowFailure> {
        fs::create_dir_all(folder).map_err(FollowFailure::file("make", folder))?;
        let path = folder.join(KEY_FILE);
        let key = match ClusterKey::load_or_make(&path) {
            Err(failure) if is_damage(&failure) => {
                warn!(path = %path.display(), error = %failure, "key of the last-good copy is damaged and made anew; the copy is not served");
                let key = ClusterKey::generate()?;
                key.save(&path)?;
                key
            }
            loaded => loaded?,
        };
        Ok(Self { folder: folder.to_owned(), sealer: Sealer::new(&key) })
    }

    /// Says whether there is a copy, which may turn out to be torn.
    pub(crate) fn exists(&self) -> bool {
        self.folder.join(BASE_FILE).exists()
    }

    /// Reads the copy; `None` when there is none that can be served. The torn end of the deltas is cut off the file.
    pub(crate) fn load(&self, cluster_id: &str) -> Option<Loaded> {
        let path = self.folder.join(BASE_FILE);
        let base = match self.read_base(&path) {
            Ok(base) => base,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %path.display(), %error, "last-good copy cannot be read and is not served");
                return None;
            }
        };
        let mut loaded = base.filter(|loaded| loaded.facts.cluster_id == cluster_id).or_else(|| {
            warn!(path = %path.display(), "last-good copy is torn or of another cluster and is not served");
            None
        })?;
        if let Err(error) = self.read_deltas(&mut loaded.holding) {
            warn!(%error, "deltas of the last-good copy cannot be read; the base is served");
        }
        let revision = loaded.holding.revision().expect("a base has a revision");
        info!(revision = revision.number, rows = loaded.holding.rows().len(), "last-good copy read");
        Some(loaded)
    }

    /// Writes a base, durably, and empties the deltas; returns its length.
    pub(crate) fn write_base(&self, base: &BaseCopy) -> io::Result<u64> {
        let (path, new) = (self.folder.join(BASE_FILE), self.folder.join(NEW_BASE_FILE));
        let mut out = BufWriter::new(create(&new)?);
        let bytes = self.write_base_to(&mut out, base)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.folder)?.sync_all()?;
        // Not synced: deltas that come back after a crash are older than the base, and skipped.
        create(&self.folder.join(DELTA_FILE))?;
        Ok(bytes)
    }

    /// The file that deltas are appended to.
    pub(crate) fn deltas(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(self.folder.join(DELTA_FILE))
    }

    fn write_base_to(&self, out: &mut impl Write, base: &BaseCopy) -> io::Result<u64> {
        let sealed = self.sealer.seal(LOOKUP_KEY_PLACE, &base.facts.lookup_key).map_err(io::Error::other)?;
        let welcome = Welcome {
            cluster_id: base.facts.cluster_id.clone(),
            generation: base.revision.generation.to_string(),
            lookup_key: sealed.into_bytes().into(),
            control_addresses: base.facts.control_addresses.clone(),
            ..Welcome::default()
        };
        let revision = Some(sluice_proto::model::Revision::from(&base.revision));
        out.write_all(MAGIC)?;
        let mut bytes = MAGIC.len() as u64;
        let mut put = |kind| {
            let message = FromControl { kind: Some(kind) };
            bytes += record::write(out, base.revision.number, &message.encode_to_vec())?;
            io::Result::Ok(())
        };
        put(Kind::Welcome(welcome))?;
        put(Kind::SnapshotStart(SnapshotStart { revision: revision.clone(), tables: Vec::new() }))?;
        let (mut chunk, mut chunk_bytes) = (Vec::new(), 0);
        for (table, row) in &base.rows {
            let (key, value) = (row.key().to_vec(), row.value().to_vec());
            chunk_bytes += key.len() + value.len();
            chunk.push(Row { table: *table as i32, key: key.into(), number: 0, value: value.into() });
            if chunk_bytes >= CHUNK_BYTES {
                put(Kind::SnapshotRows(SnapshotRows { rows: std::mem::take(&mut chunk) }))?;
                chunk_bytes = 0;
            }
        }
        put(Kind::SnapshotRows(SnapshotRows { rows: chunk }))?;
        let digest = base.digest.to_bytes().to_vec().into();
        put(Kind::SnapshotEnd(SnapshotEnd { revision, digest, rows: base.rows.len() as u64 }))?;
        Ok(bytes)
    }

    /// Reads a base; `None` when it is not whole.
    fn read_base(&self, path: &Path) -> io::Result<Option<Loaded>> {
        let file = File::open(path)?;
        let base_bytes = file.metadata()?.len();
        let mut input = BufReader::new(file);
        let mut magic = [0; MAGIC.len()];
        if input.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Ok(None);
        }
        let Some(Kind::Welcome(welcome)) = next_kind(&mut input)? else { return Ok(None) };
        let Some(facts) = self.facts(welcome) else { return Ok(None) };
        let mut holding = Holding::empty(&facts.cluster_id);
        let Some(Kind::SnapshotStart(SnapshotStart { revision: Some(revision), .. })) = next_kind(&mut input)? else {
            return Ok(None);
        };
        if holding.snapshot_start(revision.into(), &[]).is_err() {
            return Ok(None);
        }
        loop {
            let taken = match next_kind(&mut input)? {
                Some(Kind::SnapshotRows(chunk)) => holding.snapshot_rows(&chunk.rows),
                Some(Kind::SnapshotEnd(end)) => {
                    let taken = holding.snapshot_end(&end.digest, end.rows);
                    return Ok(taken.is_ok().then_some(Loaded { facts, holding, base_bytes }));
                }
                _ => return Ok(None),
            };
            if taken.is_err() {
                return Ok(None);
            }
        }
    }

    fn facts(&self, welcome: Welcome) -> Option<Facts> {
        let sealed = String::from_utf8(welcome.lookup_key.to_vec()).ok()?;
        let opened = self.sealer.open(LOOKUP_KEY_PLACE, &sealed).ok()?;
        Some(Facts {
            cluster_id: welcome.cluster_id,
            lookup_key: opened.expose().as_slice().try_into().ok()?,
            control_addresses: welcome.control_addresses,
        })
    }

    /// Applies the deltas that follow the base, and cuts what does not off the file.
    fn read_deltas(&self, holding: &mut Holding) -> io::Result<()> {
        let path = self.folder.join(DELTA_FILE);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        let mut input = BufReader::new(&file);
        let mut whole = 0;
        while let Some(record) = record::read(&mut input)? {
            let Ok(delta) = Delta::decode(record.payload.as_slice()) else { break };
            let current = holding.revision().expect("a base has a revision");
            let to = delta.to.as_ref().map(Revision::from);
            // Left over from before the base: it is part of it.
            let older = to.is_none_or(|to| !to.same_generation(current) || to.number <= current.number);
            if !older && holding.delta(&delta).is_err() {
                break;
            }
            whole += record.stored_bytes;
        }
        drop(input);
        if whole < len {
            warn!(cut_bytes = len - whole, "end of the deltas is torn and was cut");
            file.set_len(whole)?;
            (&file).seek(SeekFrom::End(0))?;
            file.sync_all()?;
        }
        Ok(())
    }
}

/// Whether the file was read and is no key.
fn is_damage(failure: &IdentityFailure) -> bool {
    match failure {
        IdentityFailure::Sealed { .. } => true,
        // It is not even text.
        IdentityFailure::File { source, .. } => source.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

fn next_kind(input: &mut impl Read) -> io::Result<Option<Kind>> {
    let record = record::read(input)?;
    Ok(record.and_then(|record| FromControl::decode(record.payload.as_slice()).ok()).and_then(|message| message.kind))
}

/// An empty file that only its owner reads.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

impl BaseCopy {
    /// A copy of `rows`, sharing their bytes.
    pub(crate) fn of(facts: Facts, revision: Revision, rows: &RowStore) -> Self {
        Self { facts, revision, digest: rows.digest(), rows: rows.share() }
    }
}

#[cfg(test)]
mod tests;
