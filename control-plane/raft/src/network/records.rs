//! What this node has heard of its peers: free disk, clock, when.
//!
//! Promise: soft state, as of the last message; offsets of clocks decide nothing but who should not lead (`raft::clock`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The last that was heard of one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerRecord {
    pub(crate) free_bytes: Option<u64>,
    /// Its wall clock less this node's, to about half a round trip.
    pub(crate) clock_offset_ms: i64,
    pub(crate) heard: Instant,
}

/// Records of all peers, and this node's own free disk. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    peers: Arc<Mutex<BTreeMap<u64, PeerRecord>>>,
    free_bytes: Arc<AtomicU64>,
    data_dir: PathBuf,
    clock_skew_ms: i64,
}

impl Records {
    pub(crate) fn new(data_dir: PathBuf, clock_skew_ms: i64) -> Self {
        let records = Self { peers: Arc::default(), free_bytes: Arc::default(), data_dir, clock_skew_ms };
        records.measure_disk();
        records
    }

    /// Notes what `peer` said of itself: its wall clock was `wall_ms` about `ago` ago.
    pub(crate) fn heard(&self, peer: u64, wall_ms_of_peer: u64, ago: Duration, free_bytes: Option<u64>) {
        let then = i128::from(self.wall_ms()) - i128::try_from(ago.as_millis()).unwrap_or(i128::MAX);
        let offset = i64::try_from(i128::from(wall_ms_of_peer) - then).unwrap_or(i64::MAX);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = peers.get(&peer).and_then(|record| record.free_bytes);
        let free_bytes = free_bytes.or(before);
        peers.insert(peer, PeerRecord { free_bytes, clock_offset_ms: offset, heard: Instant::now() });
    }

    pub(crate) fn of(&self, peer: u64) -> Option<PeerRecord> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).copied()
    }

    /// Free bytes of this node's disk, when it was last measured.
    pub(crate) fn own_free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// This node's wall clock, milliseconds since the epoch.
    pub(crate) fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(self.clock_skew_ms)
    }

    /// Asks the file system. A file system that does not answer leaves the last measure.
    pub(crate) fn measure_disk(&self) {
        if let Some(free) = measured(&self.data_dir) {
            self.free_bytes.store(free, Ordering::Relaxed);
        }
    }
}

/// Free bytes of the disk that holds `folder`; as many as can be where the file system does not say.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    measured(folder).unwrap_or(u64::MAX)
}

fn measured(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}
