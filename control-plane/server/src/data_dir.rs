//! Where a control node keeps what: the layout of `--data-dir`.
//!
//! ```text
//! identity/       who the node is: identity.json, node.pem (certificate and key; 0600), ca.pem
//! cluster.key     the key that seals, and those before it that still open something, one a line; 0600
//! operator.token  the first operator's token, where the cluster was founded; 0600
//! founding        the first command, until it is committed; 0600
//! ballast         disk that is given up when there is no other: made by `sluice-raft`
//! member          whose promises `raft/` holds, once it holds any: made and checked by `sluice-raft`
//! raft/           log, state and snapshots
//! ```
//! Promise: the identity is written last, so that a folder either holds a whole node or none.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use prost::Message as _;
use sluice_identity::{Founding, Identity, IdentityFailure, Keyring, NodeRole, write_secret};
use sluice_proto::raft::FoundCluster;

use crate::StartFailure;

const FOLDER_MODE: u32 = 0o700;

/// The folder of a node.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn identity_folder(&self) -> PathBuf {
        NodeRole::Control.identity_folder(&self.root)
    }

    pub(crate) fn cluster_key_path(&self) -> PathBuf {
        self.root.join("cluster.key")
    }

    /// The first operator's token.
    pub(crate) fn operator_token_path(&self) -> PathBuf {
        self.root.join("operator.token")
    }

    fn founding_path(&self) -> PathBuf {
        self.root.join("founding")
    }

    /// The node that lives here.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, StartFailure> {
        Ok(Identity::of_folder(&self.root, NodeRole::Control)?)
    }

    pub(crate) fn cluster_keys(&self) -> Result<Keyring, StartFailure> {
        let path = self.cluster_key_path();
        Keyring::load(&path)?.ok_or(StartFailure::Missing { path })
    }

    /// Keeps a cluster that is about to begin.
    pub(crate) fn keep_founding(&self, founding: &Founding) -> Result<(), StartFailure> {
        // The identity folder is made first, and the root with it: for the owner only, as they hold secrets.
        let folder = self.identity_folder();
        let make = |source| IdentityFailure::File { action: "make", path: folder.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(make)?;
        Keyring::save(&self.cluster_key_path(), std::slice::from_ref(&founding.cluster_key))?;
        write_secret(&self.operator_token_path(), founding.operator_token.expose())?;
        write_secret(&self.founding_path(), founding.command.encode_to_vec())?;
        founding.identity.save(&folder)?;
        Ok(())
    }

    /// The first command of a cluster whose founding was not finished.
    pub(crate) fn founding(&self) -> Result<Option<FoundCluster>, StartFailure> {
        let path = self.founding_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityFailure::File { action: "read", path, source }.into()),
        };
        let command = FoundCluster::decode(&*bytes).map_err(|error| IdentityFailure::Malformed {
            path,
            expected: "the first command of a cluster",
            reason: error.to_string(),
        })?;
        Ok(Some(command))
    }

    /// The first command is committed.
    pub(crate) fn founded(&self) -> Result<(), StartFailure> {
        let path = self.founding_path();
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(IdentityFailure::File { action: "remove", path, source }.into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use sluice_identity::{FoundingRequest, found};

    use super::*;

    #[test]
    fn a_kept_founding_is_a_whole_node_whose_secrets_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(&folder.path().join("node"));
        assert!(data.identity().unwrap().is_none() && data.founding().unwrap().is_none());
        let founding =
            found(FoundingRequest::Certified { hosts: &["localhost"], life: Duration::from_secs(60), now_ms: 1 })
                .unwrap();
        data.keep_founding(&founding).unwrap();
        assert_eq!(data.identity().unwrap().unwrap().node_id, founding.identity.node_id);
        assert_eq!(data.cluster_keys().unwrap().all(), [founding.cluster_key]);
        assert_eq!(data.founding().unwrap().unwrap(), founding.command);
        for path in [data.cluster_key_path(), data.operator_token_path(), data.founding_path()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        data.founded().unwrap();
        data.founded().unwrap();
        assert!(data.founding().unwrap().is_none());
    }

    #[test]
    fn the_folder_of_a_data_node_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Identity::plaintext("c1", NodeRole::Data, "d1").save(folder.path()).unwrap();
        let refused = DataDir::new(folder.path()).identity().unwrap_err().to_string();
        assert!(refused.contains("holds a data node"), "{refused}");
    }

    #[test]
    fn a_lost_cluster_key_is_named() {
        let data = DataDir::new(tempfile::tempdir().unwrap().path());
        assert!(data.cluster_keys().unwrap_err().to_string().contains("cluster.key"));
    }
}
