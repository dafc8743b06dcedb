//! Deltas: how large they may be, and who shares them.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use sluice_model::{Revision, limits::STREAM_CHUNK_BYTES_MAX};
use sluice_proto::raft::{SessionReport, SessionReportReply};
use sluice_raft::Leadership;
use sluice_state::{MemoryTables, Rows, Tables, View};
use sluice_telemetry::{Metrics, bound, metric};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    Source,
    stream::{DeltaMessages, Deltas, Due, Room},
    testing::{Cluster, Node, plan, quick},
};

const ALL: usize = 64 * STREAM_CHUNK_BYTES_MAX;

fn deltas(delta: usize, all: usize) -> (Deltas, Metrics) {
    let metrics = Metrics::new();
    let given_up = metrics.counter(&metric::BOUNDS_HIT, &[bound::DELTA_BYTES]);
    (Deltas::new(Room { delta, all }, given_up), metrics)
}

/// A plan that fills three quarters of a chunk: no two share one.
fn large(id: &str) -> sluice_proto::raft::command::Kind {
    plan(id, &vec![7; STREAM_CHUNK_BYTES_MAX * 3 / 4])
}

/// A cluster at number `changes`, each of them large.
fn changed(changes: u64) -> Cluster {
    let mut cluster = Cluster::start(1, quick());
    for change in 0..changes {
        cluster.apply(large(&format!("p{change}")));
    }
    cluster
}

async fn due(deltas: &Deltas, source: &impl Source, from: u64) -> Due {
    let held = Revision::new(source.view().revision().generation, from);
    deltas.due(source, Some(&held)).await.unwrap()
}

async fn delta(deltas: &Deltas, source: &impl Source, from: u64) -> Arc<DeltaMessages> {
    match due(deltas, source, from).await {
        Due::Delta(delta) => delta,
        other => panic!("expected a delta, found {other:?}"),
    }
}

#[tokio::test]
async fn a_delta_that_grows_beyond_its_bound_is_given_up_and_counted() {
    let cluster = changed(5);
    let (deltas, metrics) = deltas(STREAM_CHUNK_BYTES_MAX * 7 / 2, ALL);
    assert!(matches!(due(&deltas, &cluster.nodes[0], 0).await, Due::Snapshot));
    let counted = "sluice_bounds_hit_total{kind=\"delta_bytes\"} 1";
    assert!(metrics.render().contains(counted), "{}", metrics.render());
    let fits = delta(&deltas, &cluster.nodes[0], 1).await;
    assert_eq!((fits.messages.len(), fits.to.number), (4, 5));
    // Asked again at the same number nothing is read again.
    assert!(matches!(due(&deltas, &cluster.nodes[0], 0).await, Due::Snapshot));
    assert!(metrics.render().contains(counted), "{}", metrics.render());
}

#[tokio::test]
async fn all_that_stand_at_one_number_share_one_delta() {
    let mut cluster = changed(2);
    let (deltas, _) = deltas(ALL, ALL);
    let first = delta(&deltas, &cluster.nodes[0], 1).await;
    let other = delta(&deltas, &cluster.nodes[0], 0).await;
    assert!(Arc::ptr_eq(&first, &delta(&deltas, &cluster.nodes[0], 1).await));
    assert!(
        Arc::ptr_eq(&other, &delta(&deltas, &cluster.nodes[0], 0).await),
        "those of other numbers do not push it out"
    );
    cluster.apply(large("later"));
    let next = delta(&deltas, &cluster.nodes[0], 1).await;
    assert_eq!((first.to.number, next.to.number), (2, 3), "it spans all that happened meanwhile");
}

#[tokio::test]
async fn what_no_stream_sends_is_not_kept() {
    let cluster = changed(2);
    let (deltas, _) = deltas(ALL, ALL);
    let sent = Arc::downgrade(&delta(&deltas, &cluster.nodes[0], 0).await);
    deltas.forget_built(Duration::from_secs(3_600));
    assert!(sent.upgrade().is_some(), "others may come to the same number");
    deltas.forget_built(Duration::ZERO);
    assert!(sent.upgrade().is_none());
}

#[tokio::test]
async fn deltas_of_slow_streams_leave_room_for_small_ones_and_none_for_more_large_ones() {
    let cluster = changed(8);
    // Four chunks beside the first of each.
    let (deltas, _) = deltas(ALL, 4 * STREAM_CHUNK_BYTES_MAX);
    let slow = delta(&deltas, &cluster.nodes[0], 4).await;
    assert_eq!(slow.messages.len(), 4);
    assert!(matches!(due(&deltas, &cluster.nodes[0], 5).await, Due::Snapshot), "two chunks more, one is left");
    assert_eq!(delta(&deltas, &cluster.nodes[0], 7).await.messages.len(), 1);
    drop(slow);
    // What was only kept makes way.
    assert_eq!(delta(&deltas, &cluster.nodes[0], 3).await.messages.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_builds_one_span_holds_up_only_those_that_need_it() {
    let cluster = changed(3);
    let gated = Gated { node: cluster.nodes[0].clone(), gate: Arc::default() };
    let (deltas, _) = deltas(ALL, ALL);
    let (entered, opened) = gated.close();
    let wait_for = |from: u64| {
        let (deltas, gated) = (deltas.clone(), gated.clone());
        tokio::spawn(async move { delta(&deltas, &gated, from).await })
    };
    let first = wait_for(0);
    tokio::task::spawn_blocking(move || entered.recv().unwrap()).await.unwrap();
    let second = wait_for(0);
    assert_eq!(delta(&deltas, &gated, 1).await.messages.len(), 2);
    assert!(!first.is_finished() && !second.is_finished());
    opened.send(()).unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(Arc::ptr_eq(&first, &second), "it was built once");
}

/// A control node on which the next scan waits at a gate.
#[derive(Clone)]
struct Gated {
    node: Node,
    gate: Arc<Gate>,
}

type Gate = Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>;

impl Gated {
    /// The next scan says that it has come, and waits until it is told to go on.
    fn close(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (enter, entered) = mpsc::channel();
        let (open, opened) = mpsc::channel();
        *self.gate.lock().unwrap() = Some((enter, opened));
        (entered, open)
    }
}

struct GatedTables {
    tables: Arc<MemoryTables>,
    gate: Arc<Gate>,
}

impl Tables for GatedTables {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        let closed = self.gate.lock().unwrap().take();
        if let Some((enter, opened)) = closed {
            enter.send(()).unwrap();
            opened.recv().unwrap();
        }
        self.tables.scan(from, to)
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        self.tables.scan_back(from, to)
    }
}

impl Source for Gated {
    type Tables = GatedTables;

    fn view(&self) -> View<GatedTables> {
        View(GatedTables { tables: self.node.view().0, gate: self.gate.clone() })
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.node.revisions()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.node.leadership()
    }

    fn raft_id(&self) -> u64 {
        self.node.raft_id()
    }

    fn voters(&self) -> Vec<u64> {
        self.node.voters()
    }

    fn confirmed(&self) -> Option<Duration> {
        self.node.confirmed()
    }

    async fn caught_up(&self, deadline: std::time::Instant) -> bool {
        self.node.caught_up(deadline).await
    }

    async fn report(&self, to: u64, report: SessionReport, limit: Duration) -> Result<SessionReportReply, Status> {
        self.node.report(to, report, limit).await
    }
}
