//! The cluster's keys on one control node: the one that seals, and those that still open what was sealed before.
//!
//! Promise: a key is on disk, readable by its owner only, before it is said to be held; an id names one key for ever, since
//! each has random letters. Clones share the keys. Absent: which key seals (the replicated state says that), and how keys
//! come from one node to the others.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use crate::{ClusterKey, IdentityFailure, Secret, files, secret::random_bytes, write_secret};

/// Keys of one cluster that a node holds: far more than rotations that have not ended.
const KEYS_MAX: usize = 64;

/// The keys that a node holds.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    /// None for keys that are nowhere kept.
    path: Option<PathBuf>,
    /// In the order in which they came.
    keys: RwLock<Vec<ClusterKey>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Keyring").field(&self.ids()).finish()
    }
}

impl Keyring {
    /// Keys that are nowhere kept.
    pub fn of(keys: Vec<ClusterKey>) -> Self {
        Self { inner: Arc::new(Inner { path: None, keys: RwLock::new(keys) }) }
    }

    /// Reads the keys kept at `path`; `None` when there is no such file.
    ///
    /// # Errors
    /// `File`; `Malformed` when one of the lines is no key, or there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, IdentityFailure> {
        let Some(text) = files::read_if_there(path)? else { return Ok(None) };
        let keys = Self::parse(&text).map_err(|failure| IdentityFailure::Malformed {
            path: path.to_owned(),
            expected: "the keys of a cluster",
            reason: failure.to_string(),
        })?;
        Ok(Some(Self { inner: Arc::new(Inner { path: Some(path.to_owned()), keys: RwLock::new(keys) }) }))
    }

    /// Keeps these keys at `path`, in place of those that are there.
    ///
    /// # Errors
    /// `File` when they cannot be written.
    pub fn save(path: &Path, keys: &[ClusterKey]) -> Result<(), IdentityFailure> {
        write_secret(path, text_of(keys).expose())
    }

    /// Reads keys as [`Keyring::to_text`] writes them.
    ///
    /// # Errors
    /// `Sealed` when a line is no key, or there is none.
    pub fn parse(text: &str) -> Result<Vec<ClusterKey>, IdentityFailure> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<ClusterKey> = lines.map(ClusterKey::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            let reason = format!("expected 1 to {KEYS_MAX} keys, one a line, found {}", keys.len());
            return Err(IdentityFailure::Sealed { reason });
        }
        Ok(keys)
    }

    /// All keys, one a line: for their file and for a control node that joins.
    pub fn to_text(&self) -> Secret<String> {
        text_of(&self.keys())
    }

    /// The ids of the keys.
    pub fn ids(&self) -> Vec<String> {
        self.keys().iter().map(|key| key.id().to_owned()).collect()
    }

    /// The key of this id.
    pub fn get(&self, id: &str) -> Option<ClusterKey> {
        self.keys().iter().find(|key| key.id() == id).cloned()
    }

    /// All keys, in the order in which they came.
    pub fn all(&self) -> Vec<ClusterKey> {
        self.keys().clone()
    }

    /// A new key, whose id is that of no other. It is not held yet.
    ///
    /// # Errors
    /// `Random` when the system has no randomness.
    pub fn next(&self) -> Result<ClusterKey, IdentityFailure> {
        let number = |id: &String| id.trim_start_matches('k').split('-').next()?.parse::<u32>().ok();
        let last = self.ids().iter().filter_map(number).max().unwrap_or(0);
        let random: [u8; 4] = random_bytes()?;
        let letters: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        ClusterKey::generate_as(&format!("k{}-{letters}", last.saturating_add(1)))
    }

    /// Holds a key more; durable when this returns.
    ///
    /// # Errors
    /// `Sealed` for another key of an id that is held, or more than fit; `File` when it cannot be written.
    pub fn add(&self, key: &ClusterKey) -> Result<(), IdentityFailure> {
        let refuse = |reason: String| Err(IdentityFailure::Sealed { reason });
        let mut keys = self.inner.keys.write().unwrap_or_else(PoisonError::into_inner);
        match keys.iter().find(|held| held.id() == key.id()) {
            Some(held) if held == key => return Ok(()),
            Some(_) => return refuse(format!("this node holds another key of the id {}", key.id())),
            None if keys.len() >= KEYS_MAX => {
                return refuse(format!(
                    "this node holds {KEYS_MAX} keys; remove those from cluster.key that nothing refers to"
                ));
            }
            None => {}
        }
        let more: Vec<_> = keys.iter().cloned().chain([key.clone()]).collect();
        self.keep(&more)?;
        *keys = more;
        Ok(())
    }

    /// Forgets these keys; true when there was one.
    ///
    /// # Errors
    /// `File` when the others cannot be written; all are held then.
    pub fn remove(&self, ids: &[String]) -> Result<bool, IdentityFailure> {
        let mut keys = self.inner.keys.write().unwrap_or_else(PoisonError::into_inner);
        let less: Vec<_> = keys.iter().filter(|key| !ids.iter().any(|id| id == key.id())).cloned().collect();
        if less.len() == keys.len() {
            return Ok(false);
        }
        self.keep(&less)?;
        *keys = less;
        Ok(true)
    }

    fn keep(&self, keys: &[ClusterKey]) -> Result<(), IdentityFailure> {
        match &self.inner.path {
            Some(path) => Self::save(path, keys),
            None => Ok(()),
        }
    }

    fn keys(&self) -> RwLockReadGuard<'_, Vec<ClusterKey>> {
        self.inner.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text_of(keys: &[ClusterKey]) -> Secret<String> {
    Secret::new(keys.iter().map(|key| format!("{}\n", key.to_text().expose())).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept() -> (tempfile::TempDir, PathBuf, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        Keyring::save(&path, &[ClusterKey::generate().unwrap()]).unwrap();
        let ring = Keyring::load(&path).unwrap().unwrap();
        (folder, path, ring)
    }

    #[test]
    fn keys_come_and_go_in_memory_and_in_the_file_that_only_its_owner_reads() {
        let (_folder, path, ring) = kept();
        let next = ring.next().unwrap();
        assert!(next.id().starts_with("k2-"), "{}", next.id());
        assert!(ring.get(next.id()).is_none(), "it is not held yet");
        ring.add(&next).unwrap();
        ring.clone().add(&next).unwrap();
        let again = Keyring::load(&path).unwrap().unwrap();
        assert_eq!(
            (again.ids(), again.get(next.id())),
            (vec!["k1".to_owned(), next.id().to_owned()], Some(next.clone()))
        );
        assert!(ring.next().unwrap().id().starts_with("k3-"));
        assert!(ring.remove(&["k1".to_owned()]).unwrap() && !ring.remove(&["k1".to_owned()]).unwrap());
        assert_eq!(Keyring::load(&path).unwrap().unwrap().ids(), [next.id()]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{ring:?}").contains(&next.to_text().expose()[12..]));
    }

    #[test]
    fn an_id_names_one_key_for_ever() {
        let (_folder, _, ring) = kept();
        let key = ring.next().unwrap();
        ring.add(&key).unwrap();
        let other = ClusterKey::generate_as(key.id()).unwrap();
        assert!(ring.add(&other).is_err());
        assert_eq!(ring.get(key.id()), Some(key));
    }

    #[test]
    fn a_file_that_is_torn_or_empty_is_refused_by_its_path() {
        let (_folder, path, ring) = kept();
        let whole = ring.to_text().expose().clone();
        for wrong in ["", "\n", "k1", &whole[..20], "k1:AAAA\n"] {
            std::fs::write(&path, wrong).unwrap();
            let refused = Keyring::load(&path).unwrap_err().to_string();
            assert!(refused.contains("cluster.key") && refused.contains("restore it"), "{wrong:?}: {refused}");
        }
    }
}
