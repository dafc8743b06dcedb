//! One request from its arrival to the last byte of its response, and what is counted about it.
//!
//! Promise: it is counted exactly once, when it is dropped: after the last byte, or when the client has hung up.
//! Absent: access-log lines; they are written at the same place when they come.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::bound::Bound;
use crate::core::Core;
use crate::request_id::RequestId;
use crate::tally::{Ending, ThrottledBy};
use crate::values::Facts;
use crate::view::StageSeat;

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: RequestId,
    started: Instant,
    client: IpAddr,
    core: Rc<Core>,
    seat: Option<Rc<StageSeat>>,
    status: Option<StatusCode>,
    integrated: Option<Duration>,
    throttled: Option<ThrottledBy>,
    /// What customised gateway responses may name; only kept for APIs that have some.
    facts: Option<Box<Facts>>,
}

impl Exchange {
    pub(crate) fn new(id: RequestId, started: Instant, client: IpAddr, core: Rc<Core>) -> Self {
        Self { id, started, client, core, seat: None, status: None, integrated: None, throttled: None, facts: None }
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// When its head had arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Who sent it.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// It has reached a stage.
    pub(crate) fn reached(&mut self, seat: Rc<StageSeat>) {
        self.seat = Some(seat);
    }

    /// Keeps what a gateway response may name.
    pub(crate) fn keep(&mut self, facts: Box<Facts>) {
        self.facts = Some(facts);
    }

    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    pub(crate) fn facts_mut(&mut self) -> Option<&mut Facts> {
        self.facts.as_deref_mut()
    }

    /// A limit refused it.
    pub(crate) fn throttled(&mut self, by: ThrottledBy) {
        self.throttled = Some(by);
    }

    /// Its integration answered, or failed, `time` after it was asked.
    pub(crate) fn integrated(&mut self, time: Duration) {
        self.integrated = Some(time);
    }

    /// It met a bound of the node.
    pub(crate) fn hit(&self, bound: Bound) {
        self.core.tally.hit(bound);
    }

    /// Its response begins.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let tally = self.seat.as_ref().map_or(&*self.core.tally.unrouted, |seat| seat.tally());
        tally.end(self.status.map_or(Ending::HungUp, Ending::Answered), self.started.elapsed());
        if let Some(time) = self.integrated {
            tally.integrated(time);
        }
        if let Some(by) = self.throttled {
            self.core.tally.throttled(by);
        }
    }
}
