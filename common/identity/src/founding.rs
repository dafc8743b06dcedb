//! How a cluster begins: its id, CA, key and first operator's token.
//!
//! Promise: everything is random; the CA's key and the lookup key leave here only sealed. Absent: files and Raft (the
//! server writes the first and proposes the command).

use std::time::Duration;

use sluice_proto::raft::{FoundCluster, Stamp};
use uuid::Uuid;

use crate::{
    Authority, ClusterKey, Credentials, Identity, IdentityFailure, Keyring, NodeNames, NodeRole, Sealer, Secret, Trust,
    certificate_request, random_token, secret::random_bytes, token_hash,
};

/// The place of the CA's key, for the sealer.
pub(crate) const CA_KEY_PLACE: &str = "ca-key";
/// The place of the lookup key of API keys, for the sealer.
pub(crate) const LOOKUP_KEY_PLACE: &str = "lookup-key";
/// Raft's number of the node that founds a cluster.
const FOUNDER_RAFT_ID: u64 = 1;

/// What founding depends on.
#[derive(Debug, Clone, Copy)]
pub enum FoundingRequest<'a> {
    /// A cluster without certificates: every listener is on loopback.
    Plaintext {
        /// Wall clock, milliseconds since the epoch.
        now_ms: u64,
    },
    /// A cluster with certificates.
    Certified {
        /// Hosts that the founding node announces; they stand in its certificate.
        hosts: &'a [&'a str],
        /// How long its certificate is good.
        life: Duration,
        /// Wall clock, milliseconds since the epoch.
        now_ms: u64,
    },
}

/// A cluster about to begin.
#[derive(Debug)]
pub struct Founding {
    /// The founding node.
    pub identity: Identity,
    /// Goes to a 0600 file on control nodes.
    pub cluster_key: ClusterKey,
    /// The first operator's token; goes to a 0600 file.
    pub operator_token: Secret<String>,
    /// The first command of the cluster's log.
    pub command: FoundCluster,
}

/// Makes a cluster id, a generation, the cluster CA and key, the lookup key and the first operator's token.
///
/// # Errors
/// `Random`, or `Certificate` when a host cannot stand in a certificate.
pub fn found(request: FoundingRequest<'_>) -> Result<Founding, IdentityFailure> {
    let cluster_id = Uuid::from_bytes(random_bytes()?).simple().to_string();
    let node_id = new_node_id()?;
    let cluster_key = ClusterKey::generate()?;
    let sealer = Sealer::new(&cluster_key);
    let operator_token = random_token("slo_")?;
    let lookup_key: [u8; 32] = random_bytes()?;
    let mut command = FoundCluster {
        generation: uuid::Builder::from_random_bytes(random_bytes()?).into_uuid().to_string(),
        sealed_lookup_key: sealer.seal(LOOKUP_KEY_PLACE, &lookup_key)?,
        bootstrap_token_hash: token_hash(operator_token.expose()).as_bytes().to_vec().into(),
        cluster_id,
        ..FoundCluster::default()
    };
    let mut identity = Identity::plaintext(&command.cluster_id, NodeRole::Control, &node_id);
    identity.raft_id = Some(FOUNDER_RAFT_ID);
    let now_ms = match request {
        FoundingRequest::Plaintext { now_ms } => {
            command.plaintext = true;
            now_ms
        }
        FoundingRequest::Certified { hosts, life, now_ms } => {
            let (authority, ca_key) = Authority::make(&command.cluster_id)?;
            let (key_pem, csr) = certificate_request()?;
            let names = NodeNames { role: NodeRole::Control, node_id: &node_id, hosts };
            let signed = authority.sign(&csr, &names, life)?;
            command.sealed_ca_key = sealer.seal(CA_KEY_PLACE, ca_key.expose().as_bytes())?;
            command.ca_certificate_pem = authority.ca_pem().to_owned();
            let ca_pem = authority.ca_pem().to_owned();
            identity.trust = Trust::Tls { ca_pem, credentials: Credentials::new(&signed.pem, key_pem)? };
            now_ms
        }
    };
    command.stamp = Some(Stamp { actor: "bootstrap".to_owned(), time_ms: now_ms, ..Default::default() });
    Ok(Founding { identity, cluster_key, operator_token, command })
}

