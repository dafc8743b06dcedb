//! A control node on loopback that says what the test tells it to.

use std::pin::Pin;

use sluice_model::{Revision, RowHasher, StateDigest};
use sluice_proto::{
    raft::Table,
    sync::{
        Applied, Beat, Delta, FromControl, FromData, Hello, Resync, Row, SnapshotEnd, SnapshotRows, SnapshotStart,
        Tombstone, Welcome, from_control, from_data,
    },
};
use sluice_rpc::sync::sync_server::{Sync, SyncServer};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming};

pub const CLUSTER: &str = "cluster";
pub const LOOKUP_KEY: [u8; 32] = [7; 32];

/// A control node.
pub struct FakeControl {
    pub address: String,
    sessions: mpsc::Receiver<Session>,
    server: JoinHandle<()>,
}

/// One stream of a data node.
pub struct Session {
    pub hello: Hello,
    to_node: mpsc::Sender<Result<FromControl, Status>>,
    from_node: Streaming<FromData>,
}

struct Service {
    sessions: mpsc::Sender<Session>,
}

#[tonic::async_trait]
impl Sync for Service {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FromControl, Status>> + Send>>;

    async fn follow(&self, request: Request<Streaming<FromData>>) -> Result<Response<Self::FollowStream>, Status> {
        let mut from_node = request.into_inner();
        let Some(from_data::Kind::Hello(hello)) = from_node.message().await?.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (to_node, queue) = mpsc::channel(64);
        let session = Session { hello, to_node, from_node };
        self.sessions.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

impl FakeControl {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, sessions) = mpsc::channel(8);
        let service = SyncServer::new(Service { sessions: sender });
        let incoming = TcpListenerStream::new(listener).filter(Result::is_ok);
        let server = tokio::spawn(async move {
            let served = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
            served.await.unwrap();
        });
        Self { address, sessions, server }
    }

    /// The next stream of a data node.
    pub async fn session(&mut self) -> Session {
        self.sessions.recv().await.unwrap()
    }

    /// The next stream, welcomed.
    pub async fn welcomed(&mut self) -> Session {
        let session = self.session().await;
        session.welcome(&[&self.address]).await;
        session
    }
}

impl Drop for FakeControl {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Session {
    pub async fn say(&self, kind: from_control::Kind) {
        self.to_node.send(Ok(FromControl { kind: Some(kind) })).await.unwrap();
    }

    pub async fn welcome(&self, control_addresses: &[&str]) {
        self.say(from_control::Kind::Welcome(Welcome {
            cluster_id: CLUSTER.into(),
            generation: "g".into(),
            level: 1,
            lookup_key: LOOKUP_KEY.to_vec().into(),
            control_addresses: control_addresses.iter().map(|address| (*address).to_owned()).collect(),
            session_id: "s".into(),
            ..Welcome::default()
        }))
        .await;
    }

    /// What the node says next, but for beats.
    pub async fn heard(&mut self) -> Option<from_data::Kind> {
        loop {
            match self.from_node.message().await.ok()??.kind? {
                from_data::Kind::Beat(_) => {}
                kind => return Some(kind),
            }
        }
    }

    /// The next beat.
    pub async fn beat(&mut self) -> Beat {
        loop {
            if let Some(from_data::Kind::Beat(beat)) = self.from_node.message().await.unwrap().unwrap().kind {
                return beat;
            }
        }
    }

    pub async fn applied(&mut self) -> Applied {
        match self.heard().await {
            Some(from_data::Kind::Applied(applied)) => applied,
            other => panic!("expected Applied, found {other:?}"),
        }
    }

    pub async fn resync(&mut self) -> String {
        self.resync_whole().await.reason
    }

    /// The whole message.
    pub async fn resync_whole(&mut self) -> Resync {
        match self.heard().await {
            Some(from_data::Kind::Resync(resync)) => resync,
            other => panic!("expected Resync, found {other:?}"),
        }
    }

