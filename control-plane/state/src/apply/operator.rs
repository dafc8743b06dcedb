//! Operators: who drives the cluster.
//!
//! Promise: a cluster is never left without an admin: the last admin's token that does not expire is not deleted. Absent:
//! what a role may do; who has expired is judged where a call is taken.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{ChangeOperator, ClusterRow, Operator, StoredRow, Table, rejected::Code};

use super::{
    node::named,
    refusal::{Flow, describe, invalid, not_found, refuse, refuse_row},
    run::{Run, already_exists},
};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// The name of the token that was made with the cluster.
const BOOTSTRAP: &str = "bootstrap";
const ADMIN: &str = "admin";
/// Bytes of the hash of a token.
const TOKEN_HASH_BYTES: usize = 32;
/// Bytes of an encoded operator.
const OPERATOR_BYTES_MAX: usize = 4 * 1024;

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn create_operator(&mut self, operator: Option<&Operator>) -> Flow {
        let Some(operator) = operator else { return invalid("expected an operator, found none") };
        let id = named(Table::Operator, &operator.name)?;
        if operator.name == BOOTSTRAP || self.stored(&id).is_some() {
            return already_exists(&id);
        }
        if !matches!(operator.role.as_str(), ADMIN | "deployer" | "viewer") {
            return invalid("expected a role of admin, deployer or viewer, found another");
        }
        let (from, to) = keys::rows_below(Table::Operator, &[]);
        if self.draft.scan(&from, &to).take(limits::OPERATORS_MAX).count() == limits::OPERATORS_MAX {
            return refuse(Code::Capacity, format!("expected at most {} operators", limits::OPERATORS_MAX));
        }
        self.write_operator(&id, operator)
    }

    /// A new token or certificate in place of the one before.
    pub(super) fn change_operator(&mut self, change: &ChangeOperator) -> Flow {
        let id = named(Table::Operator, &change.name)?;
        if change.name == BOOTSTRAP {
            return self.change_bootstrap(&id, change);
        }
        let mut operator = self.operator(&id)?;
        if let Some(hash) = &change.token_hash {
            operator.token_hash = hash.clone();
            operator.token_made_ms = self.stamp_ms;
        }
        if let Some(certificate) = &change.certificate {
            operator.certificate_serial = certificate.serial.clone();
            operator.certificate_expires_ms = certificate.expires_ms;
        }
        self.write_operator(&id, &operator)
    }

    fn change_bootstrap(&mut self, id: &RowId, change: &ChangeOperator) -> Flow {
        let mut cluster = self.cluster_with_bootstrap(id)?;
        match &change.token_hash {
            Some(hash) if hash.len() == TOKEN_HASH_BYTES && change.certificate.is_none() => {
                cluster.bootstrap_token_hash = hash.clone();
                self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
                Ok(())
            }
            _ => invalid(
                "expected the hash of a new token and nothing else for the token that was made with the cluster",
            ),
        }
    }

    pub(super) fn delete_operator(&mut self, name: &str) -> Flow {
        let id = named(Table::Operator, name)?;
        if name == BOOTSTRAP {
            let mut cluster = self.cluster_with_bootstrap(&id)?;
            cluster.bootstrap_token_hash.clear();
            self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
        } else {
            let current = self.expect_row(&id, None)?;
            let was_lasting = is_lasting_admin(&rows::decode(current.document.clone()));
            self.remove_row(&id, current);
            if !was_lasting {
                return Ok(());
            }
        }
        self.expect_an_admin(&id)
    }

    /// Refuses what has left no token of an admin that does not expire.
    fn expect_an_admin(&self, deleted: &RowId) -> Flow {
        if rows::cluster(self.draft).is_some_and(|cluster| !cluster.bootstrap_token_hash.is_empty()) {
            return Ok(());
        }
        let (from, to) = keys::rows_below(Table::Operator, &[]);
        let operator = |value: Vec<u8>| -> Operator {
            let row: StoredRow = rows::decode(value.into());
            rows::decode(row.document)
        };
        if self.draft.scan(&from, &to).any(|(_, value)| is_lasting_admin(&operator(value))) {
            return Ok(());
        }
        let last = describe(deleted);
        let message =
            format!("{last} is the last admin whose token does not expire; make another first, without --ttl");
        refuse_row(Code::Invalid, deleted, message)
    }

    fn operator(&self, id: &RowId) -> Flow<Operator> {
        match self.stored(id) {
            Some(row) => Ok(rows::decode(row.document)),
            None => not_found(id),
        }
    }

    /// The cluster's row, while the token that was made with the cluster is good.
    fn cluster_with_bootstrap(&self, id: &RowId) -> Flow<ClusterRow> {
        match rows::cluster(self.draft).filter(|cluster| !cluster.bootstrap_token_hash.is_empty()) {
            Some(cluster) => Ok(cluster),
            None => not_found(id),
        }
    }

    fn write_operator(&mut self, id: &RowId, operator: &Operator) -> Flow {
        if operator.token_hash.len() != TOKEN_HASH_BYTES {
            return invalid(format!("expected the hash of a token, of {TOKEN_HASH_BYTES} bytes"));
        }
        if operator.encoded_len() > OPERATOR_BYTES_MAX {
            return invalid(format!("expected an operator of at most {OPERATOR_BYTES_MAX} bytes"));
        }
        let row = StoredRow {
            document: operator.encode_to_vec().into(),
            unique: operator.token_hash.clone(),
            ..StoredRow::default()
        };
        self.write_row(id, row)
    }
}

/// Whether an operator is an admin whose token does not expire.
fn is_lasting_admin(operator: &Operator) -> bool {
    operator.role == ADMIN && operator.expires_ms == 0
}
