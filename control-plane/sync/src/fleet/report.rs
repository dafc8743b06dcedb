//! Reporting this node's sessions to the leader.
//!
//! One report is under way at a time; what happens meanwhile goes with the next, at once. A report that was not taken is
//! followed by all sessions. A node whose reports are not taken for a while is detached: its data nodes are waited for by
//! no one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sluice_proto::raft::{SessionReport, SessionReportReply};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::{Fleet, Order, own::Extent};
use crate::source::Source;

/// When this node was last heard by a leader.
pub(super) struct Heard(Mutex<Instant>);

impl Heard {
    /// A node that has just started is not detached yet.
    pub(super) fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// A leader has taken a report that was `sent` then. One that was replaced and has not noticed was confirmed before
    /// there was another: what it takes later does not count.
    fn taken(&self, sent: Instant, reply: &SessionReportReply) {
        let confirmed = reply.confirmed_ms_ago.and_then(|ms| sent.checked_sub(Duration::from_millis(ms)));
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = (*heard).max(confirmed.unwrap_or(*heard));
    }

    /// How long ago that was.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

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
        let sent = Instant::now();
        let reply = tell(&fleet, leader, extent, now.term).await;
        let reply = reply.filter(|reply| reply.is_leader && !reply.want_full);
        let taken = reply.is_some();
        if let Some(reply) = reply {
            inner.heard.taken(sent, &reply);
        }
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
    let draining = *inner.order.borrow() == Order::Drain;
    let report = SessionReport { draining, ..inner.own.report(extent, term) };
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
