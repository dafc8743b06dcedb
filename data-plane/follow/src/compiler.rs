//! The thread that takes changes in, compiles them, swaps, and hands them to the disk.
//!
//! Promise: one change at a time, in the order in which they came; a control node is answered after the swap, the disk is
//! handed the change after that. A defect of this program over one API costs that API (`sluice-compile`); one over anything
//! else costs the change: what was served stays, as a whole, and the control node hears why. Absent: the stream (`session`);
//! a whole to stay with when the defect is met at the start, where there is none and the node serves nothing.

use std::{sync::Arc, time::Duration};

use sluice_compile::{Broken, COMPILE_PANICKED, Changed, Rows, Snapshot, caught, compile};
use sluice_model::{Diagnostic, Revision, StateDigest, limits};
use sluice_proto::{
    raft::Table,
    sync::{self, Delta, Row, TableDigest},
};
use sluice_telemetry::{Counter, Gauge, Histogram, Metrics, bound, metric};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    cell::{Publisher, Served, SnapshotCell},
    disk::{Disk, Start},
    fail_point::Poisoned,
    holding::{Holding, NotTaken},
    last_good::{BaseCopy, Facts, LastGood, Loaded},
    threads::Threads,
};

/// How often replaced snapshots are looked at when nothing changes.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// Rows after whose taking in it is worth giving freed memory back: some hundred KiB.
const TRIM_ROWS: usize = 1_000;

/// What the stream asks of the compiling thread.
#[derive(Debug)]
pub(crate) enum Work {
    /// A stream begins: what is held? Half a snapshot of an earlier stream is forgotten.
    Hold(oneshot::Sender<Held>),
    /// What a control node says of the cluster.
    Welcome { lookup_key: [u8; 32], control_addresses: Vec<String> },
    /// A whole delta.
    Delta(Box<Delta>, mpsc::Sender<Outcome>),
    /// A snapshot begins, of all tables or of some.
    SnapshotStart(Revision, Vec<i32>, mpsc::Sender<Outcome>),
    /// Some of its rows.
    SnapshotRows(Vec<Row>, mpsc::Sender<Outcome>),
    /// All of its rows have come.
    SnapshotEnd { digest: bytes::Bytes, rows: u64, reply: mpsc::Sender<Outcome> },
}

/// What the node holds, as a hello and beats say it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) revision: Option<Revision>,
    pub(crate) digest: StateDigest,
    /// The same by table.
    pub(crate) tables: Arc<[TableDigest]>,
    pub(crate) broken: Arc<[sync::Broken]>,
    /// Why what is served is not `revision` but what was served before; empty when it is.
    pub(crate) not_compiled: Arc<[sluice_proto::model::Diagnostic]>,
    /// Control nodes that were learned.
    pub(crate) control_addresses: Arc<[String]>,
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is served.
    Applied(Held),
    /// A delta was not taken; nothing has changed.
    DeltaNotTaken(NotTaken),
    /// A snapshot was not taken; nothing has changed.
    SnapshotNotTaken(NotTaken),
}

/// What the compiling thread tells the metrics.
#[derive(Debug)]
pub(crate) struct Gauges {
    revision: Gauge,
    broken: Gauge,
    not_compiled: Gauge,
    compile_seconds: Histogram,
    /// Changes that the last-good copy had no room for.
    disk_full: Counter,
}

impl Gauges {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            revision: metrics.gauge(&metric::REVISION_NUMBER, &[]),
            broken: metrics.gauge(&metric::APIS_BROKEN, &[]),
            not_compiled: metrics.gauge(&metric::CONFIGURATION_NOT_COMPILED, &[]),
            compile_seconds: metrics.histogram(&metric::COMPILE_SECONDS, &[]),
            disk_full: metrics.counter(&metric::BOUNDS_HIT, &[bound::DISK_QUEUE]),
        }
    }
}

/// What the thread begins with.
pub(crate) struct Beginning {
    pub(crate) cluster_id: String,
    /// The fail point's text.
    pub(crate) poison: Option<String>,
    pub(crate) copy: LastGood,
    pub(crate) cell: SnapshotCell,
    pub(crate) held: watch::Sender<Held>,
    pub(crate) gauges: Gauges,
    pub(crate) threads: Threads,
}

/// The state of the thread.
pub(crate) struct Compiler {
    holding: Holding,
    facts: Option<Facts>,
    cluster_id: String,
    poison: Option<String>,
    snapshot: Option<Arc<Snapshot>>,
    publisher: Publisher,
    disk: Disk,
    held: watch::Sender<Held>,
    gauges: Gauges,
    /// Rows taken in since freed memory was last given back.
    untrimmed_rows: usize,
}

