//! Nodes and the tokens that admit them.

use prost::Message;
use sluice_proto::raft::{JoinToken, Node, RowRef, StoredRow, Table, UseJoinToken, rejected::Code};

use super::{
    refusal::{Flow, invalid, not_found, refuse_row},
    run::{Run, already_exists, row_id},
};
use crate::{keys::RowId, rows, tables::Tables};

/// Bytes of an encoded node or join token.
const NODE_BYTES_MAX: usize = 16 * 1024;

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn put_node(&mut self, node: Option<&Node>) -> Flow {
        let Some(node) = node else { return invalid("expected a node, found none") };
        let id = named(Table::Node, &node.id)?;
        if !matches!(node.role.as_str(), "control" | "data") {
            return invalid("expected a role of control or data, found another");
        }
        if node.encoded_len() > NODE_BYTES_MAX {
            return invalid(format!("expected a node of at most {NODE_BYTES_MAX} bytes"));
        }
        // Two control nodes with one Raft id would vote as one.
        let unique = match node.raft_id {
            0 => Vec::new(),
            raft_id => raft_id.to_be_bytes().to_vec(),
        };
        let row = StoredRow { document: node.encode_to_vec().into(), unique: unique.into(), ..StoredRow::default() };
        self.write_row(&id, row)
    }

    pub(super) fn delete_node(&mut self, node_id: &str) -> Flow {
        let id = named(Table::Node, node_id)?;
        let current = self.expect_row(&id, None)?;
        self.remove_row(&id, current);
        Ok(())
    }

    pub(super) fn put_join_token(&mut self, token: Option<&JoinToken>) -> Flow {
        let Some(token) = token else { return invalid("expected a join token, found none") };
        let id = named(Table::JoinToken, &token.id)?;
        if token.encoded_len() > NODE_BYTES_MAX {
            return invalid(format!("expected a join token of at most {NODE_BYTES_MAX} bytes"));
        }
        if self.stored(&id).is_some() {
            return already_exists(&id);
        }
        self.write_row(&id, StoredRow { document: token.encode_to_vec().into(), ..StoredRow::default() })
    }

    pub(super) fn delete_join_token(&mut self, token_id: &str) -> Flow {
        let id = named(Table::JoinToken, token_id)?;
        let current = self.expect_row(&id, None)?;
        self.remove_row(&id, current);
        Ok(())
    }

    /// Takes a token out of use and admits the node.
    pub(super) fn use_join_token(&mut self, used: &UseJoinToken) -> Flow {
        let id = named(Table::JoinToken, &used.id)?;
        let Some(current) = self.stored(&id) else { return not_found(&id) };
        let token: JoinToken = rows::decode(current.document.clone());
        if token.secret_hash.is_empty() || token.secret_hash != used.secret_hash {
            return refuse_row(Code::Invalid, &id, "expected the secret of the join token, found another");
        }
        if token.expires_ms <= self.stamp_ms {
            return refuse_row(Code::Expired, &id, "expected a join token that is valid, found one that has expired");
        }
        if used.node.as_ref().is_some_and(|node| node.role != token.role) {
            return refuse_row(Code::Invalid, &id, "expected a node of the join token's role, found another");
        }
        // A token makes a node; it does not make its holder one that is there.
        if let Some(node) = &used.node {
            let node_id = named(Table::Node, &node.id)?;
            if self.stored(&node_id).is_some() {
                return already_exists(&node_id);
            }
        }
        self.put_node(used.node.as_ref())?;
        self.remove_row(&id, current);
        Ok(())
    }
}

fn named(table: Table, id: &str) -> Flow<RowId> {
    row_id(&RowRef { table: table as i32, key: vec![id.to_owned()] })
}
