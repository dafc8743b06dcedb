//! Nodes and the tokens that admit them.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{
    DeleteNode, JoinToken, Node, RenewCertificate, RevokedNode, RowRef, StoredRow, Table, UseJoinToken, rejected::Code,
};

use super::{
    refusal::{Flow, invalid, not_found, refuse_row},
    run::{Run, already_exists, row_id},
};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// Bytes of an encoded node or join token.
const NODE_BYTES_MAX: usize = 16 * 1024;
/// Hex of a certificate's serial number: 20 bytes at most (RFC 5280, section 4.1.2.2).
const SERIAL_CHARS_MAX: usize = 40;

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
        self.expect_not_removed(node)?;
        let node = &Node { held: self.node(&id).is_some_and(|kept| kept.held), ..node.clone() };
        // What is known of its certificates must cover each of them: a node may say again what it has read before.
        match self.stored(&id).map(|current| rows::decode::<Node>(current.document)) {
            Some(current) if current.certificate_expires_ms > node.certificate_expires_ms => {
                let Node { certificate_serial, certificate_expires_ms, .. } = current;
                self.write_node(&id, &Node { certificate_serial, certificate_expires_ms, ..node.clone() })
            }
            _ => self.write_node(&id, node),
        }
    }

    fn write_node(&mut self, id: &RowId, node: &Node) -> Flow {
        // Two control nodes with one Raft id would vote as one.
        let unique = match node.raft_id {
            0 => Vec::new(),
            raft_id => raft_id.to_be_bytes().to_vec(),
        };
        let row = StoredRow { document: node.encode_to_vec().into(), unique: unique.into(), ..StoredRow::default() };
        self.write_row(id, row)
    }

    /// Removes a node, and remembers it for as long as one of its certificates could still be shown.
    pub(super) fn delete_node(&mut self, delete: &DeleteNode) -> Flow {
        let id = named(Table::Node, &delete.node_id)?;
        let current = self.expect_row(&id, None)?;
        let node: Node = rows::decode(current.document.clone());
        self.remove_row(&id, current);
        let until_ms = delete.revoked_until_ms.max(node.certificate_expires_ms);
        if until_ms <= self.stamp_ms {
            return Ok(());
        }
        let revoked = RevokedNode { id: node.id, role: node.role, removed_ms: self.stamp_ms, until_ms };
        self.revoke(&named(Table::RevokedNode, &delete.node_id)?, &revoked)
    }

    fn revoke(&mut self, id: &RowId, revoked: &RevokedNode) -> Flow {
        let (from, to) = keys::rows_below(Table::RevokedNode, &[]);
        if self.draft.scan(&from, &to).take(limits::REVOKED_NODES_MAX).count() == limits::REVOKED_NODES_MAX {
            let message = format!(
                "expected less than {} removed nodes whose certificates are good, found as many; wait until some expire",
                limits::REVOKED_NODES_MAX
            );
            return refuse_row(Code::Capacity, id, message);
        }
        self.write_row(id, StoredRow { document: revoked.encode_to_vec().into(), ..StoredRow::default() })
    }

    /// Notes the certificate that a node is about to be given. The row says when the last of those that it
    /// was given expires.
    pub(super) fn renew_certificate(&mut self, renew: &RenewCertificate) -> Flow {
        let id = named(Table::Node, &renew.node_id)?;
        let current = self.expect_row(&id, None)?;
        let node: Node = rows::decode(current.document);
        if renew.serial.len() > SERIAL_CHARS_MAX {
            return invalid(format!("expected a serial number of at most {SERIAL_CHARS_MAX} characters"));
        }
        let certificate_expires_ms = renew.expires_ms.max(node.certificate_expires_ms);
        let node = Node { certificate_serial: renew.serial.clone(), certificate_expires_ms, ..node };
        self.write_node(&id, &node)
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

/// The id of a row of `table`.
pub(super) fn named(table: Table, id: &str) -> Flow<RowId> {
    row_id(&RowRef { table: table as i32, key: vec![id.to_owned()] })
}