/// A new node id: 10 characters of `a-z2-7`, 50 random bits; the cluster checks that it is new.
///
/// # Errors
/// `Random` when the system has no randomness.
pub fn new_node_id() -> Result<String, IdentityFailure> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes: [u8; 10] = random_bytes()?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

/// Seals the secrets of a cluster's own row anew with the key `key_id`: the CA's key, if there is one, and the lookup key.
///
/// # Errors
/// `Sealed` when this node does not hold all keys that it takes.
pub fn reseal_cluster(
    keys: &Keyring,
    key_id: &str,
    sealed_ca_key: &str,
    sealed_lookup_key: &str,
) -> Result<(String, String), IdentityFailure> {
    let sealer = Sealer::under(keys, key_id)?;
    let reseal = |place: &str, sealed: &str| match sealed {
        "" => Ok(String::new()),
        sealed => sealer.seal(place, sealer.open(place, sealed)?.expose()),
    };
    Ok((reseal(CA_KEY_PLACE, sealed_ca_key)?, reseal(LOOKUP_KEY_PLACE, sealed_lookup_key)?))
}

impl Authority {
    /// The CA as it lies in replicated state: its certificate, and its key sealed under the cluster key.
    ///
    /// # Errors
    /// `Sealed` when this node's keys are others, `Certificate` when the opened key cannot be read.
    pub fn unseal(keys: &Keyring, ca_pem: &str, sealed_key: &str) -> Result<Self, IdentityFailure> {
        let opened = keys.open(CA_KEY_PLACE, sealed_key)?;
        let pem = String::from_utf8(opened.expose().clone())
            .map_err(|_| IdentityFailure::Sealed { reason: "expected the CA's key in PEM".to_owned() })?;
        Self::open(ca_pem, &Secret::new(pem))
    }
}

impl Keyring {
    /// The key of the lookup hash of API keys, as it lies in replicated state.
    ///
    /// # Errors
    /// `Sealed` when this node's cluster key is another.
    pub fn open_lookup_key(&self, sealed: &str) -> Result<[u8; 32], IdentityFailure> {
        let opened = self.open(LOOKUP_KEY_PLACE, sealed)?;
        opened
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| IdentityFailure::Sealed { reason: "expected a lookup key of 32 bytes".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founded_cluster_opens_its_own_secrets() {
        let founding =
            found(FoundingRequest::Certified { hosts: &["127.0.0.1"], life: Duration::from_secs(60), now_ms: 7 })
                .unwrap();
        let keys = Keyring::of(vec![founding.cluster_key.clone()]);
        let command = &founding.command;
        assert!(keys.open_lookup_key(&command.sealed_lookup_key).is_ok());
        Authority::unseal(&keys, &command.ca_certificate_pem, &command.sealed_ca_key).unwrap();
        assert_eq!(&*command.bootstrap_token_hash, token_hash(founding.operator_token.expose()).as_bytes());
        assert_eq!(command.stamp.as_ref().unwrap().time_ms, 7);
        assert!(!command.plaintext && !founding.identity.is_plaintext());
    }

    #[test]
    fn a_plaintext_cluster_has_no_certificates() {
        let founding = found(FoundingRequest::Plaintext { now_ms: 1 }).unwrap();
        assert!(founding.command.plaintext && founding.identity.is_plaintext());
        assert!(founding.command.ca_certificate_pem.is_empty() && founding.command.sealed_ca_key.is_empty());
    }

    #[test]
    fn two_clusters_share_nothing() {
        let [a, b] = [1, 2].map(|now_ms| found(FoundingRequest::Plaintext { now_ms }).unwrap());
        assert_ne!(a.command.cluster_id, b.command.cluster_id);
        assert_ne!(a.command.generation, b.command.generation);
        assert_ne!(a.cluster_key, b.cluster_key);
        assert_ne!(a.identity.node_id, b.identity.node_id);
    }
}
