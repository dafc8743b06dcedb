//! Operators: each changes plans of its own, one change after the other, and reads what anyone wrote.
//!
//! A change whose outcome is not known is asked for again with its request id, at any node, until the outcome is known: what
//! is in a plan only ever rises.

use std::time::Duration;

use prost::Message;
use sluice_proto::{
    model::UsagePlan,
    raft::{Outcome, PutRow, RequestId, RowChange, RowRef, Table, outcome, rejected::Code, row_change},
};
use sluice_state::{Tables, View};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    clock,
    event::Event,
    fingerprint,
    life::Life,
    network::{End, Party},
    proposal::{self, Proposal, Proposed, anywhere},
    raft::read,
    world::World,
};

/// Plans of one operator.
const PLANS: u64 = 3;
/// An answer that takes longer is not waited for.
const CALL_MAX: Duration = Duration::from_secs(3);
/// Between two tries, and between two changes, at most.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// One operator.
pub(crate) struct Operator {
    world: World,
    number: u64,
    end: End,
    /// What was asked for last.
    value: u64,
    requests: u64,
}

/// The plans of all operators.
pub(crate) fn all_keys(operators: u64) -> Vec<String> {
    (1..=operators).flat_map(|operator| (1..=PLANS).map(move |plan| key(operator, plan))).collect()
}

fn key(operator: u64, plan: u64) -> String {
    format!("o{operator}p{plan}")
}

/// What is in plan `key`; 0 when it is not there.
pub(crate) fn value<T: Tables>(view: &View<T>, key: &str) -> u64 {
    let plan = view.get(Table::Plan, &[key]).and_then(|stored| UsagePlan::decode(stored.bytes).ok());
    plan.and_then(|plan| plan.description).and_then(|value| value.parse().ok()).unwrap_or_default()
}

impl Operator {
    pub(crate) fn new(world: World, number: u64) -> Self {
        Self { world, number, end: End::new(Party::Operator, Life::new(1)), value: 0, requests: 0 }
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            let dice = self.world.dice();
            sleep(dice.time(&(Duration::from_millis(1)..=PAUSE_MAX))).await;
            if self.world.dice().chance(250) {
                self.read().await;
            } else {
                self.change_and_wait().await;
            }
        }
    }

    async fn change_and_wait(&mut self) {
        let Some(number) = self.change(None).await else { return };
        if self.world.circumstances().data_nodes > 0 && self.world.dice().chance(400) {
            self.wait(number, self.world.dice().time(&(Duration::from_secs(1)..=Duration::from_secs(15)))).await;
        }
    }

    /// Waits until the fleet serves `number`; what it is told is seen where it is said.
    pub(crate) async fn wait(&self, number: u64, limit: Duration) {
        let node = self.world.dice().number(1..=self.nodes());
        let world = self.world.clone();
        let waiting = self.world.call(&self.end, node, move |running| proposal::wait(world, running, number, limit));
        // Without an answer it asks no more.
        let _ = timeout(limit + CALL_MAX, waiting).await;
    }

    /// Changes one of its plans; the number after it. `by`: when to give up, for ever.
    pub(crate) async fn change(&mut self, by: Option<Instant>) -> Option<u64> {
        let key = key(self.number, self.world.dice().number(1..=PLANS));
        self.value += 1;
        let value = self.value;
        self.world.saw(&Event::Asked { key: key.clone(), value });
        let mut proposal = self.proposal(&key, value);
        loop {
            let node = self.world.dice().number(1..=self.nodes());
            let (world, asked) = (self.world.clone(), proposal.clone());
            let asking = self.world.call(&self.end, node, move |running| anywhere(world, running, asked));
            let answer = timeout(CALL_MAX, asking).await;
            match answer {
                Ok(Ok(Proposed::Outcome(outcome))) => match self.outcome(&key, value, outcome) {
                    Told::Done(number) => return Some(number),
                    Told::Refused => return None,
                    Told::AskAnew => proposal = self.proposal(&key, value),
                },
                Ok(Ok(Proposed::NotNow) | Err(_)) | Err(_) => {}
            }
            if by.is_some_and(|by| Instant::now() >= by) {
                return None;
            }
            sleep(self.world.dice().time(&(Duration::from_millis(5)..=PAUSE_MAX))).await;
        }
    }

    fn outcome(&self, key: &str, value: u64, outcome: Outcome) -> Told {
        match outcome.kind {
            Some(outcome::Kind::Done(done)) => {
                self.world.saw(&Event::Acknowledged { key: key.to_owned(), value, number: done.number });
                Told::Done(done.number)
            }
            // Its outcome is not known, and what it asks for is the same if it is made again.
            Some(outcome::Kind::Rejected(rejected)) if rejected.code() == Code::RequestTooOld => Told::AskAnew,
            Some(outcome::Kind::Rejected(rejected)) => {
                self.world.saw(&Event::Trouble(format!("{key} = {value} was refused: {}", rejected.message)));
                Told::Refused
            }
            None => Told::Refused,
        }
    }

    async fn read(&mut self) {
        let keys = all_keys(self.world.circumstances().operators);
        let Some(key) = self.world.dice().one(&keys).cloned() else { return };
        self.requests += 1;
        let id = self.number * 1_000_000 + self.requests;
        self.world.saw(&Event::ReadBegan { id, key: key.clone() });
        let node = self.world.dice().number(1..=self.nodes());
        let (world, read_key) = (self.world.clone(), key.clone());
        let asking = self.world.call(&self.end, node, move |running| async move {
            let caught_up = read::barrier(&world, &running, Instant::now() + CALL_MAX).await;
            caught_up.then(|| value(&running.states.view(), &read_key))
        });
        if let Ok(Ok(Some(value))) = timeout(CALL_MAX, asking).await {
            self.world.saw(&Event::Read { id, key, value });
        }
    }

    fn nodes(&self) -> u64 {
        let circumstances = self.world.circumstances();
        circumstances.voters + circumstances.late
    }

    fn proposal(&mut self, key: &str, value: u64) -> Proposal {
        self.requests += 1;
        let plan = UsagePlan {
            id: key.to_owned(),
            name: key.to_owned(),
            description: Some(value.to_string()),
            ..UsagePlan::default()
        };
        let put = PutRow {
            row: Some(RowRef { table: Table::Plan as i32, key: vec![key.to_owned()] }),
            document: plan.encode_to_vec().into(),
            name: key.to_owned(),
            ..PutRow::default()
        };
        Proposal { request: self.request(), rows: vec![RowChange { kind: Some(row_change::Kind::Put(put)) }] }
    }

    /// A UUIDv7 (RFC 9562, section 5.7) whose random part says whose it is.
    fn request(&self) -> RequestId {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&clock::wall_ms().to_be_bytes()[2..]);
        id[6] = 0x70;
        let own = self.number << 32 | self.requests;
        id[8..].copy_from_slice(&own.to_be_bytes());
        id[8] = 0x80;
        let hash = [fingerprint::of(&id).to_be_bytes(); 4].concat();
        RequestId { id: id.to_vec().into(), hash: hash.into() }
    }
}

/// What an operator makes of an outcome.
enum Told {
    Done(u64),
    Refused,
    AskAnew,
}
