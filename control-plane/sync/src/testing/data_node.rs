//! A data node that keeps a copy, checks every digest, and answers when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sluice_model::{RowHasher, StateDigest};
use sluice_proto::{
    model::{Diagnostic, Revision},
    raft::Table,
    sync::{
        Applied, Beat, Broken, Delta, FromControl, FromData, Hello, Resync, Row, SnapshotEnd, TableDigest, Welcome,
        from_control::Kind, from_data,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Cluster, Node};
use crate::{Source, SyncServer, stream::Caller};

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

type Rows = BTreeMap<(i32, Vec<u8>), Vec<u8>>;

pub(crate) struct DataNode {
    to: mpsc::Sender<Result<FromData, Status>>,
    from: mpsc::Receiver<Result<FromControl, Status>>,
    cluster_id: String,
    pub(crate) rows: Rows,
    pub(crate) revision: Option<Revision>,
    arriving: Option<(Revision, Rows)>,
    chunks: Vec<Delta>,
    /// Tables of the last snapshot; none for a whole one. Rows that it left out.
    pub(crate) resent: Vec<i32>,
    left_out: u64,
    /// A test has changed its rows: beats differ.
    pub(crate) is_wrong: bool,
}

/// What moved a data node to another revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    ByDelta { messages: usize },
    BySnapshot { messages: usize },
}

impl DataNode {
    /// Opens a stream to the control node of `server`, holding `revision`.
    pub(crate) async fn connect(
        cluster: &Cluster,
        server: &SyncServer<Node>,
        id: &str,
        revision: Option<Revision>,
    ) -> Self {
        let cluster_id = cluster.nodes[0].view().cluster().unwrap().cluster_id;
        let hello = Hello {
            cluster_id: cluster_id.clone(),
            revision: revision.clone(),
            node_id: id.to_owned(),
            address: format!("{id}:8080"),
            level: 1,
            ..Hello::default()
        };
        let mut node = Self::open(server, id, cluster_id);
        node.revision = revision;
        node.say(from_data::Kind::Hello(hello)).await;
        node
    }

    /// Opens a stream without a word.
    pub(crate) fn open(server: &SyncServer<Node>, id: &str, cluster_id: String) -> Self {
        let (to, incoming) = mpsc::channel(16);
        let from = server.serve(ReceiverStream::new(incoming), Caller { node_id: id.to_owned() });
        Self {
            to,
            from,
            cluster_id,
            rows: Rows::new(),
            revision: None,
            arriving: None,
            chunks: Vec::new(),
            resent: Vec::new(),
            left_out: 0,
            is_wrong: false,
        }
    }

    /// Opens a stream, is welcomed, and serves what this control node has.
    pub(crate) async fn serving(cluster: &Cluster, server: &SyncServer<Node>, id: &str) -> Self {
        let mut node = Self::connect(cluster, server, id, None).await;
        node.welcomed().await;
        node.moved().await;
        node.applied().await;
        node
    }

    pub(crate) async fn say(&self, kind: from_data::Kind) {
        self.to.send(Ok(FromData { kind: Some(kind) })).await.unwrap();
    }

    /// Answers that it serves what it holds.
    pub(crate) async fn applied(&self) {
        self.applied_with(Vec::new()).await;
    }

    pub(crate) async fn applied_with(&self, broken: Vec<Broken>) {
        let applied = Applied { revision: self.revision.clone(), broken, ..Applied::default() };
        self.say(from_data::Kind::Applied(applied)).await;
    }

    /// Answers that it holds what it was sent, and serves what it had before.
    pub(crate) async fn applied_but(&self, why: Diagnostic) {
        let (revision, not_compiled) = (self.revision.clone(), vec![why]);
        self.say(from_data::Kind::Applied(Applied { revision, not_compiled, ..Applied::default() })).await;
    }

    pub(crate) async fn resync(&self) {
        self.say(from_data::Kind::Resync(Resync { reason: "told to".to_owned(), ..Resync::default() })).await;
    }

    pub(crate) async fn beat(&self, digest: [u8; 16]) {
        let digest = digest.to_vec().into();
        self.say(from_data::Kind::Beat(Beat { revision: self.revision.clone(), digest, tables: Vec::new() })).await;
    }

    /// Says what it holds, table by table.
    pub(crate) async fn beat_by_table(&self) {
        let digest = self.digest().to_bytes().to_vec().into();
        let tables = self.table_digests();
        self.say(from_data::Kind::Beat(Beat { revision: self.revision.clone(), digest, tables })).await;
    }

    /// Asks for the tables that differ from what it holds.
    pub(crate) async fn resync_by_table(&self) {
        let (revision, tables) = (self.revision.clone(), self.table_digests());
        let reason = "told to".to_owned();
        self.say(from_data::Kind::Resync(Resync { reason, revision, tables, ..Resync::default() })).await;
    }

