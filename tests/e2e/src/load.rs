//! Writers that make, change and delete API keys at every node of a cluster, and know what must be there afterwards.
//!
//! Promise: a request is sent again under its id, at one node after the other, until it is acknowledged; a key is one
//! writer's only, so that what must be there is known exactly, whatever died meanwhile. Absent: how fast it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_proto::{
    admin::{ChangeReply, ChangeRequest, Delete, Operation, Patch, PatchOperation, operation},
    model::{Kind, Ref},
};
use sluice_rpc::admin::config_client::ConfigClient;
use tokio::task::JoinHandle;
use tonic::{Request, Status};

use crate::{
    grpc::{channel, keys_held, made, new_key, request_id},
    wait::eventually,
};

/// How long one node may take; then the next is asked.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long one request may take until it is acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);
/// Before the next node is asked, when one has refused at once.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of each key's description, so that logs grow and snapshots are taken.
const FILLER_BYTES: usize = 1_000;

/// Keys by id, with name and description.
type Keys = BTreeMap<String, (String, String)>;

/// Running writers.
#[derive(Debug)]
pub struct Load {
    writers: Vec<JoinHandle<Expected>>,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// What the acknowledged writes add up to.
#[derive(Debug, Default)]
pub struct Expected {
    keys: Keys,
    deleted: BTreeSet<String>,
    acknowledged: u64,
}

impl Load {
    /// Starts so many writers against these nodes. What they do follows from `seed`; names begin with `name`.
    #[must_use]
    pub fn start(urls: &[String], writers: usize, name: &str, seed: u64) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let writers = (0..writers).map(|number| {
            let writer = Writer {
                clients: urls.iter().map(|url| ConfigClient::new(channel(url))).collect(),
                next: number,
                name: format!("{name}-{number}"),
                random: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
                expected: Expected::default(),
            };
            tokio::spawn(writer.run(acknowledged.clone(), stop.clone()))
        });
        Self { writers: writers.collect(), acknowledged, stop }
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many writes were acknowledged in all.
    pub async fn reaches(&self, wanted: u64) {
        eventually("writes go on", || async {
            let now = self.acknowledged();
            if now >= wanted { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Ends the writers when what they have begun is acknowledged.
    ///
    /// # Panics
    /// When a writer has.
    pub async fn stop(self) -> Expected {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Expected::default();
        for writer in self.writers {
            all.add(writer.await.expect("a writer that gave up has said why"));
        }
        all
    }
}

impl Expected {
    /// Takes in what other writers expect.
    pub fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.deleted.extend(other.deleted);
        self.acknowledged += other.acknowledged;
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What is wrong with the keys that a node has in its own state; empty when nothing is.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn faults(&self, url: &str) -> Result<Vec<String>, Status> {
        let held: Keys = keys_held(url)
            .await?
            .into_iter()
            .map(|(id, key)| (id, (key.name, key.description.unwrap_or_default())))
            .collect();
        Ok(self.compared(&held))
    }

    fn compared(&self, held: &Keys) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, expected) in &self.keys {
            match held.get(id) {
                None => faults.push(format!("{id} ({}) is lost", expected.0)),
                Some(found) if found != expected => {
                    faults.push(format!("{id}: expected {expected:?}, found {found:?}"))
                }
                Some(_) => {}
            }
        }
        faults.extend(self.deleted.iter().filter(|id| held.contains_key(*id)).map(|id| format!("{id} is back")));
        let known = |id: &String| self.keys.contains_key(id) || self.deleted.contains(id);
        let strange = held.keys().filter(|id| !known(id));
        faults.extend(strange.map(|id| format!("{id} ({}) was made twice", held[id].0)));
        faults
    }
}

struct Writer {
    clients: Vec<ConfigClient<sluice_identity::Channel>>,
    /// The node that is asked next.
    next: usize,
    name: String,
    random: StdRng,
    expected: Expected,
}

impl Writer {
    async fn run(mut self, acknowledged: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Expected {
        for number in 0_u64.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.write(number).await;
            self.expected.acknowledged += 1;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.expected
    }

    /// Makes a key, or changes or deletes one of its own.
    async fn write(&mut self, number: u64) {
        let text = format!("{number} {}", "x".repeat(FILLER_BYTES));
        match (self.random.random_range(0..10), self.own()) {
            (0, Some(id)) => {
                self.acknowledged(delete(&id)).await;
                self.expected.keys.remove(&id);
                self.expected.deleted.insert(id);
            }
            (1..=3, Some(id)) => {
                self.acknowledged(describe(&id, &text)).await;
                if let Some(key) = self.expected.keys.get_mut(&id) {
                    key.1 = text;
                }
            }
            _ => {
                let name = format!("{}-{number}", self.name);
                let id = made(&self.acknowledged(new_key(&name, &text)).await);
                self.expected.keys.insert(id, (name, text));
            }
        }
    }

    fn own(&mut self) -> Option<String> {
        let keys = &self.expected.keys;
        let chosen = self.random.random_range(0..keys.len().max(1));
        keys.keys().nth(chosen).cloned()
    }

    /// One request, until a node acknowledges it.
    async fn acknowledged(&mut self, operation: Operation) -> ChangeReply {
        let request = ChangeRequest { request_id: request_id(), operations: vec![operation] };
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(ATTEMPT);
            let at = self.next % self.clients.len();
            let refusal = match self.clients[at].change(attempt).await {
                Ok(reply) => return reply.into_inner(),
                Err(refusal) => refusal,
            };
            assert!(Instant::now() < give_up, "{} was not acknowledged in {PATIENCE:?}: {refusal:?}", self.name);
            self.next += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn key_ref(id: &str) -> Option<Ref> {
    Some(Ref { kind: Kind::ApiKey.into(), ids: vec![id.to_owned()] })
}

fn describe(id: &str, text: &str) -> Operation {
    let operation = PatchOperation {
        op: "replace".to_owned(),
        path: "description".to_owned(),
        value: text.to_owned(),
        ..PatchOperation::default()
    };
    let patch = Patch { target: key_ref(id), operations: vec![operation], expected_version: None };
    Operation { kind: Some(operation::Kind::Patch(patch)) }
}

fn delete(id: &str) -> Operation {
    Operation { kind: Some(operation::Kind::Delete(Delete { target: key_ref(id), expected_version: None })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[(&str, &str)]) -> Keys {
        of.iter().map(|(id, text)| ((*id).to_owned(), ("key".to_owned(), (*text).to_owned()))).collect()
    }

    #[test]
    fn a_write_that_is_lost_old_back_or_double_is_a_fault() {
        let expected = Expected {
            keys: keys(&[("a", "1"), ("b", "2"), ("c", "3")]),
            deleted: BTreeSet::from(["d".to_owned()]),
            acknowledged: 6,
        };
        assert!(expected.compared(&keys(&[("a", "1"), ("b", "2"), ("c", "3")])).is_empty());
        let faults = expected.compared(&keys(&[("a", "1"), ("b", "1"), ("d", "4"), ("e", "1")]));
        assert_eq!(faults.len(), 4, "{faults:?}");
        for (fault, what) in
            faults.iter().zip(["b: expected", "c (key) is lost", "d is back", "e (key) was made twice"])
        {
            assert!(fault.starts_with(what), "{fault}");
        }
    }
}