impl Compiler {
    /// Reads the last-good copy and serves it.
    ///
    /// # Errors
    /// When the system has no thread left for the disk.
    pub(crate) fn begin(beginning: Beginning) -> std::io::Result<Self> {
        let Beginning { cluster_id, poison, copy, cell, held, gauges, threads } = beginning;
        let (holding, facts, start) = match copy.load(&cluster_id) {
            Some(Loaded { facts, holding, base_bytes }) => (holding, Some(facts), Start::Base(base_bytes)),
            None => (Holding::empty(&cluster_id), None, Start::Nothing),
        };
        let disk = Disk::start(copy, start, gauges.disk_full.clone(), threads)?;
        let publisher = Publisher::new(cell);
        let snapshot = None;
        let mut compiler =
            Self { holding, facts, cluster_id, poison, snapshot, publisher, disk, held, gauges, untrimmed_rows: 0 };
        compiler.swap(Changed::All);
        Ok(compiler)
    }

    /// Works until no one can ask for more.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        loop {
            match timeout(COLLECT_EVERY, queue.recv()).await {
                Ok(Some(work)) => self.work(work),
                Ok(None) => break,
                Err(_) => self.idle(),
            }
        }
        self.disk.stop();
    }

    /// Nothing has come for a while.
    fn idle(&mut self) {
        self.publisher.collect();
        if self.untrimmed_rows >= TRIM_ROWS {
            self.untrimmed_rows = 0;
            sluice_trim::ask();
        }
        sluice_trim::when_asked();
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::Hold(reply) => {
                self.holding.forget_snapshot();
                // The stream that asked may be gone already.
                let _ = reply.send(self.held.borrow().clone());
            }
            Work::Welcome { lookup_key, control_addresses } => self.welcome(lookup_key, control_addresses),
            Work::Delta(delta, reply) => {
                let outcome = self.delta(*delta);
                answer(&reply, outcome);
            }
            Work::SnapshotStart(revision, tables, reply) => {
                if let Err(reason) = self.holding.snapshot_start(revision, &tables) {
                    answer(&reply, Outcome::SnapshotNotTaken(reason));
                }
            }
            Work::SnapshotRows(rows, reply) => {
                if let Err(reason) = self.holding.snapshot_rows(&rows) {
                    self.holding.forget_snapshot();
                    answer(&reply, Outcome::SnapshotNotTaken(reason));
                }
            }
            Work::SnapshotEnd { digest, rows, reply } => {
                let outcome = self.snapshot_end(&digest, rows);
                answer(&reply, outcome);
            }
        }
    }

    /// Takes note of the cluster's facts; a lookup key that is new is served at once.
    fn welcome(&mut self, lookup_key: [u8; 32], mut control_addresses: Vec<String>) {
        // Control nodes may list each other in any order; only another set is news.
        control_addresses.sort();
        control_addresses.dedup();
        let facts = Facts { cluster_id: self.cluster_id.clone(), lookup_key, control_addresses };
        let before = self.facts.replace(facts);
        let Some(facts) = self.facts.clone() else { return };
        if before.as_ref() == Some(&facts) {
            return;
        }
        let control_addresses = facts.control_addresses.clone().into();
        self.held.send_modify(|held| held.control_addresses = control_addresses);
        if let Some(snapshot) = self.snapshot.clone() {
            if before.is_none_or(|before| before.lookup_key != lookup_key) {
                self.publisher.publish(Served { snapshot, lookup_key });
            }
            self.keep(None);
        }
    }

    fn delta(&mut self, delta: Delta) -> Outcome {
        match self.holding.delta(&delta) {
            Ok(changes) => self.applied(Changed::Rows(changes), Some(Arc::new(delta))),
            Err(reason) => Outcome::DeltaNotTaken(reason),
        }
    }

    fn snapshot_end(&mut self, digest: &[u8], rows: u64) -> Outcome {
        match self.holding.snapshot_end(digest, rows) {
            Ok(()) => self.applied(Changed::All, None),
            Err(reason) => Outcome::SnapshotNotTaken(reason),
        }
    }

    fn applied(&mut self, changed: Changed, delta: Option<Arc<Delta>>) -> Outcome {
        self.swap(changed);
        let held = self.held.borrow().clone();
        self.keep(delta);
        Outcome::Applied(held)
    }

    /// Compiles what is held and makes it what is served.
    fn swap(&mut self, changed: Changed) {
        let (Some(revision), Some(facts)) = (self.holding.revision().cloned(), &self.facts) else { return };
        let rows_changed = if let Changed::Rows(changes) = &changed { Some(changes.len()) } else { None };
        self.untrimmed_rows += rows_changed.unwrap_or_else(|| self.holding.rows().len());
        let lookup_key = facts.lookup_key;
        let began = Instant::now();
        let (snapshot, broken) = match self.compile(&revision, changed) {
            Ok(compiled) => compiled,
            Err(defect) => return self.stay(revision, &defect),
        };
        let snapshot = Arc::new(snapshot);
        let taken = began.elapsed();
        self.publisher.publish(Served { snapshot: snapshot.clone(), lookup_key });
        self.snapshot = Some(snapshot);
        self.gauges.compile_seconds.record(taken.as_secs_f64());
        self.gauges.revision.set(revision.number as f64);
        self.report(revision, broken, facts_addresses(self.facts.as_ref()));
        debug!(
            revision = self.held.borrow().revision.as_ref().map(|held| held.number),
            rows = rows_changed,
            "configuration swapped"
        );
    }

    /// Compiles what is held.
    ///
    /// # Errors
    /// The message of a panic that belongs to no API.
    fn compile(&self, revision: &Revision, changed: Changed) -> Result<(Snapshot, Vec<Broken>), String> {
        // The snapshot is further behind than this change when the one before was not compiled.
        let changed = if self.held.borrow().not_compiled.is_empty() { changed } else { Changed::All };
        let rows = self.holding.rows();
        let compile = |rows: &dyn Rows| caught(|| compile(rows, revision.clone(), changed, self.snapshot.as_ref()));
        match &self.poison {
            Some(text) => compile(&Poisoned { rows, text }),
            None => compile(rows),
        }
    }

    /// Goes on with what is served, though another revision is held.
    fn stay(&self, revision: Revision, defect: &str) {
        error!(revision = revision.number, defect, "configuration kept on an older revision: compiling met a defect");
        self.gauges.not_compiled.set(1.0);
        let message = format!("compiling met a defect of sluice: {defect}");
        let hint = "undo the last change and report the defect";
        let why = Diagnostic::error(COMPILE_PANICKED, "", message).hint(hint);
        let (digest, tables) = (self.holding.digest(), self.table_digests());
        self.held.send_modify(|held| {
            held.revision = Some(revision);
            held.digest = digest;
            held.tables = tables;
            held.not_compiled = [why.into()].into();
            held.control_addresses = facts_addresses(self.facts.as_ref());
        });
    }

    fn report(&self, revision: Revision, broken: Vec<Broken>, control_addresses: Arc<[String]>) {
        self.gauges.broken.set(broken.len() as f64);
        self.gauges.not_compiled.set(0.0);
        for api in &broken {
            let diagnostics = api.diagnostics.len();
            warn!(api_id = %api.api_id, revision = revision.number, diagnostics, "api kept on last good deployment");
        }
        let first = self.held.borrow().revision.is_none();
        if first {
            info!(revision = revision.number, rows = self.holding.rows().len(), "configuration served");
        }
        let broken = broken
            .into_iter()
            .take(limits::BROKEN_APIS_MAX)
            .map(|api| sync::Broken { api_id: api.api_id, diagnostics: api.diagnostics.into_messages() });
        let digest = self.holding.digest();
        let tables = self.table_digests();
        let (revision, broken, not_compiled) = (Some(revision), broken.collect(), Arc::default());
        self.held.send_replace(Held { revision, digest, tables, broken, not_compiled, control_addresses });
    }

    fn table_digests(&self) -> Arc<[TableDigest]> {
        let message = |(table, digest): (Table, StateDigest)| TableDigest {
            table: table as i32,
            digest: digest.to_bytes().to_vec().into(),
        };
        self.holding.rows().table_digests().into_iter().map(message).collect()
    }

    fn keep(&self, delta: Option<Arc<Delta>>) {
        let (Some(facts), Some(revision)) = (&self.facts, self.holding.revision()) else { return };
        self.disk.keep(delta, || BaseCopy::of(facts.clone(), revision.clone(), self.holding.rows()));
    }
}

fn facts_addresses(facts: Option<&Facts>) -> Arc<[String]> {
    facts.map_or_else(Arc::default, |facts| facts.control_addresses.clone().into())
}

/// Answers the stream; one that is gone, or has stopped reading, needs no answer.
fn answer(reply: &mpsc::Sender<Outcome>, outcome: Outcome) {
    let _ = reply.try_send(outcome);
}
