//! Sealing: values that lie in replicated state but are readable only with the cluster key.
//!
//! Promise: AES-256-GCM with a random nonce; a value that was changed, or moved to another place, does not open. A
//! sealed value names its key (`k1:…`), so that the key can be rotated: any key that is held opens. What is derived from a key tells nothing of it,
//! nor of what is derived for another use. Absent: which of several keys seals.

use std::{fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{IdentityFailure, Keyring, Secret, files, secret::random_bytes, write_secret};

const KEY_BYTES: usize = 32;
const FIRST_KEY_ID: &str = "k1";

/// A key that seals: the cluster's, or a node's own for its local copies.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey {
    id: String,
    bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClusterKey({}:***)", self.id)
    }
}

impl ClusterKey {
    /// A new first key.
    ///
    /// # Errors
    /// `Random` when the system has no randomness.
    pub fn generate() -> Result<Self, IdentityFailure> {
        Self::generate_as(FIRST_KEY_ID)
    }

    pub(crate) fn generate_as(id: &str) -> Result<Self, IdentityFailure> {
        Ok(Self { id: id.to_owned(), bytes: random_bytes()? })
    }

    /// What values that are sealed with it begin with.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Bytes that only a holder of the key can make, the same for the same `input` on every node; `context` names the
    /// use, as blake3 asks of it: a constant of the program, unlike any other.
    pub(crate) fn derive<const N: usize>(&self, context: &str, input: &[u8]) -> [u8; N] {
        let key = blake3::derive_key(context, &self.bytes);
        let mut bytes = [0; N];
        blake3::Hasher::new_keyed(&key).update(input).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Reads `ID:BASE64`, as [`ClusterKey::to_text`] writes it.
    ///
    /// # Errors
    /// `Sealed` when the text is no key.
    pub fn parse(text: &str) -> Result<Self, IdentityFailure> {
        let wrong = || IdentityFailure::Sealed { reason: "expected a key as ID:BASE64 of 32 bytes".to_owned() };
        let (id, encoded) = text.trim().split_once(':').ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?.try_into().map_err(|_| wrong())?;
        if id.is_empty() { Err(wrong()) } else { Ok(Self { id: id.to_owned(), bytes }) }
    }

    /// `ID:BASE64`: for the key's file and for handing over at join.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(format!("{}:{}", self.id, STANDARD.encode(self.bytes)))
    }

    /// Reads the key kept at `path`; `None` when there is none.
    ///
    /// # Errors
    /// `File`, `Sealed`.
    pub fn load(path: &Path) -> Result<Option<Self>, IdentityFailure> {
        files::read_if_there(path)?.map(|text| Self::parse(&text)).transpose()
    }

    /// Keeps the key at `path`, readable by its owner only.
    ///
    /// # Errors
    /// `File` when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), IdentityFailure> {
        write_secret(path, self.to_text().expose())
    }

    /// The key kept at `path`, made on first use: a node's own key.
    ///
    /// # Errors
    /// `File`, `Sealed`, `Random`.
    pub fn load_or_make(path: &Path) -> Result<Self, IdentityFailure> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let key = Self::generate()?;
        key.save(path)?;
        Ok(key)
    }
}

/// The id of the key with which a value was sealed.
pub fn sealing_key(sealed: &str) -> &str {
    sealed.split_once(':').map_or("", |(id, _)| id)
}

/// Seals and opens values. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sealer {
    /// Seals.
    key: ClusterKey,
    /// Open, that one among them.
    ring: Keyring,
}

impl Sealer {
    /// Seals and opens with one key.
    pub fn new(key: &ClusterKey) -> Self {
        Self { key: key.clone(), ring: Keyring::of(vec![key.clone()]) }
    }

    /// Seals with the key `key_id` of `ring`, and opens with all of them, also with those that it will hold.
    ///
    /// # Errors
    /// `Sealed` when the ring does not hold that key.
    pub fn under(ring: &Keyring, key_id: &str) -> Result<Self, IdentityFailure> {
        match ring.get(key_id) {
            Some(key) => Ok(Self { key, ring: ring.clone() }),
            None => Err(IdentityFailure::Sealed { reason: not_held(ring, key_id) }),
        }
    }

    /// Seals `value`: `{key id}:{base64}`. `place` names where it lies, such as `api-key/a1b2c3d4e5`; the value opens
    /// only with the same place, so that a sealed value moved to another row is refused.
    ///
    /// # Errors
    /// `Random` when the system has no randomness.
    pub fn seal(&self, place: &str, value: &[u8]) -> Result<String, IdentityFailure> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut sealed = value.to_vec();
        cipher(&self.key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut sealed)
            .expect("values are far below the 64 GiB that AES-GCM seals at once");
        let whole = [&nonce[..], &sealed].concat();
        Ok(format!("{}:{}", self.key.id, STANDARD.encode(whole)))
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    ///
    /// # Errors
    /// `Sealed` when the key is another, or the value or its place was changed.
    pub fn open(&self, place: &str, sealed: &str) -> Result<Secret<Vec<u8>>, IdentityFailure> {
        self.ring.open(place, sealed)
    }
}

