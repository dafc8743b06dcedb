//! The feature level that a command needs.
//!
//! A command that a release adds is of a new level, and is proposed once all nodes know it: a node that does not would refuse
//! what the others carry out, and its state would be another.

use sluice_model::{LEVEL, level};
use sluice_proto::raft::{Command, command::Kind};

/// The least level of a cluster that may take `command`; above every level that this release knows for one that it does not.
pub fn level_of(command: &Command) -> u32 {
    match &command.kind {
        Some(
            Kind::Change(_)
            | Kind::UploadContent(_)
            | Kind::RaiseLevel(_)
            | Kind::Trim(_)
            | Kind::FoundCluster(_)
            | Kind::PutNode(_)
            | Kind::DeleteNode(_)
            | Kind::PutJoinToken(_)
            | Kind::DeleteJoinToken(_)
            | Kind::UseJoinToken(_)
            | Kind::RemoveNode(_)
            | Kind::HoldNode(_)
            | Kind::RenewCertificate(_)
            | Kind::RotateKey(_)
            | Kind::Reseal(_)
            | Kind::CreateOperator(_)
            | Kind::ChangeOperator(_)
            | Kind::DeleteOperator(_)
            | Kind::RecordCalls(_)
            | Kind::StageRestore(_)
            | Kind::Restore(_)
            | Kind::DropRestore(_),
        ) => level::FIRST,
        Some(Kind::Probe(_)) => level::FIRST + 1,
        None => LEVEL + 1,
    }
}
