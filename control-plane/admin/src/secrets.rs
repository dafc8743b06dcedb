//! Values of API keys: made, sealed and hashed here, on the leader, and nowhere shown.
//!
//! Promise: a value leaves this module sealed, hashed, or in the answer to the caller who may see it. Absent: other
//! secrets of the cluster (`sluice-identity`).

use std::sync::{Arc, OnceLock};

use rand::RngExt as _;
use sluice_identity::{Authority, IdentityFailure, Keyring, Sealer};
use sluice_model::part::{LookupHash, lookup_hash};
use sluice_proto::raft::ClusterRow;

use crate::refused::{Reason, Refused};

/// Characters of a value that was not given: 238 random bits. AWS makes 40.
const VALUE_CHARS: usize = 40;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Seals, opens and hashes values of API keys. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    keys: Keyring,
    /// Opened once: it never changes in the life of a cluster.
    lookup_key: Arc<OnceLock<LookupKey>>,
}

#[derive(Clone, Copy)]
struct LookupKey([u8; 32]);

impl std::fmt::Debug for LookupKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("***")
    }
}

impl Secrets {
    pub(crate) fn new(keys: Keyring) -> Self {
        Self { keys, lookup_key: Arc::default() }
    }

    /// The cluster keys that this node holds.
    pub(crate) fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The cluster's CA.
    ///
    /// # Errors
    /// `Unavailable` when this node's cluster key is another.
    pub(crate) fn authority(&self, cluster: &ClusterRow) -> Result<Authority, Refused> {
        Authority::unseal(&self.keys, &cluster.ca_certificate_pem, &cluster.sealed_ca_key).map_err(unavailable)
    }

    /// A new value.
    pub(crate) fn make_value(&self) -> String {
        // The thread's generator is a CSPRNG seeded by the system.
        let mut random = rand::rng();
        (0..VALUE_CHARS).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
    }

    /// The value sealed for the row of the API key `id` with the cluster key `sealing`.
    ///
    /// # Errors
    /// `Unavailable` when this node has yet to get that key, or the system has no randomness.
    pub(crate) fn seal(&self, sealing: &str, id: &str, value: &str) -> Result<String, Refused> {
        let sealer = Sealer::under(&self.keys, sealing).map_err(unavailable)?;
        sealer.seal(&place(id), value.as_bytes()).map_err(unavailable)
    }

    /// Opens the value of the key `id`.
    ///
    /// # Errors
    /// `Unavailable` when this node's cluster key is another, or the row was changed from outside.
    pub(crate) fn open(&self, id: &str, sealed: &str) -> Result<String, Refused> {
        let opened = self.keys.open(&place(id), sealed).map_err(unavailable)?;
        String::from_utf8(opened.expose().clone())
            .map_err(|_| Refused::new(Reason::Unavailable, "a sealed value is not text; restore it from a backup"))
    }

    /// What data nodes find the key by. `sealed_lookup_key` is the cluster's.
    ///
    /// # Errors
    /// `Unavailable` when this node's cluster key is another.
    pub(crate) fn hash(&self, sealed_lookup_key: &str, value: &str) -> Result<LookupHash, Refused> {
        if let Some(key) = self.lookup_key.get() {
            return Ok(lookup_hash(&key.0, value));
        }
        let opened = LookupKey(self.keys.open_lookup_key(sealed_lookup_key).map_err(unavailable)?);
        Ok(lookup_hash(&self.lookup_key.get_or_init(|| opened).0, value))
    }
}

fn place(id: &str) -> String {
    format!("api-key/{id}")
}

fn unavailable(failure: IdentityFailure) -> Refused {
    Refused::new(Reason::Unavailable, failure.to_string())
}

#[cfg(test)]
mod tests {
    use sluice_identity::ClusterKey;

    use super::*;

    #[test]
    fn a_value_has_forty_letters_and_digits_and_opens_only_in_its_own_row() {
        let secrets = Secrets::new(Keyring::of(vec![ClusterKey::generate().unwrap()]));
        let value = secrets.make_value();
        assert_eq!(value.len(), VALUE_CHARS);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(value, secrets.make_value());
        let sealed = secrets.seal("k1", "a1", &value).unwrap();
        assert_eq!(secrets.open("a1", &sealed).unwrap(), value);
        assert!(secrets.open("a2", &sealed).is_err());
    }
}
