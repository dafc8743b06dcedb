//! The fleet: the data nodes that stream from this control node and, on the leader, from all of them.
//!
//! Promise: what a data node has answered reaches the leader's view at once, in batches only of what is waiting; a leader
//! says which control nodes it has not heard rather than guess. The view is soft state: it is rebuilt in a new term from
//! what every control node sends. Absent: anything a data node could be told; that is the stream's.

mod drain;
mod merged;
mod own;
mod report;
mod wait;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sluice_proto::{
    admin::{BrokenOnNode, NodeLine, WaitReply},
    model::Revision,
    raft::{BrokenApi, Node, Session, SessionReport, SessionReportReply},
    sync,
};
use sluice_raft::Raft;
use tokio::{sync::watch, time::Instant};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use own::Order;
pub(crate) use own::{Own, Registered};

use self::merged::Merged;
use crate::{source::Source, stream::Gate, timing::Timing};

const DRAINING: u32 = sync::Standing::Draining as u32;
const DRAINED: u32 = sync::Standing::Drained as u32;

/// The fleet as one control node knows it. Clones share it; when the last is dropped, its tasks and all streams end.
#[derive(Clone)]
pub struct Fleet<S: Source = Raft> {
    pub(crate) inner: Arc<Inner<S>>,
    /// Stops what runs when the last is dropped. Its own tasks hold none.
    _guard: Option<Arc<DropGuard>>,
}

pub(crate) struct Inner<S> {
    pub(crate) source: S,
    pub(crate) timing: Timing,
    pub(crate) own: Own,
    pub(crate) gate: Gate,
    merged: Mutex<Merged>,
    heard: report::Heard,
    /// What an operator wants of this node.
    order: watch::Sender<Order>,
    /// Told after each change of the merged view.
    changed: watch::Sender<u64>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl<S: Source> std::fmt::Debug for Fleet<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fleet").field("raft_id", &self.inner.source.raft_id()).finish_non_exhaustive()
    }
}

impl<S: Source> Fleet<S> {
    /// Starts to report sessions to whoever leads. Must be called within a tokio runtime, which then runs its tasks and
    /// those of the streams, until [`Fleet::stop`].
    pub fn start(source: S) -> Self {
        Self::start_with(source, Timing::PRODUCT)
    }

