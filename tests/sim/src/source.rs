//! What the config stream and the fleet need of Raft, from the simulated one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::async_runtime::Instant as _;
use sluice_proto::raft::{SessionReport, SessionReportReply};
use sluice_raft::Leadership;
use sluice_state::{MemoryTables, View};
use sluice_sync::{Blocking, Source};
use tokio::{sync::watch, time::timeout};
use tonic::Status;

use crate::{
    circumstances::Sabotage,
    control::Member,
    pipe,
    raft::{members::metrics_of, read},
    world::World,
};

/// The state and the peers of one control node.
#[derive(Clone)]
pub(crate) struct SimSource {
    world: World,
    member: Member,
}

impl SimSource {
    pub(crate) fn new(world: World, member: Member) -> Self {
        Self { world, member }
    }
}

impl Source for SimSource {
    type Tables = Arc<MemoryTables>;

    fn view(&self) -> View<Arc<MemoryTables>> {
        self.member.states.view()
    }

    fn blocking(&self) -> Blocking {
        Blocking::Here
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.member.states.numbers.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.member.leadership.clone()
    }

    fn raft_id(&self) -> u64 {
        self.member.raft_id
    }

    fn voters(&self) -> Vec<u64> {
        metrics_of(&self.member.core).membership_config.voter_ids().collect()
    }

    fn confirmed(&self) -> Option<Duration> {
        if !self.member.leadership.borrow().this {
            return None;
        }
        if self.voters() == [self.member.raft_id] {
            return Some(Duration::ZERO);
        }
        metrics_of(&self.member.core).last_quorum_acked.map(|acked| acked.into_inner().elapsed())
    }

    async fn caught_up(&self, deadline: Instant) -> bool {
        read::barrier(&self.world, &self.member, deadline.into()).await
    }

    async fn report(&self, to: u64, mut report: SessionReport, limit: Duration) -> Result<SessionReportReply, Status> {
        if self.world.circumstances().sabotage == Sabotage::ReportsTooMuch {
            report.sessions.iter_mut().for_each(|session| session.applied_number += 1);
        }
        let reported =
            self.world.call(&self.member.end(), to, |leader| async move { leader.fleet.take_report(report) });
        let reported = timeout(limit, reported).await;
        reported.map_err(|_| Status::deadline_exceeded("no answer"))?.map_err(pipe::status)
    }
}
