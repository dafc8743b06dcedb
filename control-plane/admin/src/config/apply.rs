//! `Config.Apply`: whole configuration as files, one commit.

use sluice_proto::{
    admin::{ApplyReply, ApplyRequest, ObjectResult},
    model::Diagnostic,
    raft::Stamp,
};
use sluice_state::View;

use crate::{
    admin::Admin,
    call::Call,
    commit::{Done, How, Intent, OnRace, Place, Weight, barrier, commit},
    files::{Files, Owner, plan_files},
    ids::Ids,
    propose::now_ms,
    refused::{Reason, Refused},
    replica::Replica,
};

type Told = (Vec<ObjectResult>, Vec<Diagnostic>);

/// Says what applying the objects changes and, unless it is a dry run, changes it.
pub(super) async fn apply<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ApplyRequest,
) -> Result<ApplyReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let ids = Ids::of_request(&call.actor, &request.id);
    let files = Files { objects: message.objects.into(), owner: Owner::of(message.owner, message.prune)? };
    let plan = {
        let (tools, files) = (admin.tools.clone(), files);
        move |view: View<R::Tables>, stamp: &Stamp, _| -> Result<Intent<Told>, Refused> {
            let planned = plan_files(&view.0, &tools, &mut ids.clone(), stamp, &files)?;
            let told = (planned.results, planned.warnings);
            Ok(Intent { uploads: planned.uploads, rows: planned.rows, told })
        }
    };
    let how = How { place: Place::Here, weight: Weight::Heavy, on_race: OnRace::Again };
    if message.dry_run {
        return dry_run(admin, call, plan).await;
    }
    let done = commit(&admin.replica, call, request, how, plan.clone(), &|_, _| {}).await?;
    match done {
        Done::Committed((objects, diagnostics), committed) => {
            Ok(ApplyReply { objects, revision: Some(admin.revision(committed.number)), diagnostics })
        }
        Done::Nothing((objects, diagnostics)) => Ok(ApplyReply { objects, revision: None, diagnostics }),
        Done::Replayed(committed) => {
            // What the first execution did is done: now the same files change nothing, unless others changed something.
            let reply = dry_run(admin, call, plan).await?;
            Ok(ApplyReply { revision: Some(admin.revision(committed.number)), ..reply })
        }
    }
}

async fn dry_run<R, F>(admin: &Admin<R>, call: &Call, plan: F) -> Result<ApplyReply, Refused>
where
    R: Replica,
    F: Fn(View<R::Tables>, &Stamp, u32) -> Result<Intent<Told>, Refused> + Send + 'static,
{
    barrier(&admin.replica, call.deadline).await?;
    let view = admin.replica.view();
    let stamp = call.stamp(now_ms(view.stamp()), None);
    let planned = tokio::task::spawn_blocking(move || plan(view, &stamp, 0)).await;
    let ended = |error| Refused::new(Reason::Unavailable, format!("planning ended: {error}"));
    let (objects, diagnostics) = planned.map_err(ended)??.told;
    Ok(ApplyReply { objects, revision: None, diagnostics })
}
