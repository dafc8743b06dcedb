//! Reporting this node's sessions to the leader.
//!
//! One report is under way at a time; what happens meanwhile goes with the next, at once. A report that was not taken is
//! followed by all sessions.

use sluice_proto::raft::SessionReportReply;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Fleet, own::Extent};
use crate::source::Source;

/// Until it is dropped, which it may be at any time.
pub(super) async fn run<S: Source>(fleet: Fleet<S>) {
    let inner = &fleet.inner;
    let mut leadership = inner.source.leadership();
    // The leader and term that hold everything that was reported.
    let mut told = None;
    loop {
        let now = *leadership.borrow_and_update();
        let Some(leader) = now.leader else {
            told = None;
            if leadership.changed().await.is_err() {
                return;
            }
            continue;
        };
        let extent = if told == Some((leader, now.term)) { Extent::News } else { Extent::All };
        let reply = tell(&fleet, leader, extent, now.term).await;
        let taken = reply.is_some_and(|reply| reply.is_leader && !reply.want_full);
        told = taken.then_some((leader, now.term));
        let pause = if taken { inner.timing.report_every } else { inner.timing.report_retry };
        // Cancel-safe: news are kept, and leadership is read again.
        tokio::select! {
            () = inner.own.news(), if taken => {}
            changed = leadership.changed() => if changed.is_err() { return },
            () = sleep(pause) => {}
        }
    }
}

async fn tell<S: Source>(fleet: &Fleet<S>, leader: u64, extent: Extent, term: u64) -> Option<SessionReportReply> {
    let inner = &fleet.inner;
    let report = inner.own.report(extent, term);
    if leader == inner.source.raft_id() {
        return Some(fleet.take_report(report));
    }
    let limit = inner.timing.report_max;
    match timeout(limit, inner.source.report(leader, report, limit)).await {
        Ok(Ok(reply)) => Some(reply),
        Ok(Err(status)) => {
            debug!(leader, error = status.message(), "sessions were not reported");
            None
        }
        Err(_) => None,
    }
}
