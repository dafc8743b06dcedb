//! Nodes that are taken out of the cluster, and control nodes that are kept from voting.
//!
//! Promise: a node that was removed is not taken in again under its id, and the number of a removed control node names no
//! other: its log may come back. Absent: who votes, which is Raft's own.

use prost::Message;
use sluice_proto::raft::{DeleteNode, Node, RemovedNode, StoredRow, Table, rejected::Code};

use super::{
    node::named,
    refusal::{Flow, invalid, not_found, refuse, refuse_row},
    run::{Run, already_exists},
};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// Bytes of what is kept of a removed node.
const REMOVED_BYTES_MAX: usize = 16 * 1024;
/// Milliseconds for which a removed node is refused where it has no certificate that says: ten years, as long as one may be good.
const REVOKED_MS: u64 = 3_650 * 24 * 3_600 * 1_000;

impl<T: Tables> Run<'_, '_, T> {
    /// Takes a node out; its row may be gone already, as that of a node which was lost before it was listed.
    pub(super) fn remove_node(&mut self, removed: Option<&RemovedNode>) -> Flow {
        let Some(removed) = removed else { return invalid("expected a node, found none") };
        let kept = named(Table::RemovedNode, &removed.id)?;
        if self.stored(&kept).is_some() {
            return already_exists(&kept);
        }
        let removed = RemovedNode { removed_ms: self.stamp_ms, ..removed.clone() };
        if removed.encoded_len() > REMOVED_BYTES_MAX {
            return invalid(format!("expected a node of at most {REMOVED_BYTES_MAX} bytes"));
        }
        self.forget_a_removed_node()?;
        let id = named(Table::Node, &removed.id)?;
        if self.stored(&id).is_some() {
            let revoked_until_ms = self.stamp_ms.saturating_add(REVOKED_MS);
            let node_id = removed.id.clone();
            self.delete_node(&DeleteNode { node_id, revoked_until_ms, ..DeleteNode::default() })?;
        }
        self.write_row(&kept, StoredRow { document: removed.encode_to_vec().into(), ..StoredRow::default() })
    }

    /// Keeps a control node from voting, or no longer.
    pub(super) fn hold_node(&mut self, node_id: &str, held: bool) -> Flow {
        let id = named(Table::Node, node_id)?;
        let Some(node) = self.node(&id) else { return not_found(&id) };
        let Some(current) = self.stored(&id) else { return not_found(&id) };
        if node.role != "control" {
            return refuse_row(Code::Invalid, &id, "expected a control node, found another");
        }
        let node = Node { held, ..node };
        self.write_row(&id, StoredRow { document: node.encode_to_vec().into(), ..current })
    }

    /// The node as its row has it.
    pub(super) fn node(&self, id: &RowId) -> Option<Node> {
        self.stored(id).map(|row| rows::decode(row.document))
    }

    /// Refuses a node that was taken out, and a number that was another's.
    pub(super) fn expect_not_removed(&self, node: &Node) -> Flow {
        let id = named(Table::RemovedNode, &node.id)?;
        if self.stored(&id).is_some() {
            let message =
                format!("node {} was removed from the cluster; join as a new node, with an empty folder", node.id);
            return refuse_row(Code::Invalid, &id, message);
        }
        if node.raft_id != 0
            && let Some(other) = self.removed_nodes().into_iter().find(|(_, removed)| removed.raft_id == node.raft_id)
        {
            let message = format!("expected a number of Raft's that no node has had, found that of {}", other.1.id);
            return refuse_row(Code::NotUnique, &id, message);
        }
        Ok(())
    }

    /// Makes room for one more.
    fn forget_a_removed_node(&mut self) -> Flow {
        let (kept, most) = (self.removed_nodes(), self.bounds.removed_nodes_max);
        if kept.len() < most {
            return Ok(());
        }
        let data = kept.into_iter().filter(|(_, removed)| removed.raft_id == 0);
        let Some((id, _)) = data.min_by_key(|(id, removed)| (removed.removed_ms, id.key.clone())) else {
            return refuse(Code::Capacity, format!("expected at most {most} removed nodes"));
        };
        if let Some(current) = self.stored(&id) {
            self.remove_row(&id, current);
        }
        Ok(())
    }

    fn removed_nodes(&self) -> Vec<(RowId, RemovedNode)> {
        let (from, to) = keys::rows_below(Table::RemovedNode, &[]);
        let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
            let row: StoredRow = rows::decode(value.into());
            keys::row_of(&key).map(|id| (id, rows::decode(row.document)))
        };
        self.draft.scan(&from, &to).filter_map(decode).collect()
    }
}
