//! The cluster itself: its founding and its feature level.

use prost::Message;
use sluice_model::level;
use sluice_proto::raft::{ClusterRow, FoundCluster, RaiseLevel, RowRef, StoredRow, Table, rejected::Code};

use super::{
    refusal::{Flow, invalid, refuse},
    run::{Run, row_id},
};
use crate::{keys, rows, tables::Tables};

impl<T: Tables> Run<'_, '_, T> {
    /// The first command of a cluster, once.
    pub(super) fn found(&mut self, found: &FoundCluster) -> Flow {
        if self.draft.get(keys::CLUSTER).is_some() {
            return refuse(Code::AlreadyExists, "expected a cluster that is not founded yet");
        }
        if found.cluster_id.is_empty() || found.generation.is_empty() {
            return invalid("expected a cluster id and a generation");
        }
        let row = ClusterRow {
            cluster_id: found.cluster_id.clone(),
            generation: found.generation.clone(),
            level: 1,
            plaintext: found.plaintext,
            ca_certificate_pem: found.ca_certificate_pem.clone(),
            sealed_ca_key: found.sealed_ca_key.clone(),
            sealed_lookup_key: found.sealed_lookup_key.clone(),
            bootstrap_token_hash: found.bootstrap_token_hash.clone(),
            founded_ms: self.stamp_ms,
            ..ClusterRow::default()
        };
        self.draft.put(keys::CLUSTER.to_vec(), row.encode_to_vec());
        Ok(())
    }

    /// Refuses what needs a level that the cluster does not have yet: some of its nodes may not know it.
    pub(super) fn expect_level(&self, needed: u32) -> Flow {
        if needed <= level::FIRST {
            return Ok(());
        }
        let has = rows::cluster(self.draft).unwrap_or_default().level;
        if needed <= has {
            return Ok(());
        }
        refuse(Code::Level, format!("expected a command of at most level {has}, found one of level {needed}"))
    }

    /// Keeps a text: what a command of a level after this release's would do.
    pub(super) fn probe(&mut self, text: &str) -> Flow {
        let id = row_id(&RowRef { table: Table::Probe as i32, key: vec![text.to_owned()] })?;
        self.write_row(&id, StoredRow::default())
    }

    /// Raises the feature level; it never falls.
    pub(super) fn raise_level(&mut self, raise: &RaiseLevel) -> Flow {
        let mut cluster = rows::cluster(self.draft).unwrap_or_default();
        if raise.level < cluster.level {
            let message = format!("expected a level of at least {}, found {}", cluster.level, raise.level);
            return refuse(Code::Level, message);
        }
        cluster.level = raise.level;
        self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
        Ok(())
    }
}
