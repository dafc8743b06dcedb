//! `Config.Change`: operations, planned and committed as one revision.

use std::sync::Arc;

use sluice_proto::{
    admin::{ChangeReply, ChangeRequest, Operation, Stored, operation},
    model::{Diagnostic, Kind, Revision, document},
};
use sluice_state::View;

use crate::{
    admin::Admin,
    call::Call,
    commit::{Done, How, Intent, OnRace, Place, Weight, commit},
    config::replay::replayed,
    contents::Uploads,
    ids::Ids,
    plan::{self, Answer},
    propose::Committed,
    refused::Refused,
    replica::Replica,
};

/// Above this many operations planning leaves the spot.
const LIGHT_OPERATIONS_MAX: usize = 4;

/// Answers of a plan: one per operation, and the warnings of what was compiled.
type Told = (Vec<Answer>, Vec<Diagnostic>);

/// Carries out a change.
pub(super) async fn change<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ChangeRequest,
) -> Result<ChangeReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let ids = Ids::of_request(&call.actor, &request.id);
    let operations: Arc<[Operation]> = message.operations.into();
    let how = How { place: Place::Here, weight: weight(&operations), on_race: on_race(&operations) };
    let plan = {
        let (tools, operations, ids) = (admin.tools.clone(), operations.clone(), ids.clone());
        move |view: View<R::Tables>, stamp: &_, _| -> Result<Intent<Told>, Refused> {
            let planned = plan::plan(&view.0, &tools, &mut ids.clone(), stamp, &operations)?;
            let (mut rows, mut answers, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
            for one in planned {
                rows.extend(one.rows);
                answers.push(one.answer);
                warnings.extend(one.warnings);
            }
            Ok(Intent { uploads: Uploads::default(), rows, told: (answers, warnings) })
        }
    };
    let done = commit(&admin.replica, call, request, how, plan, &|_, _| {}).await?;
    match done {
        Done::Committed((answers, diagnostics), committed) => {
            let results = answers.into_iter().map(|answer| stored(answer, committed)).collect();
            Ok(ChangeReply { revision: Some(admin.revision(committed.number)), results, diagnostics })
        }
        Done::Nothing((answers, diagnostics)) => {
            let view = admin.replica.view();
            let at = Committed { number: view.number(), version: 0, replayed: false };
            let results = answers.into_iter().map(|answer| stored(answer, at)).collect();
            Ok(ChangeReply { revision: Some(view.revision().into()), results, diagnostics })
        }
        Done::Replayed(committed) => {
            // The view of a new leader may be older than the outcome that the log just gave it.
            crate::commit::barrier(&admin.replica, call.deadline).await?;
            let results = replayed(&admin.replica.view(), &admin.tools, ids, &operations);
            let revision: Revision = admin.revision(committed.number);
            Ok(ChangeReply { revision: Some(revision), results, diagnostics: Vec::new() })
        }
    }
}

fn stored(answer: Answer, committed: Committed) -> Stored {
    let version = if answer.document.is_some() { committed.version } else { 0 };
    Stored { r#ref: Some(answer.name), document: answer.document, version }
}

/// Whether planning is a few reads: keys, plans, stages and methods by themselves.
fn weight(operations: &[Operation]) -> Weight {
    let is_light = |operation: &Operation| match &operation.kind {
        Some(operation::Kind::Put(put)) => {
            let kind = put.document.as_ref().and_then(|document| document.kind.as_ref());
            matches!(kind, Some(document::Kind::ApiKey(_) | document::Kind::UsagePlanKey(_) | document::Kind::Stage(_)))
        }
        Some(operation::Kind::Patch(patch)) => {
            let kind = patch.target.as_ref().map(sluice_proto::model::Ref::kind);
            matches!(kind, Some(Kind::ApiKey | Kind::Stage))
        }
        Some(operation::Kind::Delete(delete)) => {
            let kind = delete.target.as_ref().map(sluice_proto::model::Ref::kind);
            matches!(kind, Some(Kind::ApiKey | Kind::Stage | Kind::UsagePlanKey | Kind::Deployment))
        }
        Some(operation::Kind::Deploy(_)) | None => false,
    };
    if operations.len() <= LIGHT_OPERATIONS_MAX && operations.iter().all(is_light) {
        Weight::Light
    } else {
        Weight::Heavy
    }
}

/// A caller who says which version it expects is told when it has changed.
fn on_race(operations: &[Operation]) -> OnRace {
    let expects = |operation: &Operation| match &operation.kind {
        Some(operation::Kind::Put(put)) => put.expected_version.is_some(),
        Some(operation::Kind::Patch(patch)) => patch.expected_version.is_some(),
        Some(operation::Kind::Delete(delete)) => delete.expected_version.is_some(),
        Some(operation::Kind::Deploy(_)) | None => false,
    };
    if operations.iter().any(expects) { OnRace::Refuse } else { OnRace::Again }
}