    fn table_digests(&self) -> Vec<TableDigest> {
        let tables: BTreeSet<i32> = self.rows.keys().map(|(table, _)| *table).collect();
        let digest =
            |table: i32| TableDigest { table, digest: self.digest_of(|of| of == table).to_bytes().to_vec().into() };
        tables.into_iter().map(digest).collect()
    }

    /// The next message, or how the stream ended; beats are passed over.
    pub(crate) async fn next(&mut self) -> Result<Kind, Option<Status>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.from.recv()).await.expect("a message in time");
            match message {
                Some(Ok(FromControl { kind: Some(Kind::Beat(beat)) })) => self.check_beat(&beat),
                Some(Ok(message)) => return Ok(message.kind.unwrap()),
                Some(Err(status)) => return Err(Some(status)),
                None => return Err(None),
            }
        }
    }

    /// Waits for the next message; says whether it is a beat.
    pub(crate) async fn beaten(&mut self) -> bool {
        let message = tokio::time::timeout(PATIENCE, self.from.recv()).await.expect("a message in time");
        matches!(message, Some(Ok(FromControl { kind: Some(Kind::Beat(_)) })))
    }

    pub(crate) async fn welcomed(&mut self) -> Welcome {
        match self.next().await {
            Ok(Kind::Welcome(welcome)) => welcome,
            other => panic!("expected a welcome, found {other:?}"),
        }
    }

    /// Takes messages until it holds another revision.
    pub(crate) async fn moved(&mut self) -> Moved {
        let mut messages = 0;
        loop {
            messages += 1;
            match self.next().await.unwrap() {
                Kind::Delta(delta) => {
                    if self.delta(delta) {
                        return Moved::ByDelta { messages };
                    }
                }
                Kind::SnapshotStart(start) => {
                    let mut rows = self.rows.clone();
                    rows.retain(|(table, _), _| !start.tables.is_empty() && !start.tables.contains(table));
                    self.resent = start.tables;
                    self.left_out = rows.len() as u64;
                    self.arriving = Some((start.revision.unwrap(), rows));
                }
                Kind::SnapshotRows(chunk) => {
                    let arriving = &mut self.arriving.as_mut().unwrap().1;
                    chunk.rows.into_iter().for_each(|row| insert(arriving, row));
                }
                Kind::SnapshotEnd(end) => {
                    self.snapshot(&end);
                    return Moved::BySnapshot { messages };
                }
                other => panic!("expected configuration, found {other:?}"),
            }
        }
    }

    /// Says whether it was the last chunk.
    fn delta(&mut self, delta: Delta) -> bool {
        let last = delta.last;
        self.chunks.push(delta);
        if !last {
            return false;
        }
        for delta in std::mem::take(&mut self.chunks) {
            assert_eq!(delta.from, self.revision, "a delta begins at what the data node holds");
            delta.tombstones.into_iter().for_each(|gone| drop(self.rows.remove(&(gone.table, gone.key.to_vec()))));
            delta.rows.into_iter().for_each(|row| insert(&mut self.rows, row));
            if delta.last {
                let to = delta.to.unwrap();
                assert!(to.number > self.revision.as_ref().unwrap().number, "never backwards");
                self.revision = Some(to);
                assert_eq!(self.digest().to_bytes()[..], delta.digest[..]);
            }
        }
        true
    }

    fn snapshot(&mut self, end: &SnapshotEnd) {
        let (revision, rows) = self.arriving.take().unwrap();
        assert_eq!((Some(&revision), rows.len() as u64), (end.revision.as_ref(), end.rows + self.left_out));
        (self.revision, self.rows) = (Some(revision), rows);
        assert_eq!(self.digest().to_bytes()[..], end.digest[..]);
    }

    fn check_beat(&self, beat: &Beat) {
        if beat.revision == self.revision && !self.is_wrong {
            assert_eq!(beat.digest[..], self.digest().to_bytes()[..]);
        }
    }

    pub(crate) fn digest(&self) -> StateDigest {
        self.digest_of(|_| true)
    }

    fn digest_of(&self, wanted: impl Fn(i32) -> bool) -> StateDigest {
        let hasher = RowHasher::new(&self.cluster_id, &self.revision.as_ref().unwrap().generation);
        let mut digest = StateDigest::default();
        for ((table, key), value) in self.rows.iter().filter(|((table, _), _)| wanted(*table)) {
            digest.add(hasher.row(Table::try_from(*table).unwrap(), key, value));
        }
        digest
    }

    pub(crate) fn number(&self) -> u64 {
        self.revision.as_ref().unwrap().number
    }
}

fn insert(rows: &mut Rows, row: Row) {
    rows.insert((row.table, row.key.to_vec()), row.value.to_vec());
}
