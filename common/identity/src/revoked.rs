//! The nodes that were removed: who shows a certificate of theirs is refused.
//!
//! Promise: one list for a node's gates and its dialers, so that what it has learned holds at once for the next call and the
//! next connection; a removed node is told so in a way that it can tell from any other refusal. Absent: where the list
//! comes from (the replicated state; for data nodes their control node).

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tonic::{Status, metadata::MetadataValue};

/// Metadata of a refusal that says: this node was removed from the cluster.
const REMOVED_METADATA: &str = "x-sluice-removed";
/// Exit status of a daemon that was removed from its cluster, for its supervisor: it is not to be started again. `EX_NOPERM`
/// of sysexits.h.
pub const REMOVED_STATUS: u8 = 77;
/// For the refusal to reach the removed node before its connection is closed.
const TELLING: Duration = Duration::from_secs(1);

/// Ids of removed nodes. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    ids: Arc<RwLock<BTreeSet<String>>>,
}

impl Revoked {
    /// Whether this node was removed.
    pub fn contains(&self, node_id: &str) -> bool {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).contains(node_id)
    }

    /// These were removed, and no others.
    pub fn set(&self, ids: BTreeSet<String>) {
        if *self.ids.read().unwrap_or_else(PoisonError::into_inner) != ids {
            *self.ids.write().unwrap_or_else(PoisonError::into_inner) = ids;
        }
    }

    /// These were removed too; of more than `most` none is added.
    pub fn extend(&self, ids: impl IntoIterator<Item = String>, most: usize) {
        let mut known = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if known.len() < most {
                known.insert(id);
            }
        }
    }
}

/// What a removed node is told.
pub fn removed(node_id: &str) -> Status {
    let mut status = Status::permission_denied(format!(
        "node {node_id} was removed from this cluster and is refused; to come back, the machine joins as a new node, with a \
         new token and an empty --data-dir"
    ));
    status.metadata_mut().insert(REMOVED_METADATA, MetadataValue::from_static("true"));
    status
}

/// Whether `status` tells its receiver that it was removed.
pub fn says_removed(status: &Status) -> bool {
    status.metadata().contains_key(REMOVED_METADATA)
}

/// The end of a connection whose caller was refused for good, shared by the connection and what refuses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Farewell(Arc<OnceLock<Instant>>);

impl Farewell {
    /// The caller is being told.
    pub(crate) fn say(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// Whether it has had its time to hear it.
    pub(crate) fn is_over(&self) -> bool {
        self.0.get().is_some_and(|said| said.elapsed() > TELLING)
    }
}

impl PartialEq for Farewell {
    /// Of one connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Farewell {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_is_known_and_a_list_that_only_grows_has_an_end() {
        let revoked = Revoked::default();
        let shared = revoked.clone();
        shared.set(BTreeSet::from(["a".to_owned()]));
        assert!(revoked.contains("a") && !revoked.contains("b"));
        revoked.extend(["b", "c", "d"].map(str::to_owned), 3);
        assert!(shared.contains("a") && shared.contains("c") && !shared.contains("d"));
        revoked.set(BTreeSet::new());
        assert!(!shared.contains("a"));
    }

    #[test]
    fn a_removed_node_tells_its_refusal_from_any_other() {
        let status = removed("d1");
        assert!(says_removed(&status) && status.message().contains("node d1"));
        assert!(!says_removed(&Status::permission_denied("another reason")));
        // As it travels.
        let travelled = Status::from_header_map(status.into_http::<()>().headers()).unwrap();
        assert!(says_removed(&travelled));
    }
}
