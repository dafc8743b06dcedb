//! Control nodes that apply what they are told to, without Raft.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use sluice_identity::{FoundingRequest, Keyring, found};
use sluice_proto::raft::{
    Change, Command, Node as NodeRow, PutNode, PutRow, RowChange, RowRef, SessionReport, SessionReportReply, Stamp,
    Table, command, row_change,
};
use sluice_raft::Leadership;
use sluice_state::{Draft, MemoryTables, View, apply};
use sluice_telemetry::Metrics;
use tokio::sync::watch;
use tonic::Status;

use crate::{Fleet, Source, SyncServer, timing::Timing};

/// Waits that a test can outlast, where they end in something; long ones where they must not.
pub(crate) fn quick() -> Timing {
    Timing {
        behind_max: Duration::from_millis(100),
        resync_every: Duration::from_millis(100),
        report_every: Duration::from_millis(50),
        hidden_max: Duration::from_millis(300),
        gone_after: Duration::from_millis(100),
        confirm_max: Duration::from_millis(100),
        look_every: Duration::from_millis(10),
        ..Timing::PRODUCT
    }
}

/// The nodes of a cluster, and the way between them.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) fleets: Vec<Fleet<Node>>,
    pub(crate) servers: Vec<SyncServer<Node>>,
    /// What all of them have counted.
    pub(crate) metrics: Metrics,
    index: u64,
}

/// One control node.
#[derive(Clone)]
pub(crate) struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    raft_id: u64,
    voters: Vec<u64>,
    tables: RwLock<Arc<MemoryTables>>,
    number: watch::Sender<u64>,
    leadership: watch::Sender<Leadership>,
    caught_up: watch::Sender<bool>,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    fleets: Mutex<BTreeMap<u64, Fleet<Node>>>,
    cut_off: Mutex<BTreeSet<u64>>,
}

impl Cluster {
    /// A founded cluster of control nodes 1 to `size`; the first leads in term 1, and all have caught up.
    pub(crate) fn start(size: u64, timing: Timing) -> Self {
        let cluster = Self::found(size, timing);
        cluster.nodes.iter().for_each(Node::catch_up);
        cluster
    }

    /// The same without having caught up.
    pub(crate) fn found(size: u64, timing: Timing) -> Self {
        let founding = found(FoundingRequest::Plaintext { now_ms: 1 }).unwrap();
        let network = Arc::new(Network::default());
        let node = |raft_id: u64| Node {
            inner: Arc::new(Inner {
                raft_id,
                voters: (1..=size).collect(),
                tables: RwLock::default(),
                number: watch::Sender::new(0),
                leadership: watch::Sender::new(Leadership { term: 1, leader: Some(1), this: raft_id == 1 }),
                caught_up: watch::Sender::new(false),
                network: network.clone(),
            }),
        };
        let nodes: Vec<Node> = (1..=size).map(node).collect();
        let fleets: Vec<_> = nodes.iter().map(|node| Fleet::start_with(node.clone(), timing)).collect();
        for fleet in &fleets {
            network.fleets.lock().unwrap().insert(fleet.inner.source.raft_id(), fleet.clone());
        }
        let keys = Keyring::of(vec![founding.cluster_key.clone()]);
        let metrics = Metrics::new();
        let servers = fleets.iter().map(|fleet| SyncServer::new(fleet.clone(), keys.clone(), &metrics)).collect();
        let mut cluster = Self { nodes, fleets, servers, metrics, index: 0 };
        cluster.apply(command::Kind::FoundCluster(founding.command));
        cluster
    }

    /// Applies a command on every node.
    pub(crate) fn apply(&mut self, kind: command::Kind) -> u64 {
        let all: Vec<u64> = self.nodes.iter().map(|node| node.inner.raft_id).collect();
        self.apply_on(&all, kind)
    }

    /// Applies a command on some nodes; the others are behind. Returns the number after it.
    pub(crate) fn apply_on(&mut self, raft_ids: &[u64], kind: command::Kind) -> u64 {
        self.index += 1;
        let command = Command { kind: Some(kind) };
        let on = self.nodes.iter().filter(|node| raft_ids.contains(&node.inner.raft_id));
        on.map(|node| node.apply(self.index, &command)).last().unwrap()
    }

    /// A visible change on every node; the number after it.
    pub(crate) fn change(&mut self, id: &str) -> u64 {
        self.apply(plan(id, id.as_bytes()))
    }

