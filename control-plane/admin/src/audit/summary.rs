//! What a command touches, in words: ids and names of rows, never what is in them.

use sluice_proto::raft::{AuditCall, Command, Deploy, RowChange, RowRef, command, row_change};

use crate::{propose::stamp_of, refused::row_in_words};

/// Rows that an entry names; the others are counted.
const ROWS_SHOWN: usize = 8;
/// Characters of a row in an entry.
const ROW_CHARS_MAX: usize = 200;

/// The command with what it touches in what the audit trail says of its call, if it is audited.
pub(crate) fn summarized(mut command: Command) -> Command {
    let is_audited = stamp_of(&mut command).is_some_and(|stamp| stamp.audit.is_some());
    if !is_audited {
        return command;
    }
    let (rows, all) = touched(&command);
    if let Some(AuditCall { rows: shown, more_rows, .. }) =
        stamp_of(&mut command).and_then(|stamp| stamp.audit.as_mut())
    {
        *more_rows = u32::try_from(all - rows.len()).unwrap_or(u32::MAX);
        *shown = rows.into_iter().map(|row| row.chars().take(ROW_CHARS_MAX).collect()).collect();
    }
    command
}

/// The first rows, in words, and how many there are.
fn touched(command: &Command) -> (Vec<String>, usize) {
    use command::Kind;
    let one = match &command.kind {
        Some(Kind::Change(change)) => {
            let rows = change.rows.iter().take(ROWS_SHOWN).map(change_in_words).collect();
            return (rows, change.rows.len());
        }
        Some(Kind::PutJoinToken(put)) => {
            put.token.as_ref().map(|token| format!("put join token {} for a {} node", token.id, token.role))
        }
        Some(Kind::DeleteJoinToken(delete)) => Some(format!("delete join token {}", delete.id)),
        Some(Kind::UseJoinToken(used)) => {
            let node = used.node.as_ref();
            node.map(|node| format!("join {} node {} by token {}", node.role, node.id, used.id))
        }
        Some(Kind::PutNode(put)) => put.node.as_ref().map(|node| format!("put node {}", node.id)),
        Some(Kind::DeleteNode(delete)) => Some(format!("delete node {}", delete.node_id)),
        Some(Kind::RemoveNode(remove)) => {
            remove.node.as_ref().map(|node| format!("remove {} node {}", node.role, node.id))
        }
        Some(Kind::HoldNode(hold)) => {
            let what = if hold.held { "keep" } else { "no longer keep" };
            Some(format!("{what} node {} from voting", hold.node_id))
        }
        Some(Kind::Probe(probe)) => Some(format!("probe {}", probe.text)),
        Some(Kind::RaiseLevel(raise)) => Some(format!("raise the feature level to {}", raise.level)),
        Some(Kind::CreateOperator(create)) => {
            let operator = create.operator.as_ref();
            operator.map(|operator| format!("create operator {} ({})", operator.name, operator.role))
        }
        Some(Kind::ChangeOperator(change)) => {
            let what = if change.certificate.is_some() { "certificate" } else { "token" };
            Some(format!("new {what} of operator {}", change.name))
        }
        Some(Kind::DeleteOperator(delete)) => Some(format!("delete operator {}", delete.name)),
        Some(Kind::RenewCertificate(renew)) => Some(format!("renew the certificate of node {}", renew.node_id)),
        Some(Kind::RotateKey(_)) => Some("rotate the cluster key".to_owned()),
        Some(Kind::Restore(restore)) => Some(format!("restore the configuration as generation {}", restore.generation)),
        Some(
            Kind::StageRestore(_)
            | Kind::DropRestore(_)
            | Kind::UploadContent(_)
            | Kind::Trim(_)
            | Kind::FoundCluster(_)
            | Kind::RecordCalls(_)
            | Kind::Reseal(_),
        )
        | None => None,
    };
    let rows: Vec<String> = one.into_iter().collect();
    let all = rows.len();
    (rows, all)
}

fn change_in_words(change: &RowChange) -> String {
    let named = |row: &Option<RowRef>, name: &str| {
        let row = row.as_ref().map(row_in_words).unwrap_or_default();
        if name.is_empty() { row } else { format!("{row} ({name})") }
    };
    match &change.kind {
        Some(row_change::Kind::Put(put)) => format!("put {}", named(&put.row, &put.name)),
        Some(row_change::Kind::Delete(delete)) => format!("delete {}", named(&delete.row, "")),
        Some(row_change::Kind::ReplaceParts(replace)) => format!("import api {} ({})", replace.api_id, replace.name),
        Some(row_change::Kind::Deploy(deploy)) => deploy_in_words(deploy),
        None => "a change of another release".to_owned(),
    }
}

fn deploy_in_words(deploy: &Deploy) -> String {
    let Deploy { api_id, deployment_id, .. } = deploy;
    let stage = deploy.stage.as_ref().and_then(|put| put.row.as_ref()?.key.last());
    match stage {
        Some(stage) => format!("deploy api {api_id} to stage {stage} as {deployment_id}"),
        None => format!("deploy api {api_id} as {deployment_id}"),
    }
}
