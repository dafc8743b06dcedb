//! Commands that a cluster whose disks are full still takes.

use sluice_proto::raft::{Command, command::Kind, row_change};

/// Whether `command` passes when there is too little free disk for others: it deletes, or is small and needed to mend the
/// cluster.
///
/// A change passes when all of it deletes: what also puts may be of any size.
pub fn passes_full_disk(command: &Command) -> bool {
    match &command.kind {
        Some(Kind::Change(change)) => {
            !change.rows.is_empty()
                && change.rows.iter().all(|row| matches!(row.kind, Some(row_change::Kind::Delete(_))))
        }
        Some(Kind::UploadContent(_) | Kind::Reseal(_) | Kind::StageRestore(_) | Kind::Restore(_)) => false,
        Some(
            Kind::Trim(_)
            | Kind::RaiseLevel(_)
            | Kind::FoundCluster(_)
            | Kind::PutNode(_)
            | Kind::DeleteNode(_)
            | Kind::RemoveNode(_)
            | Kind::HoldNode(_)
            | Kind::Probe(_)
            | Kind::RenewCertificate(_)
            | Kind::RotateKey(_)
            | Kind::CreateOperator(_)
            | Kind::ChangeOperator(_)
            | Kind::DeleteOperator(_)
            | Kind::RecordCalls(_)
            | Kind::DropRestore(_)
            | Kind::PutJoinToken(_)
            | Kind::DeleteJoinToken(_)
            | Kind::UseJoinToken(_),
        ) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use sluice_proto::raft::{Change, DeleteRow, PutRow, RowChange, Trim, UploadContent, row_change::Kind as Row};

    use super::*;

    fn passes(kind: Kind) -> bool {
        passes_full_disk(&Command { kind: Some(kind) })
    }

    #[test]
    fn deletes_pass_and_what_also_puts_does_not() {
        let change = |rows: Vec<Row>| {
            let rows = rows.into_iter().map(|kind| RowChange { kind: Some(kind) }).collect();
            passes(Kind::Change(Change { stamp: None, rows }))
        };
        let (put, delete) = (|| Row::Put(PutRow::default()), || Row::Delete(DeleteRow::default()));
        assert!(change(vec![delete(), delete()]) && !change(vec![delete(), put()]) && !change(Vec::new()));
        assert!(passes(Kind::Trim(Trim::default())) && !passes(Kind::UploadContent(UploadContent::default())));
    }
}