    /// Puts a data node into the list of those that joined.
    pub(crate) fn join(&mut self, id: &str) {
        let row = NodeRow { id: id.to_owned(), role: "data".to_owned(), ..NodeRow::default() };
        self.apply(command::Kind::PutNode(PutNode { stamp: stamp(), node: Some(row) }));
    }

    /// Makes `raft_id` the leader of `term`, as every node knows.
    pub(crate) fn lead(&self, raft_id: u64, term: u64) {
        for node in &self.nodes {
            let this = node.inner.raft_id == raft_id;
            node.inner.leadership.send_replace(Leadership { term, leader: Some(raft_id), this });
        }
    }

    /// What a node says reaches no other.
    pub(crate) fn cut_off(&self, raft_id: u64) {
        self.nodes[0].inner.network.cut_off.lock().unwrap().insert(raft_id);
    }

    /// What a node says reaches the others again.
    pub(crate) fn connect(&self, raft_id: u64) {
        self.nodes[0].inner.network.cut_off.lock().unwrap().remove(&raft_id);
    }

    /// Drops every handle of every fleet.
    pub(crate) fn forget_fleets(&mut self) {
        self.nodes[0].inner.network.fleets.lock().unwrap().clear();
        self.fleets.clear();
    }

    pub(crate) fn revision(&self, number: u64) -> sluice_proto::model::Revision {
        let generation = self.nodes[0].view().revision().generation.to_string();
        sluice_proto::model::Revision { generation, number }
    }
}

impl Node {
    fn apply(&self, index: u64, command: &Command) -> u64 {
        let mut tables = MemoryTables::clone(&self.inner.tables.read().unwrap());
        let mut draft = Draft::new(&tables);
        let applied = apply(&mut draft, index, command);
        let writes = draft.into_writes();
        tables.write(writes);
        *self.inner.tables.write().unwrap() = Arc::new(tables);
        self.inner.number.send_replace(applied.changes.after);
        applied.changes.after
    }

    pub(crate) fn catch_up(&self) {
        self.inner.caught_up.send_replace(true);
    }

    /// No quorum answers it any more; it has not noticed yet.
    pub(crate) fn lose_quorum(&self) {
        self.inner.caught_up.send_replace(false);
    }
}

impl Source for Node {
    type Tables = Arc<MemoryTables>;

    fn view(&self) -> View<Arc<MemoryTables>> {
        View(self.inner.tables.read().unwrap().clone())
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.inner.number.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.subscribe()
    }

    fn raft_id(&self) -> u64 {
        self.inner.raft_id
    }

    fn voters(&self) -> Vec<u64> {
        self.inner.voters.clone()
    }

    fn confirmed(&self) -> Option<Duration> {
        self.inner.caught_up.borrow().then_some(Duration::ZERO)
    }

    async fn caught_up(&self, deadline: Instant) -> bool {
        let mut caught_up = self.inner.caught_up.subscribe();
        tokio::time::timeout_at(deadline.into(), caught_up.wait_for(|up| *up)).await.is_ok()
    }

    async fn report(&self, to: u64, report: SessionReport, _: Duration) -> Result<SessionReportReply, Status> {
        if self.inner.network.cut_off.lock().unwrap().contains(&self.inner.raft_id) {
            return Err(Status::unavailable("cut off"));
        }
        let fleet = self.inner.network.fleets.lock().unwrap().get(&to).cloned();
        Ok(fleet.ok_or_else(|| Status::unavailable("not started"))?.take_report(report))
    }
}

fn stamp() -> Option<Stamp> {
    Some(Stamp { actor: "local".to_owned(), time_ms: 1, ..Default::default() })
}

/// A usage plan: a row that data nodes see, of any size.
pub(crate) fn plan(id: &str, document: &[u8]) -> command::Kind {
    put(Table::Plan, id, document)
}

pub(crate) fn put(table: Table, id: &str, document: &[u8]) -> command::Kind {
    let put = PutRow {
        row: Some(RowRef { table: table as i32, key: vec![id.to_owned()] }),
        document: document.to_vec().into(),
        ..PutRow::default()
    };
    let rows = vec![RowChange { kind: Some(row_change::Kind::Put(put)) }];
    command::Kind::Change(Change { stamp: stamp(), rows })
}