    pub(crate) fn start_with(source: S, timing: Timing) -> Self {
        let inner = Inner {
            own: Own::new(source.raft_id()),
            source,
            timing,
            gate: Gate::default(),
            merged: Mutex::default(),
            heard: report::Heard::now(),
            order: watch::Sender::new(Order::Serve),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let guard = Arc::new(inner.stop.clone().drop_guard());
        let fleet = Self { inner: Arc::new(inner), _guard: Some(guard) };
        let Inner { stop, tasks, .. } = &*fleet.inner;
        tasks.spawn(stop.clone().run_until_cancelled_owned(report::run(fleet.for_task())));
        tasks.spawn(stop.clone().run_until_cancelled_owned(crate::stream::open_gate(fleet.for_task())));
        fleet
    }

    /// The same for a task of its own, which does not keep it running.
    pub(crate) fn for_task(&self) -> Self {
        Self { inner: self.inner.clone(), _guard: None }
    }

    /// Ends all streams, telling data nodes to go elsewhere, and waits until they have ended.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Takes what a control node knows of the data nodes that stream from it; without effect when this node does not
    /// lead.
    pub fn take_report(&self, report: SessionReport) -> SessionReportReply {
        let leadership = *self.inner.source.leadership().borrow();
        let confirmed = self.inner.source.confirmed().filter(|_| leadership.this);
        let confirmed_ms_ago = confirmed.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
        let reply = SessionReportReply {
            term: leadership.term,
            is_leader: leadership.this,
            want_full: false,
            confirmed_ms_ago,
        };
        if !leadership.this {
            return reply;
        }
        let want_full = self.merged(leadership.term).take(report, Instant::now()) == merged::Taken::WantFull;
        self.inner.changed.send_modify(|version| *version += 1);
        SessionReportReply { want_full, ..reply }
    }

    /// Waits until every data node that is connected now serves `revision`, and there is at least one; drops those that
    /// leave. Of broken APIs only those of `api_ids` matter; when it is empty, all. Answers what is known when the timeout
    /// is over, and at once on a node that does not lead or stops to.
    ///
    /// A data node is connected when it streams from a control node whose reports a leader takes.
    ///
    /// Dropping the future has no effect on anything.
    pub async fn wait(&self, revision: Revision, api_ids: Vec<String>, timeout: Duration) -> WaitReply {
        wait::wait(self, &wait::Awaited { revision, api_ids }, timeout).await
    }

    /// Whether data nodes are sent elsewhere: an operator wants that, or no leader has taken this node's reports for so long
    /// that none waits for its data nodes.
    pub(crate) fn is_detached(&self) -> bool {
        *self.inner.order.borrow() == Order::Drain
            || self.inner.heard.elapsed() > self.inner.timing.reporter_silence_max
    }

    /// A line for every data node: connected ones, those that left lately and were not removed, and those that joined and
    /// are not here. On a
    /// node that does not lead, what it knows itself.
    pub fn nodes(&self) -> Vec<NodeLine> {
        let leadership = *self.inner.source.leadership().borrow();
        let view = self.inner.source.view();
        let generation = view.revision().generation;
        let joined = view.nodes();
        let (live, gone) = if leadership.this {
            let merged = self.merged(leadership.term);
            let mut gone = merged.gone();
            gone.retain(|session| view.removed_node(&session.node_id).is_none());
            (merged.live(), gone)
        } else {
            let mut own = self.inner.own.all();
            own.sort_by_key(|session| std::cmp::Reverse(session.connected_ms));
            (own, Vec::new())
        };
        let controls: BTreeMap<u64, &Node> =
            joined.iter().filter(|node| node.role == "control").map(|node| (node.raft_id, node)).collect();
        let control = |raft_id: u64| controls.get(&raft_id).copied();
        let connected = |session: Session| {
            let state = match session.standing {
                DRAINING => "draining",
                DRAINED => "drained",
                _ if session.generation != *generation => "connected",
                _ if session.not_compiled.is_empty() => "serving",
                _ => "broken",
            };
            line(session, state, &control)
        };
        let here = live.into_iter().map(connected);
        let left = gone.into_iter().map(|session| line(session, "gone", &control));
        let others = joined.iter().filter(|node| node.role == "data").map(absent);
        let mut lines: BTreeMap<String, NodeLine> = BTreeMap::new();
        // What is known better comes first, and stays.
        for line in here.chain(left).chain(others) {
            lines.entry(line.id.clone()).or_insert(line);
        }
        for node in &joined {
            if let Some(line) = lines.get_mut(&node.id) {
                line.certificate_expires_ms = node.certificate_expires_ms;
            }
        }
        lines.into_values().collect()
    }

    /// The merged view of `term`, without what has aged.
    fn merged(&self, term: u64) -> MutexGuard<'_, Merged> {
        let mut merged = self.inner.merged.lock().unwrap_or_else(PoisonError::into_inner);
        merged.refresh(term, self.inner.source.raft_id(), &self.inner.timing, Instant::now());
        merged
    }
}

fn line<'a>(session: Session, state: &str, control: &impl Fn(u64) -> Option<&'a Node>) -> NodeLine {
    let control_node = match control(session.control_raft_id) {
        Some(node) => node.id.clone(),
        None => session.control_raft_id.to_string(),
    };
    NodeLine {
        id: session.node_id,
        role: "data".to_owned(),
        address: session.address,
        state: state.to_owned(),
        version: session.version,
        level: session.level,
        applied_number: session.applied_number,
        control_node,
        broken_apis: session.broken.iter().map(|broken| broken.api_id.clone()).collect(),
        broken: session.broken.into_iter().map(broken_on_node).collect(),
        not_compiled: session.not_compiled,
        ..NodeLine::default()
    }
}

fn broken_on_node(BrokenApi { api_id, diagnostics }: BrokenApi) -> BrokenOnNode {
    BrokenOnNode { api_id, diagnostics }
}

/// A node that joined and has not been seen.
fn absent(node: &Node) -> NodeLine {
    NodeLine {
        id: node.id.clone(),
        role: node.role.clone(),
        address: node.public_address.clone(),
        state: "gone".to_owned(),
        version: node.version.clone(),
        level: node.level,
        ..NodeLine::default()
    }
}