    /// Sends `state` whole, one row per message.
    pub async fn snapshot(&self, state: &State) {
        let revision = Some(state.revision());
        self.say(from_control::Kind::SnapshotStart(SnapshotStart { revision: revision.clone(), tables: vec![] })).await;
        for row in &state.rows {
            self.say(from_control::Kind::SnapshotRows(SnapshotRows { rows: vec![row.clone()] })).await;
        }
        let (digest, rows) = (state.digest(), state.rows.len() as u64);
        self.say(from_control::Kind::SnapshotEnd(SnapshotEnd { revision, digest, rows })).await;
    }

    /// Sends one table of `state`.
    pub async fn table(&self, state: &State, table: Table) {
        let revision = Some(state.revision());
        let start = SnapshotStart { revision: revision.clone(), tables: vec![table as i32] };
        self.say(from_control::Kind::SnapshotStart(start)).await;
        let rows: Vec<Row> = state.rows.iter().filter(|row| row.table() == table).cloned().collect();
        let end = SnapshotEnd { revision, digest: state.digest(), rows: rows.len() as u64 };
        self.say(from_control::Kind::SnapshotRows(SnapshotRows { rows })).await;
        self.say(from_control::Kind::SnapshotEnd(end)).await;
    }

    /// Sends what leads from `before` to `after`, in two messages.
    pub async fn delta(&self, before: &State, after: &State) {
        let whole = after.since(before);
        let begun = Delta { tombstones: vec![], digest: "".into(), last: false, ..whole.clone() };
        self.say(from_control::Kind::Delta(begun)).await;
        self.say(from_control::Kind::Delta(Delta { rows: vec![], ..whole })).await;
    }
}

/// What a control node holds.
#[derive(Clone)]
pub struct State {
    pub generation: String,
    pub number: u64,
    pub rows: Vec<Row>,
}

impl State {
    pub fn new(number: u64) -> Self {
        Self { generation: "g".into(), number, rows: vec![] }
    }

    pub fn revision(&self) -> sluice_proto::model::Revision {
        Revision::new(self.generation.as_str(), self.number).into()
    }

    /// The next state, in which this row is different.
    pub fn put(&self, table: Table, key: &[u8], value: Vec<u8>) -> Self {
        let mut next = self.without(table, key);
        next.rows.push(Row { table: table as i32, key: key.to_vec().into(), number: next.number, value: value.into() });
        next
    }

    /// The next state, in which this row is gone.
    pub fn without(&self, table: Table, key: &[u8]) -> Self {
        let mut next = Self { number: self.number + 1, ..self.clone() };
        next.rows.retain(|row| (row.table(), &*row.key) != (table, key));
        next
    }

    pub fn digest(&self) -> prost::bytes::Bytes {
        self.digest_of(|_| true)
    }

    pub fn digest_of(&self, wanted: impl Fn(&Row) -> bool) -> prost::bytes::Bytes {
        let (hasher, mut digest) = (RowHasher::new(CLUSTER, &self.generation), StateDigest::default());
        for row in self.rows.iter().filter(|row| wanted(row)) {
            digest.add(hasher.row(row.table(), &row.key, &row.value));
        }
        digest.to_bytes().to_vec().into()
    }

    pub fn since(&self, before: &Self) -> Delta {
        let gone = before
            .rows
            .iter()
            .filter(|old| !self.rows.iter().any(|new| (new.table, &new.key) == (old.table, &old.key)));
        Delta {
            from: Some(before.revision()),
            to: Some(self.revision()),
            rows: self.rows.iter().filter(|row| !before.rows.contains(row)).cloned().collect(),
            tombstones: gone
                .map(|row| Tombstone { table: row.table, key: row.key.clone(), number: self.number })
                .collect(),
            digest: self.digest(),
            last: true,
        }
    }

    pub fn beat(&self) -> from_control::Kind {
        from_control::Kind::Beat(Beat { revision: Some(self.revision()), digest: self.digest(), tables: vec![] })
    }
}
