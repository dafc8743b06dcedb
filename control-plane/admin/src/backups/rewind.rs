//! `Backups.Rewind` and `Backups.History`: an earlier revision in, a new generation out.
//!
//! Promise: as of a restore from a file: nothing changes until the earlier state was made whole and its secrets were opened.
//! Absent: how it is made (`sluice-raft`).

use sluice_proto::{
    admin::{HistoryReply, Moment, RestoreReply, RewindRequest, rewind_request},
    model::Revision,
};
use sluice_raft::{self as raft, HistoryWindow, RewindFailure, RewindTo};
use tracing::info;

use super::{
    carry::{self, Packer, Replies},
    create::header_of,
    reseal::Resealer,
    restore::level_fits,
};
use crate::{
    admin::Admin,
    call::Call,
    commit, imports,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Carries out one restore of an earlier revision; returns its last reply.
pub(super) async fn rewind<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RewindRequest,
    replies: &Replies,
    place: imports::Place,
) -> Result<RestoreReply, Refused> {
    let to = match message.to {
        Some(rewind_request::To::Number(number)) => RewindTo::Number(number),
        Some(rewind_request::To::TimeMs(time_ms)) => RewindTo::Time(time_ms),
        None => return Err(Refused::invalid("to", "expected the number of a revision or a time, found neither", "")),
    };
    let request = call.request_id(&message.request_id, &message)?;
    commit::barrier(&admin.replica, call.deadline).await?;
    let unfounded = || Refused::new(Reason::Unavailable, "this node holds no cluster yet");
    let present = admin.replica.view();
    let (cluster, sealing) = (present.cluster().ok_or_else(unfounded)?, present.sealing_key());
    drop(present);
    let (replica, secrets) = (admin.replica.clone(), admin.tools.secrets.clone());
    let rows = carry::start(move |out| {
        // Held by the thread too, which may outlive the call.
        let _place = place;
        let view = replica.rewind(to).map_err(refusal)?;
        let header = header_of(&view)?;
        level_fits(header.level, &cluster)?;
        info!(revision = header.number, ?to, "an earlier state was made again");
        let mut packer = Packer::new(out, Resealer::of(&header, "", &secrets, &cluster, &sealing)?);
        view.backup_rows().try_for_each(|row| packer.add(row))?;
        packer.finish(header.level)
    });
    carry::carry_out(admin, call, request, rows, std::future::ready(Ok(())), replies).await
}

/// Which revisions this node can make again.
pub(super) async fn history<R: Replica>(admin: &Admin<R>) -> Result<HistoryReply, Refused> {
    let HistoryWindow { from, to } = admin.replica.history().await.map_err(refusal)?;
    Ok(HistoryReply { from: Some(moment(from)), to: Some(moment(to)), node_id: admin.about.node_id.clone() })
}

fn moment(moment: raft::Moment) -> Moment {
    let revision = Revision { generation: moment.generation.to_string(), number: moment.number };
    Moment { revision: Some(revision), time_ms: moment.time_ms }
}

fn refusal(failure: RewindFailure) -> Refused {
    match &failure {
        RewindFailure::OutOfWindow(HistoryWindow { from, to }) => {
            let (since, until) = (from.time_ms / 1000, to.time_ms / 1000);
            let window = format!("from {} (at {since} s since the epoch) to {} (at {until})", from.number, to.number);
            let message = format!("this control node can make revisions again {window}, and none beside them");
            let hint = "see `sluice cluster restore --list`; another control node may keep more, a backup any";
            Refused::invalid("to", format!("{message}; nothing was changed"), hint)
        }
        RewindFailure::Storage(_) => Refused::new(Reason::Unavailable, format!("{failure}; nothing was changed")),
    }
}
