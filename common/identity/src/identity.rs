//! The identity of a node, in memory and on disk.
//!
//! Promise: private keys and the identity file are readable by their owner only (0600); a file is replaced as a whole
//! or not at all, and certificate and key are one file, so that they always belong together. Absent: making certificates
//! (`authority`), joining (`join`), renewal (`renewal`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Credentials, IdentityFailure, NodeRole, Secret, files, tls, write_public, write_secret};

/// Name of the file in a node's identity folder that says who the node is; written last, so that it proves the rest.
pub(crate) const IDENTITY_FILE: &str = "identity.json";
/// The node's certificate, and behind it its private key.
const CREDENTIALS_FILE: &str = "node.pem";
const CA_FILE: &str = "ca.pem";

/// Who a node is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Unique in the cluster; never used again after the node is removed.
    pub node_id: String,
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// What it is.
    pub role: NodeRole,
    /// Raft's number of a control node.
    pub raft_id: Option<u64>,
    /// How it proves that.
    pub trust: Trust,
}

/// How a node proves who it is and verifies others.
#[derive(Debug, Clone)]
pub enum Trust {
    /// It states it in metadata; only on loopback.
    Plaintext,
    /// Mutual TLS under the cluster CA.
    Tls {
        /// PEM of the cluster CA's certificate.
        ca_pem: String,
        /// The node's certificate and private key.
        credentials: Credentials,
    },
}

/// What `identity.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    cluster_id: String,
    node_id: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    raft_id: Option<u64>,
    plaintext: bool,
}

impl Identity {
    /// A node of a cluster without certificates: loopback only.
    pub fn plaintext(cluster_id: &str, role: NodeRole, node_id: &str) -> Self {
        Self {
            node_id: node_id.to_owned(),
            cluster_id: cluster_id.to_owned(),
            role,
            raft_id: None,
            trust: Trust::Plaintext,
        }
    }

    /// Whether this cluster runs without certificates.
    pub fn is_plaintext(&self) -> bool {
        matches!(self.trust, Trust::Plaintext)
    }

    /// Its certificate and private key; none in plaintext.
    pub fn credentials(&self) -> Option<&Credentials> {
        match &self.trust {
            Trust::Plaintext => None,
            Trust::Tls { credentials, .. } => Some(credentials),
        }
    }

    /// Reads the identity kept in `folder`; `None` when there is none yet.
    ///
    /// # Errors
    /// `File` and `Malformed`, when something is there but cannot be used.
    pub fn load(folder: &Path) -> Result<Option<Self>, IdentityFailure> {
        let path = folder.join(IDENTITY_FILE);
        let Some(text) = files::read_if_there(&path)? else { return Ok(None) };
        let malformed = |reason: String| IdentityFailure::Malformed {
            path: path.clone(),
            expected: "the identity of a node",
            reason,
        };
        let stored: Stored = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let role = NodeRole::parse(&stored.role)
            .ok_or_else(|| malformed(format!("expected role control or data, found {:?}", stored.role)))?;
        let trust = if stored.plaintext { Trust::Plaintext } else { load_tls(folder)? };
        let Stored { node_id, cluster_id, raft_id, .. } = stored;
        Ok(Some(Self { node_id, cluster_id, role, raft_id, trust }))
    }

    /// Keeps the identity in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// `File` when a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityFailure> {
        files::make_folder(folder)?;
        if let Trust::Tls { ca_pem, credentials } = &self.trust {
            credentials.save(folder)?;
            write_public(&folder.join(CA_FILE), ca_pem)?;
        }
        let stored = Stored {
            cluster_id: self.cluster_id.clone(),
            node_id: self.node_id.clone(),
            role: self.role.as_str().to_owned(),
            raft_id: self.raft_id,
            plaintext: self.is_plaintext(),
        };
        let text = serde_json::to_string_pretty(&stored).expect("strings, numbers and flags always have a JSON form");
        write_secret(&folder.join(IDENTITY_FILE), &text)
    }

    /// Where the CA's certificate lies in an identity folder: what operators point `--ca-file` at.
    pub fn ca_path(folder: &Path) -> PathBuf {
        folder.join(CA_FILE)
    }
}

fn load_tls(folder: &Path) -> Result<Trust, IdentityFailure> {
    let path = folder.join(CREDENTIALS_FILE);
    let pem = files::read(&path)?;
    // Each reader takes the blocks of its own kind.
    let credentials = Credentials::new(&pem, Secret::new(pem.clone())).map_err(|failure| {
        let expected = "a node's certificate and its private key";
        IdentityFailure::Malformed { path, expected, reason: failure.to_string() }
    })?;
    let path = folder.join(CA_FILE);
    let ca_pem = files::read(&path)?;
    tls::cluster_of_ca(&ca_pem).map_err(|failure| {
        let expected = "the certificate of a cluster's CA";
        IdentityFailure::Malformed { path, expected, reason: failure.to_string() }
    })?;
    Ok(Trust::Tls { ca_pem, credentials })
}

impl Credentials {
    /// Keeps certificate and key in an identity folder, in place of those that are there.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), IdentityFailure> {
        write_secret(&folder.join(CREDENTIALS_FILE), self.to_pem().expose())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;
    use crate::{Authority, NodeNames, certificate_request};

    fn tls_identity() -> Identity {
        let authority = Authority::make("cluster").unwrap().0;
        let (key, request) = certificate_request().unwrap();
        let names = NodeNames { role: NodeRole::Control, node_id: "node", hosts: &[] };
        let signed = authority.sign(&request, &names, Duration::from_secs(3600)).unwrap();
        let credentials = Credentials::new(&signed.pem, key).unwrap();
        Identity {
            raft_id: Some(3),
            trust: Trust::Tls { ca_pem: authority.ca_pem().to_owned(), credentials },
            ..Identity::plaintext("cluster", NodeRole::Control, "node")
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        for identity in [tls_identity(), Identity::plaintext("cluster", NodeRole::Data, "d1")] {
            identity.save(folder.path()).unwrap();
            let loaded = Identity::load(folder.path()).unwrap().unwrap();
            assert_eq!(format!("{loaded:?}"), format!("{identity:?}"));
        }
    }

    #[test]
    fn an_empty_folder_holds_no_identity() {
        assert!(Identity::load(tempfile::tempdir().unwrap().path()).unwrap().is_none());
    }

    #[test]
    fn the_key_and_the_identity_are_readable_by_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        tls_identity().save(folder.path()).unwrap();
        for name in [CREDENTIALS_FILE, IDENTITY_FILE] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_identity_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(IDENTITY_FILE), "{\"role\":1}").unwrap();
        let message = Identity::load(folder.path()).unwrap_err().to_string();
        assert!(message.contains(IDENTITY_FILE), "{message}");
        // Torn, empty, of another node, or not there at all.
        for name in [CREDENTIALS_FILE, CA_FILE] {
            tls_identity().save(folder.path()).unwrap();
            let whole = std::fs::read(folder.path().join(name)).unwrap();
            for kept in [0, whole.len() / 2, whole.len() - 40] {
                std::fs::write(folder.path().join(name), &whole[..kept]).unwrap();
                let message = Identity::load(folder.path()).unwrap_err().to_string();
                assert!(message.contains(name) && message.contains("join it again"), "{kept} of {name}: {message}");
            }
            std::fs::remove_file(folder.path().join(name)).unwrap();
            let message = Identity::load(folder.path()).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
