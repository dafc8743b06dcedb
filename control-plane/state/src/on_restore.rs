//! What a restore does with each table: the one place that says what is configuration and what is the cluster itself.
//!
//! A restore replaces what is served: APIs, stages, deployments, plans and keys. It keeps what makes the cluster this
//! cluster, so that its nodes stay members, its operators stay able to sign in, and what they did stays on record. Beside
//! the tables it keeps the cluster's id, CA, first operator's token and feature level, and the ids of answered requests; it
//! makes a new generation, and forgets the index of changes.

use sluice_proto::raft::Table;

/// What becomes of a table's rows in a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRestore {
    /// Configuration: the rows of the backup take the place of the cluster's.
    Replaced,
    /// Made anew from rows that were replaced.
    Derived,
    /// The cluster's own: its rows stay, those of the backup are left aside.
    Kept,
}

/// What a restore does with `table`.
pub fn on_restore(table: Table) -> OnRestore {
    match table {
        Table::Stage
        | Table::Deployment
        | Table::Part
        | Table::Content
        | Table::Plan
        | Table::Domain
        | Table::Setting
        | Table::RestApi
        | Table::Resource
        | Table::Method
        | Table::Model
        | Table::RequestValidator
        | Table::Authorizer
        | Table::GatewayResponse
        | Table::ApiKey
        | Table::PlanKey
        | Table::Owned => OnRestore::Replaced,
        Table::KeyView => OnRestore::Derived,
        Table::Unspecified
        | Table::Node
        | Table::JoinToken
        | Table::RevokedNode
        | Table::RemovedNode
        | Table::Probe
        | Table::Operator
        | Table::Audit
        | Table::RefusedCall => OnRestore::Kept,
    }
}

/// Every table that this release knows.
pub(crate) fn tables() -> impl Iterator<Item = Table> {
    (0..=u8::MAX).filter_map(|table| Table::try_from(i32::from(table)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{VISIBLE, is_always_visible, is_visible_by_reference};

    #[test]
    fn what_data_nodes_see_is_replaced_or_made_of_what_is() {
        for table in tables().filter(|table| is_always_visible(*table) || is_visible_by_reference(*table)) {
            assert!(VISIBLE.contains(&table));
            assert_ne!(
                on_restore(table),
                OnRestore::Kept,
                "{table:?}: a new generation begins with none of the old rows"
            );
        }
    }
}