impl Keyring {
    /// Opens what was sealed for the same place with one of these keys.
    ///
    /// # Errors
    /// `Sealed` when the key is another, or the value or its place was changed.
    pub fn open(&self, place: &str, sealed: &str) -> Result<Secret<Vec<u8>>, IdentityFailure> {
        let wrong = |reason: String| IdentityFailure::Sealed { reason };
        let (key_id, encoded) =
            sealed.split_once(':').ok_or_else(|| wrong("expected KEY:BASE64, found no colon".to_owned()))?;
        let key = self.get(key_id).ok_or_else(|| wrong(not_held(self, key_id)))?;
        let whole = STANDARD.decode(encoded).map_err(|_| wrong("expected base64 after the key's id".to_owned()))?;
        let (nonce, sealed) =
            whole.split_first_chunk::<NONCE_LEN>().ok_or_else(|| wrong("it is too short".to_owned()))?;
        let mut opened = sealed.to_vec();
        let length = cipher(&key)
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.as_bytes()), &mut opened)
            .map_err(|_| wrong("it was changed, moved, or sealed with another cluster's key".to_owned()))?
            .len();
        opened.truncate(length);
        Ok(Secret::new(opened))
    }
}

fn not_held(ring: &Keyring, key_id: &str) -> String {
    format!("it was sealed with key {key_id}, this node has {}", ring.ids().join(", "))
}

/// Made for each use: a few hundred nanoseconds, for values that are rarely touched.
fn cipher(key: &ClusterKey) -> LessSafeKey {
    let unbound = UnboundKey::new(&AES_256_GCM, &key.bytes).expect("the key has the 32 bytes that AES-256 takes");
    LessSafeKey::new(unbound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&ClusterKey::generate().unwrap())
    }

    #[test]
    fn what_is_derived_depends_on_key_use_and_input_only() {
        let key = ClusterKey::generate().unwrap();
        let derived: [u8; 16] = key.derive("use", b"input");
        assert_eq!(derived, ClusterKey::parse(key.to_text().expose()).unwrap().derive("use", b"input"));
        for other in [
            key.derive("another use", b"input"),
            key.derive("use", b"another input"),
            ClusterKey::generate().unwrap().derive("use", b"input"),
        ] {
            assert_ne!(derived, other);
        }
    }

    #[test]
    fn what_is_sealed_opens_again() {
        let sealer = sealer();
        for value in [&b""[..], b"value", &[0; 4096]] {
            let sealed = sealer.seal("place", value).unwrap();
            assert!(sealed.starts_with("k1:"), "{sealed}");
            assert_eq!(sealer.open("place", &sealed).unwrap().expose(), value);
        }
    }

    #[test]
    fn what_an_older_key_has_sealed_opens_while_that_is_held() {
        let ring = Keyring::of(vec![ClusterKey::generate().unwrap()]);
        let old = Sealer::under(&ring, "k1").unwrap().seal("place", b"value").unwrap();
        let next = ring.next().unwrap();
        assert!(Sealer::under(&ring, next.id()).is_err(), "it is not held yet");
        ring.add(&next).unwrap();
        let sealer = Sealer::under(&ring, next.id()).unwrap();
        let new = sealer.seal("place", b"value").unwrap();
        assert_eq!((sealing_key(&old), sealing_key(&new)), ("k1", next.id()));
        for sealed in [&old, &new] {
            assert_eq!(sealer.open("place", sealed).unwrap().expose(), b"value");
        }
        ring.remove(&["k1".to_owned()]).unwrap();
        assert_eq!(sealer.open("place", &new).unwrap().expose(), b"value");
        let refused = sealer.open("place", &old).unwrap_err().to_string();
        assert!(refused.contains("with key k1") && refused.contains(next.id()), "{refused}");
    }

    #[test]
    fn the_same_value_seals_differently_each_time() {
        let sealer = sealer();
        assert_ne!(sealer.seal("place", b"value").unwrap(), sealer.seal("place", b"value").unwrap());
    }

    #[test]
    fn a_changed_moved_or_foreign_value_does_not_open() {
        let sealer = sealer();
        let sealed = sealer.seal("place", b"value").unwrap();
        let mut bytes = STANDARD.decode(&sealed[3..]).unwrap();
        for position in 0..bytes.len() {
            bytes[position] ^= 1;
            let changed = format!("k1:{}", STANDARD.encode(&bytes));
            assert!(sealer.open("place", &changed).is_err(), "byte {position}");
            bytes[position] ^= 1;
        }
        assert!(sealer.open("elsewhere", &sealed).is_err());
        assert!(self::sealer().open("place", &sealed).is_err());
        for malformed in ["", "k1", "k1:", "k1:AAAA", "k1:?", "k2:AAAA"] {
            assert!(sealer.open("place", malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn a_key_survives_its_file_which_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        assert!(ClusterKey::load(&path).unwrap().is_none());
        let key = ClusterKey::load_or_make(&path).unwrap();
        assert_eq!(ClusterKey::load_or_make(&path).unwrap(), key);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{key:?}").contains(&key.to_text().expose()[3..]));
    }
}
