//! The rotation of the cluster key: which key seals, and secrets that are sealed anew.
//!
//! The key itself is in the files of control nodes. Here its id goes through three steps: it begins to seal while the one
//! before may still be met in what was planned earlier; then what is sealed with the one before is refused; then nothing is
//! left that refers to it, and it is retired. Absent: whether nothing is left: documents are not decoded here, so that who
//! proposes the last step has looked.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{
    ClusterRow, KeyFields, Reseal, RotateKey, StoredRow, Table, rejected::Code, rotate_key::Step,
};

use super::{
    refusal::{Flow, invalid, refuse, refuse_row},
    run::Run,
};
use crate::{keys, keys::RowId, rows, tables::Tables};

/// Characters of a key's id.
const KEY_ID_CHARS_MAX: usize = 64;
/// Retired keys that are remembered, for control nodes that were away.
const RETIRED_MAX: usize = 16;

/// The id of the key that seals.
pub(crate) fn sealing_key(cluster: &ClusterRow) -> &str {
    match cluster.sealing_key_id.as_str() {
        "" => cluster.sealed_lookup_key.split_once(':').map_or("", |(id, _)| id),
        id => id,
    }
}

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn rotate_key(&mut self, rotate: &RotateKey) -> Flow {
        let mut cluster = rows::cluster(self.draft).unwrap_or_default();
        if rotate.key_id.is_empty() || rotate.key_id.len() > KEY_ID_CHARS_MAX {
            return invalid(format!("expected the id of a key, of 1 to {KEY_ID_CHARS_MAX} characters"));
        }
        match rotate.step() {
            Step::Begin => begin(&mut cluster, &rotate.key_id)?,
            Step::Close => {
                under_way(&cluster, &rotate.key_id)?;
                cluster.old_key_closed = true;
            }
            Step::End => {
                under_way(&cluster, &rotate.key_id)?;
                if !cluster.old_key_closed {
                    return invalid(
                        "expected a rotation in which nothing more is sealed with the old key, found another",
                    );
                }
                let old = std::mem::take(&mut cluster.old_key_id);
                cluster.old_key_closed = false;
                cluster.retired_key_ids.push(old);
                let excess = cluster.retired_key_ids.len().saturating_sub(RETIRED_MAX);
                cluster.retired_key_ids.drain(..excess);
            }
            Step::Unspecified => {
                return invalid("expected a step of a rotation that this release knows, found another");
            }
        }
        self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
        Ok(())
    }

    /// Puts what was sealed anew in place. What data nodes see of a key does not change.
    pub(super) fn reseal(&mut self, reseal: &Reseal) -> Flow {
        let mut cluster = rows::cluster(self.draft).unwrap_or_default();
        if reseal.key_id != sealing_key(&cluster) {
            return refuse(Code::VersionChanged, "expected secrets that are sealed with the present key, found others");
        }
        if reseal.rows.len() > limits::CHANGE_ROWS_MAX {
            return invalid(format!("expected at most {} rows, found {}", limits::CHANGE_ROWS_MAX, reseal.rows.len()));
        }
        if !reseal.sealed_lookup_key.is_empty() {
            cluster.sealed_lookup_key.clone_from(&reseal.sealed_lookup_key);
            cluster.sealed_ca_key.clone_from(&reseal.sealed_ca_key);
            self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
        }
        for row in &reseal.rows {
            let id = RowId::of_parts(Table::ApiKey, &[&row.id]);
            let Some(current) = self.stored(&id).filter(|current| current.version == row.expected_version) else {
                continue;
            };
            let key_fields =
                KeyFields { sealed_with: reseal.key_id.clone(), ..current.key_fields.clone().unwrap_or_default() };
            let resealed = StoredRow { document: row.document.clone(), key_fields: Some(key_fields), ..current };
            self.write_row(&id, resealed)?;
        }
        Ok(())
    }

    /// Refuses what was sealed with a key that is going or gone: it is to be sealed again.
    pub(super) fn expect_open_key(&self, id: &RowId, fields: &KeyFields) -> Flow {
        if fields.sealed_with.is_empty() {
            return Ok(());
        }
        let cluster = rows::cluster(self.draft).unwrap_or_default();
        let closed = cluster.old_key_closed && fields.sealed_with == cluster.old_key_id;
        if closed || cluster.retired_key_ids.contains(&fields.sealed_with) {
            let message = "expected a value that is sealed with the present cluster key, found one of the key before";
            return refuse_row(Code::VersionChanged, id, message);
        }
        Ok(())
    }
}

fn begin(cluster: &mut ClusterRow, key_id: &str) -> Flow {
    let present = sealing_key(cluster).to_owned();
    if present == key_id {
        return Ok(());
    }
    if !cluster.old_key_id.is_empty() {
        let message = format!("expected no rotation of the cluster key, found one to {present} under way");
        return refuse(Code::AlreadyExists, message);
    }
    if cluster.retired_key_ids.iter().any(|retired| retired == key_id) {
        return invalid(format!("expected a new key, found {key_id}, which was retired"));
    }
    cluster.old_key_id = present;
    cluster.old_key_closed = false;
    key_id.clone_into(&mut cluster.sealing_key_id);
    Ok(())
}

fn under_way(cluster: &ClusterRow, key_id: &str) -> Flow {
    if cluster.old_key_id.is_empty() || cluster.sealing_key_id != key_id {
        return refuse(
            Code::NotFound,
            format!("expected a rotation of the cluster key to {key_id}, found none under way"),
        );
    }
    Ok(())
}
