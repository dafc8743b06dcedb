//! Clients that ask control nodes for single keys at random, and write down what they asked and were answered.
//!
//! A key is a usage plan of a chosen id, its value the plan's description. Each operation is asked once, of one node:
//! what is not answered stays open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_identity::Channel;
use sluice_proto::{
    admin::{ChangeRequest, Delete, GetRequest, Operation as Asked, Put, operation},
    model::{Document, Kind as Noun, Ref, UsagePlan, document},
};
use sluice_rpc::admin::config_client::ConfigClient;
use tonic::{Code, Request, Status};

use super::{Kind, Operation, Value, Version, Written};
use crate::grpc::request_id;

/// After which a client no longer waits, and does not know.
const PATIENCE: Duration = Duration::from_secs(1);
/// After an error, so that a node without a leader is not asked without pause.
const PAUSE: Duration = Duration::from_millis(10);

/// What was written down, by key.
pub type Notes = BTreeMap<usize, Vec<Operation>>;

/// What all clients share.
#[derive(Clone, Debug)]
pub struct Exam {
    began: Instant,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    keys: usize,
}

impl Exam {
    /// An exam of so many keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { began: Instant::now(), next: Arc::new(AtomicU64::new(1)), stop: Arc::default(), keys }
    }

    /// How many writes were asked so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Tells the clients to end with what they have begun.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Asks these nodes until told to stop.
    pub async fn run(self, nodes: Vec<Channel>, seed: u64) -> Notes {
        let mut client = Client {
            nodes: nodes.into_iter().map(ConfigClient::new).collect(),
            random: StdRng::seed_from_u64(seed),
            seen: BTreeMap::new(),
            exam: self,
        };
        let mut notes = Notes::new();
        while !client.exam.stop.load(Ordering::Relaxed) {
            let key = client.random.random_range(0..client.exam.keys);
            if let Some(operation) = client.ask(key).await {
                notes.entry(key).or_default().push(operation);
            }
        }
        notes
    }
}

struct Client {
    nodes: Vec<ConfigClient<Channel>>,
    random: StdRng,
    /// The last version of each key that this client was told of.
    seen: BTreeMap<usize, Version>,
    exam: Exam,
}

impl Client {
    /// One operation; none for a read without an answer, which says nothing.
    async fn ask(&mut self, key: usize) -> Option<Operation> {
        let called = self.exam.now();
        let value = self.exam.next.fetch_add(1, Ordering::Relaxed);
        let kind = match (self.random.random_range(0..10), self.seen.get(&key).copied()) {
            (0..4, _) => self.read(key).await?,
            (4..7, Some(version)) => {
                let done = self.write(put(key, value, version)).await;
                Kind::Update(value, version, self.told(key, done).await)
            }
            (7, _) => {
                let done = self.write(delete(key)).await;
                Kind::Delete(self.told(key, done).await)
            }
            _ => {
                let done = self.write(put(key, value, 0)).await;
                Kind::Create(value, self.told(key, done).await)
            }
        };
        let known = !matches!(kind, Kind::Create(_, None) | Kind::Update(_, _, None) | Kind::Delete(None));
        let ended = known.then(|| self.exam.now());
        Some(Operation { called, ended, kind })
    }

    fn node(&mut self) -> &mut ConfigClient<Channel> {
        let node = self.random.random_range(0..self.nodes.len());
        &mut self.nodes[node]
    }

    async fn read(&mut self, key: usize) -> Option<Kind> {
        let target = Ref { kind: Noun::UsagePlan.into(), ids: vec![id(key)] };
        let mut request = Request::new(GetRequest { r#ref: Some(target), ..GetRequest::default() });
        request.set_timeout(PATIENCE);
        match self.node().get(request).await {
            Ok(reply) => {
                let stored = reply.into_inner().stored?;
                let Some(document::Kind::UsagePlan(plan)) = stored.document?.kind else { return None };
                self.seen.insert(key, stored.version);
                Some(Kind::Read(Some((plan.description?.parse().ok()?, stored.version))))
            }
            Err(status) if status.code() == Code::NotFound => Some(Kind::Read(None)),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }

    async fn write(&mut self, operation: operation::Kind) -> Result<Version, Status> {
        let operations = vec![Asked { kind: Some(operation) }];
        let mut request = Request::new(ChangeRequest { request_id: request_id(), operations });
        request.set_timeout(PATIENCE);
        let reply = self.node().change(request).await?.into_inner();
        Ok(reply.results.first().map_or(0, |stored| stored.version))
    }

    /// The answer to a write; none where it says nothing of the outcome.
    async fn told(&mut self, key: usize, done: Result<Version, Status>) -> Option<Written> {
        match done.map_err(|status| status.code()) {
            Ok(version) => {
                // A deletion has none: then the last one is of something that is gone, which is worth asking for too.
                if version > 0 {
                    self.seen.insert(key, version);
                }
                Some(Written::Done(version))
            }
            Err(Code::AlreadyExists) => Some(Written::Exists),
            Err(Code::Aborted) => Some(Written::Changed),
            Err(Code::NotFound) => Some(Written::Missing),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }
}

fn id(key: usize) -> String {
    format!("plan{key}")
}

fn put(key: usize, value: Value, expected: Version) -> operation::Kind {
    let description = Some(value.to_string());
    let plan = UsagePlan { id: id(key), name: id(key), description, ..UsagePlan::default() };
    let document = Some(Document { kind: Some(document::Kind::UsagePlan(plan)) });
    operation::Kind::Put(Put { document, expected_version: Some(expected) })
}

fn delete(key: usize) -> operation::Kind {
    let target = Some(Ref { kind: Noun::UsagePlan.into(), ids: vec![id(key)] });
    operation::Kind::Delete(Delete { target, expected_version: None })
}
