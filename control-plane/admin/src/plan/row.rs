//! Rows to put and to delete.
//!
//! Promise: a document becomes the bytes of a row here and nowhere else, and none that the cluster does not understand does:
//! a noun cannot forget to ask. What an API holds becomes rows in `contents`, which asks for all of it at once.

use bytes::Bytes;
use sluice_model::LEVEL;
use sluice_proto::raft::{DeleteRow, PutRow, RowChange, RowRef, row_change};
use sluice_state::{Tables, View};

use super::PENDING;
use crate::{
    noun::{Noun, row_of},
    refused::{Reason, Refused},
};

/// Nodes that a refusal names.
const NODES_NAMED_MAX: usize = 10;

/// The row that puts `document`, without what only some nouns have.
///
/// # Errors
/// `Level`.
pub(super) fn row_of_document<N: Noun, T: Tables>(view: &View<T>, document: &N) -> Result<PutRow, Refused> {
    let encoded = encoded(view, document)?;
    Ok(PutRow { row: Some(row_of(document)), document: encoded, name: document.name().to_owned(), ..PutRow::default() })
}

/// The bytes of a document that the cluster of `view` understands.
///
/// # Errors
/// `Level`.
pub(super) fn encoded<N: Noun, T: Tables>(view: &View<T>, document: &N) -> Result<Bytes, Refused> {
    level_fits(document.level_needed().max(document.level()), view)?;
    Ok(document.encode_to_vec().into())
}

/// Refuses a feature level that the cluster does not have: older nodes would refuse the document, and what this release
/// does not know of it would be lost.
pub(crate) fn level_fits<T: Tables>(level: u32, view: &View<T>) -> Result<(), Refused> {
    // A node of an older release than its cluster would lose what it does not know.
    let supported = view.cluster().map_or(0, |cluster| cluster.level).min(LEVEL);
    if level <= supported {
        return Ok(());
    }
    Err(above("document", level, supported, view))
}

/// A refusal of what needs a level that the cluster does not have, which names the nodes that do not know it.
pub(crate) fn above<T: Tables>(what: &str, needed: u32, supported: u32, view: &View<T>) -> Refused {
    let behind = view.nodes().into_iter().filter(|node| node.level < needed);
    let mut names: Vec<String> = behind.map(|node| format!("{} node {}", node.role, node.id)).collect();
    let more = names.len().saturating_sub(NODES_NAMED_MAX);
    names.truncate(NODES_NAMED_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let message = format!("the {what} is of feature level {needed}, the cluster has level {supported}");
    let advice = match names.as_slice() {
        [] => "its leader raises it when all its nodes are known to support it: try again in a moment".to_owned(),
        names => format!("not supported yet by {}: upgrade them, and the leader raises it", names.join(", ")),
    };
    Refused::new(Reason::Level, format!("{message}; {advice}"))
}

/// Wraps a row to put.
pub(crate) fn put_row(row: PutRow) -> RowChange {
    RowChange { kind: Some(row_change::Kind::Put(row)) }
}

/// Wraps a row to delete.
pub(crate) fn removal(row: RowRef, expected_version: Option<u64>) -> RowChange {
    RowChange { kind: Some(row_change::Kind::Delete(DeleteRow { row: Some(row), expected_version })) }
}

/// The version that apply has to find: what the caller expects, else what was read (0: nothing).
pub(super) fn expect(
    expected: Option<u64>,
    found: Option<u64>,
    what: impl FnOnce() -> String,
) -> Result<Option<u64>, Refused> {
    match (expected, found) {
        (_, Some(PENDING)) => Ok(None),
        (None, found) => Ok(Some(found.unwrap_or(0))),
        (Some(expected), found) if expected == found.unwrap_or(0) => Ok(Some(expected)),
        (Some(0), Some(_)) => Err(Refused::conflict(format!("{} already exists", what()))),
        (Some(expected), Some(found)) => Err(Refused::new(
            Reason::VersionChanged,
            format!(
                "{} has version {found}, expected {expected}: someone else changed it; read it again and repeat the change",
                what()
            ),
        )),
        (Some(_), None) => Err(Refused::not_found(format!("{} does not exist", what()))),
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::level::leveled;
    use sluice_proto::model::{ApiKey, Deployment, Stage, UsagePlan};
    use sluice_state::MemoryTables;

    use super::*;
    use crate::{
        plan::{deploy_planned, joined, key_row, stage_row},
        read::Found,
    };

    /// A cluster that is not founded has no level, so that every document is above it.
    #[test]
    fn no_noun_makes_a_row_that_the_cluster_does_not_understand() {
        let tables = MemoryTables::new();
        let view = View(&tables);
        let stage = leveled(Stage::default());
        let key = leveled(ApiKey { value_hash: Some("00".into()), ..ApiKey::default() });
        let plan = Found { version: 1, document: leveled(UsagePlan::default()) };
        let refusals = [
            ("any", row_of_document(&view, &stage).map(drop)),
            ("stage", stage_row(&view, &stage, None).map(drop)),
            ("key", key_row(&view, &key, None).map(drop)),
            ("members", joined(&view, &plan, &[]).map(drop)),
            ("deployment", deploy_planned(&view, leveled(Deployment::default()), None, None).map(drop)),
        ];
        for (what, refusal) in refusals {
            assert_eq!(refusal.unwrap_err().reason, Reason::Level, "{what}");
        }
    }
}
