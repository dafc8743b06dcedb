//! Whose folder a `--data-dir` is: a node of either role keeps its identity in a place of its own.
//!
//! Promise: a folder that belongs to a node of the other role, also one that has begun to found or to join a cluster, is
//! told from an empty one, and so is that of a node that was removed from its cluster; looking writes nothing. Absent: what
//! else the folders hold.

use std::path::{Path, PathBuf};

use crate::{Identity, IdentityFailure, NodeRole, write_public};

/// The folder of a control node's identity within its own; a data node has none.
const CONTROL_IDENTITY: &str = "identity";
/// Says that the node was removed from its cluster; beside its identity.
const REMOVED_FILE: &str = "removed";
/// What a data node has at the top of its folder, and a control node has not.
const DATA_MARKS: [&str; 2] = [crate::identity::IDENTITY_FILE, crate::join::JOINING_FILE];

impl NodeRole {
    /// Where a node of this role keeps its identity, within its `--data-dir`.
    pub fn identity_folder(self, data_dir: &Path) -> PathBuf {
        match self {
            Self::Control => data_dir.join(CONTROL_IDENTITY),
            Self::Data => data_dir.to_owned(),
        }
    }
}

impl Identity {
    /// The node of `role` that lives in `data_dir`; `None` when the folder holds no node yet, or is not there.
    ///
    /// # Errors
    /// `OtherRole` when it holds a node of the other role, `Removed` when the node was removed from its cluster; `File` and
    /// `Malformed` as [`Identity::load`].
    pub fn of_folder(data_dir: &Path, role: NodeRole) -> Result<Option<Self>, IdentityFailure> {
        let other = |mark: PathBuf| IdentityFailure::OtherRole { folder: data_dir.to_owned(), mark, role };
        if let Some(mark) = mark_of_the_other(data_dir, role) {
            return Err(other(mark));
        }
        let folder = role.identity_folder(data_dir);
        if folder.join(REMOVED_FILE).exists() {
            return Err(IdentityFailure::Removed { folder: data_dir.to_owned() });
        }
        match Self::load(&folder)? {
            Some(found) if found.role != role => Err(other(folder.join(crate::identity::IDENTITY_FILE))),
            found => Ok(found),
        }
    }
}

/// Notes that the node of `role` in `data_dir` was removed from its cluster, so that it is not started again.
///
/// # Errors
/// `File` when it cannot be written.
pub fn keep_removal(data_dir: &Path, role: NodeRole) -> Result<(), IdentityFailure> {
    write_public(&role.identity_folder(data_dir).join(REMOVED_FILE), "this node was removed from its cluster\n")
}

/// What shows that a node of the other role lives here, or was about to.
fn mark_of_the_other(data_dir: &Path, role: NodeRole) -> Option<PathBuf> {
    match role {
        NodeRole::Control => DATA_MARKS.iter().map(|mark| data_dir.join(mark)).find(|mark| mark.exists()),
        NodeRole::Data => Some(NodeRole::Control.identity_folder(data_dir)).filter(|mark| mark.is_dir()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [(NodeRole, NodeRole); 2] = [(NodeRole::Control, NodeRole::Data), (NodeRole::Data, NodeRole::Control)];

    #[test]
    fn a_node_is_found_in_its_own_folder_and_refused_to_the_other_role() {
        for (own, other) in BOTH {
            let folder = tempfile::tempdir().unwrap();
            Identity::plaintext("c1", own, "n1").save(&own.identity_folder(folder.path())).unwrap();
            assert_eq!(Identity::of_folder(folder.path(), own).unwrap().unwrap().node_id, "n1");
            let refused = Identity::of_folder(folder.path(), other).unwrap_err().to_string();
            for part in [&*folder.path().to_string_lossy(), &format!("holds a {own} node"), "--data-dir"] {
                assert!(refused.contains(part), "{refused}");
            }
        }
    }

    #[test]
    fn a_folder_where_a_join_has_begun_is_not_an_empty_one() {
        for (own, other) in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let identity = own.identity_folder(folder.path());
            std::fs::create_dir_all(&identity).unwrap();
            std::fs::write(identity.join(crate::join::JOINING_FILE), "{}").unwrap();
            assert!(Identity::of_folder(folder.path(), own).unwrap().is_none());
            assert!(matches!(Identity::of_folder(folder.path(), other), Err(IdentityFailure::OtherRole { .. })));
        }
    }

    #[test]
    fn an_identity_of_the_other_role_in_its_place_is_refused() {
        for (own, other) in BOTH {
            let folder = tempfile::tempdir().unwrap();
            Identity::plaintext("c1", other, "n1").save(&own.identity_folder(folder.path())).unwrap();
            assert!(matches!(Identity::of_folder(folder.path(), own), Err(IdentityFailure::OtherRole { .. })));
        }
    }

    #[test]
    fn a_node_that_was_removed_is_not_started_again() {
        for (own, _) in BOTH {
            let folder = tempfile::tempdir().unwrap();
            Identity::plaintext("c1", own, "n1").save(&own.identity_folder(folder.path())).unwrap();
            keep_removal(folder.path(), own).unwrap();
            let refused = Identity::of_folder(folder.path(), own).unwrap_err().to_string();
            assert!(refused.contains("was removed") && refused.contains("empty --data-dir"), "{refused}");
        }
    }

    #[test]
    fn an_empty_or_missing_folder_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            for (own, _) in BOTH {
                assert!(Identity::of_folder(&path, own).unwrap().is_none());
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking writes nothing");
    }
}
