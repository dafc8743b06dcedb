//! The secrets of restored rows: opened with the key that sealed them, sealed with this cluster's.
//!
//! Promise: every value is opened before anything changes, so that a restored key can be read and used; a row whose value
//! is sealed under this cluster's present key and found by its lookup key stays byte for byte as it was. Absent: other secrets;
//! only API keys have some.

use prost::Message as _;
use sluice_identity::{Keyring, sealing_key};
use sluice_proto::{
    model::ApiKey,
    raft::{BackupHeader, BackupRow, ClusterRow, KeyFields, StoredRow, Table},
};

use crate::{
    plan::hex,
    refused::{Reason, Refused},
    secrets::Secrets,
};

/// Opens and seals the secrets of one restore.
pub(super) struct Resealer {
    /// Who opens what the rows hold.
    theirs: Secrets,
    ours: Secrets,
    /// The cluster's sealed lookup key, and the id of the key that seals.
    lookup_key: String,
    sealing: String,
    /// Keys are found by this cluster's lookup key already.
    is_ours: bool,
    pub(super) resealed: u64,
}

impl Resealer {
    /// For rows of the backup of `header`; `given` is the text of its cluster key, or empty.
    ///
    /// # Errors
    /// `Invalid` when neither this cluster's key nor the given one opens what the backup holds.
    pub(super) fn of(
        header: &BackupHeader,
        given: &str,
        ours: &Secrets,
        cluster: &ClusterRow,
        sealing: &str,
    ) -> Result<Self, Refused> {
        let (lookup_key, sealing) = (cluster.sealed_lookup_key.clone(), sealing.to_owned());
        let own = ours.keys().open_lookup_key(&lookup_key);
        let own = own.map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))?;
        if let Ok(found) = ours.keys().open_lookup_key(&header.sealed_lookup_key) {
            let is_ours = found == own;
            return Ok(Self { theirs: ours.clone(), ours: ours.clone(), lookup_key, sealing, is_ours, resealed: 0 });
        }
        let whose =
            format!("the secrets of this backup are sealed with the cluster key of cluster {}", header.cluster_id);
        let hint = "give the file cluster.key of a --data-dir of that cluster's control nodes as --cluster-key-file; without it no key value can be restored";
        if given.is_empty() {
            return Err(Refused::invalid("clusterKey", format!("{whose}, which this cluster does not have"), hint));
        }
        let keys =
            Keyring::parse(given).map_err(|failure| Refused::invalid("clusterKey", failure.to_string(), hint))?;
        let keys = Keyring::of(keys);
        if let Err(failure) = keys.open_lookup_key(&header.sealed_lookup_key) {
            return Err(Refused::invalid(
                "clusterKey",
                format!("{whose}, and the key that was given is another: {failure}"),
                hint,
            ));
        }
        Ok(Self { theirs: Secrets::new(keys), ours: ours.clone(), lookup_key, sealing, is_ours: false, resealed: 0 })
    }

    /// The row as this cluster holds it.
    ///
    /// # Errors
    /// When its value does not open.
    pub(super) fn row(&mut self, row: BackupRow) -> Result<BackupRow, Refused> {
        if row.table() != Table::ApiKey {
            return Ok(row);
        }
        let id = String::from_utf8_lossy(&row.key).into_owned();
        let unread = |problem: &str| Refused::new(Reason::Invalid, format!("api key {id} of the backup: {problem}"));
        let mut stored = StoredRow::decode(row.row.clone()).map_err(|error| unread(&error.to_string()))?;
        let mut key = ApiKey::decode(stored.document.clone()).map_err(|error| unread(&error.to_string()))?;
        let sealed = key.sealed_value.clone().unwrap_or_default();
        let value = self.theirs.open(&id, &sealed).map_err(|refused| unread(&refused.message))?;
        if self.is_ours && sealing_key(&sealed) == self.sealing {
            return Ok(row);
        }
        let hash = self.ours.hash(&self.lookup_key, &value)?.0.to_vec();
        key.sealed_value = Some(self.ours.seal(&self.sealing, &id, &value)?);
        key.value_hash = Some(hex(&hash));
        stored.document = key.encode_to_vec().into();
        stored.unique = hash.clone().into();
        stored.key_fields = Some(KeyFields {
            hash: hash.into(),
            sealed_with: self.sealing.clone(),
            ..stored.key_fields.unwrap_or_default()
        });
        self.resealed += 1;
        Ok(BackupRow { row: stored.encode_to_vec().into(), ..row })
    }
}
