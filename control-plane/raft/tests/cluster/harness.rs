//! A cluster of nodes in this process, each with a folder, a port and threads of its own.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use sluice_identity::{
    Dialer, Door, Identity, Listener, NodeRole, Operator, OperatorCertificate, OperatorRefused, Operators, PeerLayer,
    Plaintext, grpc_server,
};
use sluice_proto::raft::{Change, Command, FoundCluster, PutRow, RowChange, RowRef, Stamp, Table, command, row_change};
use sluice_raft::{ProposeFailure, Proposed, Raft, RaftFailure, RaftSettings, StoreSnapshot};
use sluice_state::{Tables, View};
use sluice_telemetry::Metrics;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const CLUSTER: &str = "cluster";
/// Never reached unless something hangs.
pub(crate) const FAST: Duration = Duration::from_secs(30);

pub(crate) fn deadline() -> Instant {
    Instant::now() + FAST
}

pub(crate) async fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = deadline();
    while !reached() {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Node {
    home: TempDir,
    address: String,
    /// What it has counted, over its starts.
    metrics: Metrics,
    running: Option<(Raft, JoinHandle<()>)>,
}

pub(crate) struct Cluster {
    nodes: BTreeMap<u64, Node>,
    adjust: fn(&mut RaftSettings),
}

impl Cluster {
    pub(crate) async fn of(size: u64) -> Self {
        Self::with(size, |_| {}).await
    }

    /// Founded on node 1; the others have joined and vote.
    pub(crate) async fn with(size: u64, adjust: fn(&mut RaftSettings)) -> Self {
        let mut cluster = Self { nodes: BTreeMap::new(), adjust };
        cluster.make(1).await;
        assert!(cluster.raft(1).is_pristine());
        cluster.raft(1).initialize(found()).await.unwrap();
        for id in 2..=size {
            cluster.add(id).await;
        }
        cluster
    }

    /// Adds a node, and waits until it votes.
    pub(crate) async fn add(&mut self, id: u64) {
        self.make(id).await;
        let leader = self.leader().await;
        self.raft(leader).add_learner(id, &self.nodes[&id].address).await.unwrap();
        wait_until("the learner is promoted", || {
            self.raft(leader).members().iter().any(|member| member.raft_id == id && member.voter)
        })
        .await;
        // It votes from the first step of two, between which nothing is decided without a majority of the old voters:
        // a test that stops one of those would wait for it. This comes behind both.
        self.raft(leader).promote(id).await.unwrap();
    }

    async fn make(&mut self, id: u64) {
        let address = "127.0.0.1:0".to_owned();
        let node = Node { home: TempDir::new().unwrap(), address, metrics: Metrics::new(), running: None };
        self.nodes.insert(id, node);
        self.start(id).await;
    }

    pub(crate) fn settings(&self, id: u64) -> RaftSettings {
        let node = &self.nodes[&id];
        let mut settings = RaftSettings::new(node.home.path().to_owned(), id, CLUSTER.to_owned(), node.address.clone());
        (self.adjust)(&mut settings);
        settings
    }

    fn identity(id: u64) -> Identity {
        Identity::plaintext(CLUSTER, NodeRole::Control, &format!("c{id}"))
    }

    pub(crate) fn dialer(&self, id: u64) -> Dialer {
        Dialer::of_node(&Self::identity(id), Plaintext::LoopbackOnly).unwrap()
    }

    pub(crate) async fn start(&mut self, id: u64) {
        let address = self.nodes[&id].address.clone();
        let end = deadline();
        let listener = loop {
            match Listener::bind(&address, Door::Peer, &Self::identity(id), Plaintext::LoopbackOnly).await {
                Ok(listener) => break listener,
                Err(failure) => assert!(Instant::now() < end, "{failure}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.nodes.get_mut(&id).unwrap().address = listener.local_address().to_string();
        let raft = self.open(id).await;
        let layer = PeerLayer::new(CLUSTER, std::sync::Arc::new(NoOperators));
        let service = raft.peer_service();
        let serving = raft.runtime().spawn(async move {
            let served = grpc_server().layer(layer).add_service(service);
            served.serve_with_incoming(listener.incoming()).await.unwrap();
        });
        self.nodes.get_mut(&id).unwrap().running = Some((raft, serving));
    }

    /// A node that was killed lets go of its folder when its threads have ended.
    async fn open(&self, id: u64) -> Raft {
        let end = deadline();
        loop {
            match Raft::open(self.settings(id), self.dialer(id), &self.nodes[&id].metrics).await {
                Ok(raft) => return raft,
                Err(RaftFailure::Storage { problem, .. }) if problem.contains("lock") && Instant::now() < end => {}
                Err(failure) => panic!("{failure}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts a stopped node again, where no other node knows it to be; its address.
    pub(crate) async fn start_elsewhere(&mut self, id: u64) -> String {
        // Another port is free while the old one is held.
        let old = std::net::TcpListener::bind(&self.nodes[&id].address);
        self.nodes.get_mut(&id).unwrap().address = "127.0.0.1:0".to_owned();
        self.start(id).await;
        drop(old);
        self.nodes[&id].address.clone()
    }

    pub(crate) async fn stop(&mut self, id: u64) {
        let (raft, serving) = self.nodes.get_mut(&id).unwrap().running.take().unwrap();
        serving.abort();
        raft.shutdown().await;
    }

    /// Makes a stopped node forget all it has promised, and that it has promised anything.
    pub(crate) fn wipe(&self, id: u64) {
        let home = self.nodes[&id].home.path();
        std::fs::remove_dir_all(home.join("raft")).unwrap();
        std::fs::remove_file(home.join("member")).unwrap();
    }

    /// Without a word: as a crash would, except for what the operating system does then.
    pub(crate) fn kill(&mut self, id: u64) {
        let (raft, serving) = self.nodes.get_mut(&id).unwrap().running.take().unwrap();
        serving.abort();
        drop(raft);
    }

    /// What a node has counted under a name, with its labels; 0 where there is none.
    pub(crate) fn counted(&self, id: u64, name: &str) -> u64 {
        let text = self.nodes[&id].metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) fn raft(&self, id: u64) -> &Raft {
        &self.nodes[&id].running.as_ref().expect("the node runs").0
    }

    fn running(&self) -> impl Iterator<Item = &Raft> {
        self.nodes.values().filter_map(|node| node.running.as_ref()).map(|(raft, _)| raft)
    }

    pub(crate) async fn leader(&self) -> u64 {
        let mut found = None;
        wait_until("there is a leader", || {
            found = self.running().find(|raft| raft.leadership().borrow().this).map(Raft::raft_id);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn propose(&self, command: Command) -> Proposed {
        let end = deadline();
        loop {
            let leader = self.leader().await;
            match self.raft(leader).propose(command.clone(), end).await {
                Ok(proposed) => return proposed,
                Err(ProposeFailure::NotLeader { .. }) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
    }

    pub(crate) async fn wait_applied(&self, index: u64) {
        wait_until("all have applied", || self.running().all(|raft| raft.applied_index() >= Some(index))).await;
    }
}

/// Nodes that still run when a test ends are stopped: RocksDB's threads must not outlive `main`, which takes the locks
/// that they use away from them.
impl Drop for Cluster {
    fn drop(&mut self) {
        let running: Vec<_> = self.nodes.values_mut().filter_map(|node| node.running.take()).collect();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for (raft, serving) in running {
                    serving.abort();
                    raft.shutdown().await;
                }
            });
        });
    }
}

pub(crate) fn found() -> FoundCluster {
    FoundCluster {
        stamp: Some(stamp()),
        cluster_id: CLUSTER.to_owned(),
        generation: "00000000-0000-4000-8000-000000000001".to_owned(),
        plaintext: true,
        ..FoundCluster::default()
    }
}

fn stamp() -> Stamp {
    Stamp { actor: "test".to_owned(), time_ms: 1_700_000_000_000, ..Default::default() }
}

/// A command with a stamp.
pub(crate) fn command(kind: impl FnOnce(Option<Stamp>) -> command::Kind) -> Command {
    Command { kind: Some(kind(Some(stamp()))) }
}

pub(crate) fn plan(name: &str) -> Command {
    plan_with(name, "document")
}

pub(crate) fn plan_with(name: &str, document: &str) -> Command {
    let put = PutRow {
        row: Some(RowRef { table: Table::Plan.into(), key: vec![name.to_owned()] }),
        document: document.as_bytes().to_vec().into(),
        name: name.to_owned(),
        ..PutRow::default()
    };
    let rows = vec![RowChange { kind: Some(row_change::Kind::Put(put)) }];
    Command { kind: Some(command::Kind::Change(Change { stamp: Some(stamp()), rows })) }
}

pub(crate) fn has_plan(raft: &Raft, name: &str) -> bool {
    view_has_plan(&raft.view(), name)
}

pub(crate) fn view_has_plan(view: &View<StoreSnapshot>, name: &str) -> bool {
    view.get(Table::Plan, &[name]).is_some()
}

/// All rows of the state, as they lie on disk.
pub(crate) fn rows(raft: &Raft) -> Vec<(Vec<u8>, Vec<u8>)> {
    raft.view().0.scan(&[], &[0xff]).collect()
}

/// Whole snapshots of a node.
pub(crate) fn snapshots(settings: &RaftSettings) -> usize {
    let folder: &Path = &settings.data_dir.join("raft/snapshots");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "building").count()
}

/// The name of the state folder in use: `state-1` until a state is received.
pub(crate) fn state_folder(settings: &RaftSettings) -> String {
    std::fs::read_to_string(settings.data_dir.join("raft/state/CURRENT")).unwrap().trim_end().to_owned()
}

/// Plaintext knows no operators.
struct NoOperators;

impl Operators for NoOperators {
    fn by_token(&self, _: &blake3::Hash) -> Result<Operator, OperatorRefused> {
        Err(OperatorRefused::Token)
    }

    fn by_certificate(&self, certificate: &OperatorCertificate) -> Result<Operator, OperatorRefused> {
        Err(OperatorRefused::Certificate { name: certificate.name.clone() })
    }
}
