//! Sees everything that happens: writes it down, and holds it against the invariants.
//!
//! Promise: two runs of one seed have the same fingerprint. Absent: what the invariants are (`invariants`).

use std::{
    collections::VecDeque,
    hash::Hasher,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    event::Event,
    fingerprint::Fingerprint,
    invariants::{self, Invariant},
};

/// Events that are remembered, to be printed with what was broken.
const REMEMBERED: usize = 60;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name: that of its file.
    pub invariant: &'static str,
    /// What was seen that must not be.
    pub what: String,
    /// When, since the beginning of the run.
    pub at: Duration,
    /// What happened last.
    pub before: Vec<String>,
}

/// The witness of one run.
pub(crate) struct Witness {
    begin: Instant,
    notes: Mutex<Notes>,
    broken: watch::Sender<Option<Violation>>,
    /// Whether every event is printed: a person looks at this run.
    told: bool,
}

struct Notes {
    fingerprint: Fingerprint,
    events: u64,
    last: VecDeque<String>,
    invariants: Vec<Box<dyn Invariant>>,
}

impl Witness {
    pub(crate) fn new(told: bool) -> Self {
        let notes = Notes {
            fingerprint: Fingerprint::default(),
            events: 0,
            last: VecDeque::new(),
            invariants: invariants::all(),
        };
        Self { begin: Instant::now(), notes: Mutex::new(notes), broken: watch::Sender::new(None), told }
    }

    /// Since the beginning of the run.
    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Something happened.
    pub(crate) fn saw(&self, event: &Event) {
        let now = self.now();
        let line = format!("{:>12.6} {event}", now.as_secs_f64());
        if self.told {
            eprintln!("{line}");
        }
        let mut notes = self.notes();
        notes.fingerprint.write(line.as_bytes());
        notes.events += 1;
        if notes.last.len() == REMEMBERED {
            notes.last.pop_front();
        }
        notes.last.push_back(line);
        let broken = notes.invariants.iter_mut().find_map(|invariant| {
            let seen = invariant.see(event);
            seen.err().map(|what| (invariant.name(), what))
        });
        if let Some((invariant, what)) = broken {
            let before = notes.last.iter().cloned().collect();
            drop(notes);
            self.broken.send_if_modified(|known| {
                let first = known.is_none();
                known.get_or_insert(Violation { invariant, what, at: now, before });
                first
            });
        }
    }

    /// Something small happened: it is part of the fingerprint, and of nothing else.
    pub(crate) fn felt(&self, what: u64) {
        let now = self.now().as_nanos();
        let mut notes = self.notes();
        notes.fingerprint.write_u128(now);
        notes.fingerprint.write_u64(what);
    }

    /// Returns when an invariant is broken.
    pub(crate) async fn broken(&self) -> Violation {
        let mut broken = self.broken.subscribe();
        loop {
            if let Some(violation) = &*broken.borrow_and_update() {
                return violation.clone();
            }
            if broken.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What all events come to, and how many there were.
    pub(crate) fn fingerprint(&self) -> (u64, u64) {
        let notes = self.notes();
        (notes.fingerprint.finish(), notes.events)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
