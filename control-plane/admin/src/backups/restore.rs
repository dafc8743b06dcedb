//! `Backups.Restore`: a file in, a new generation out.
//!
//! Promise: nothing changes until all of the file has come, was found whole, fits this cluster and its secrets were opened;
//! then all changes at once. Absent: what is replaced and what stays (`sluice_state::on_restore`).

use std::io;

use futures_util::Stream;
use sluice_backup::{Damage, Reader};
use sluice_proto::{
    admin::{RestoreReply, RestoreRequest, RestoreStart, restore_request},
    raft::ClusterRow,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::{
    carry::{self, Ended, Packer, Replies},
    feed::Feed,
    reseal::Resealer,
};
use crate::{
    admin::Admin,
    call::Call,
    commit, imports,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Pieces of the file that wait to be read.
const WAITING_MAX: usize = 2;

/// Carries out one restore; returns its last reply.
pub(super) async fn restore<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    mut requests: impl Stream<Item = Result<RestoreRequest, Status>> + Unpin,
    replies: &Replies,
    place: imports::Place,
) -> Result<RestoreReply, Refused> {
    let start = match imports::next(&mut requests).await? {
        Some(RestoreRequest { kind: Some(restore_request::Kind::Start(start)) }) => start,
        Some(_) | None => return Err(Refused::invalid("start", "expected the start of a restore first", "")),
    };
    commit::barrier(&admin.replica, call.deadline).await?;
    let unfounded = || Refused::new(Reason::Unavailable, "this node holds no cluster yet");
    let view = admin.replica.view();
    let (cluster, sealing) = (view.cluster().ok_or_else(unfounded)?, view.sealing_key());
    drop(view);
    // The key is a secret, and says nothing of what is asked.
    let asked = RestoreStart { cluster_key: String::new(), ..start.clone() };
    let request = call.request_id(&start.request_id, &asked)?;
    let (pieces, feed) = mpsc::channel(WAITING_MAX);
    let secrets = admin.tools.secrets.clone();
    let rows = carry::start(move |out| {
        // Held by the thread too, which may outlive the call.
        let _place = place;
        let resealer = |reader: &Reader<Feed>| {
            level_fits(reader.header().level, &cluster)?;
            Resealer::of(reader.header(), &start.cluster_key, &secrets, &cluster, &sealing)
        };
        let mut reader = Reader::open(Feed::new(feed)).map_err(damaged)?;
        let mut packer = Packer::new(out, resealer(&reader)?);
        while let Some(rows) = reader.rows().map_err(damaged)? {
            rows.into_iter().try_for_each(|row| packer.add(row))?;
        }
        if reader.end().is_none_or(|end| end.digest != start.digest) {
            let message = "expected the file whose digest was said at its start, found another; nothing was changed";
            return Err(Refused::invalid("digest", message, "").into());
        }
        packer.finish(reader.header().level)
    });
    carry::carry_out(admin, call, request, rows, receive(&mut requests, pieces), replies).await
}

/// Refuses rows of a level that the cluster does not have.
pub(super) fn level_fits(level: u32, cluster: &ClusterRow) -> Result<(), Refused> {
    if level <= cluster.level {
        return Ok(());
    }
    let message = format!("the backup is of feature level {level}, the cluster is at {}", cluster.level);
    let hint = "raise the cluster's level first, with every node of a release that knows it";
    Err(Refused::new(Reason::Level, format!("{message}; {hint}; nothing was changed")))
}

/// Hands the pieces of the file to the reading thread.
async fn receive(
    requests: &mut (impl Stream<Item = Result<RestoreRequest, Status>> + Unpin),
    pieces: mpsc::Sender<Result<Vec<u8>, String>>,
) -> Result<(), Refused> {
    loop {
        let piece = match imports::next(requests).await {
            Ok(Some(RestoreRequest { kind: Some(restore_request::Kind::Chunk(chunk)) })) => chunk,
            Ok(Some(_)) => {
                return Err(Refused::invalid("chunk", "expected a piece of the file, found something else", ""));
            }
            Ok(None) => return Ok(()),
            Err(refused) => {
                // The thread must not take it for the end of the file.
                let _ = pieces.send(Err(refused.message.clone())).await;
                return Err(refused);
            }
        };
        // A thread that reads no more has said why.
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
}

fn damaged(damage: Damage) -> Ended {
    let reason = match &damage {
        Damage::Io(error) if error.kind() != io::ErrorKind::InvalidData => Reason::Silent,
        Damage::Io(_) | Damage::NotABackup | Damage::Format { .. } | Damage::Broken { .. } => Reason::Invalid,
    };
    Refused::new(reason, format!("{damage}; nothing was changed")).into()
}
