//! The sessions of this node, and what of them the leader has not heard.
//!
//! Promise: a report of all of them fits one message between control nodes, whatever data nodes say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sluice_model::limits;
use sluice_proto::{
    raft::{BrokenApi, Session, SessionReport},
    sync::{Applied, Hello},
};
use tokio::sync::Notify;

/// Diagnostics of one broken API that the leader hears of, and the characters of each.
const DIAGNOSTICS_PER_API_MAX: usize = 3;
const DIAGNOSTIC_CHARS_MAX: usize = 300;
/// Bytes of all diagnostics of one session that the leader hears of; of the APIs beyond it hears the ids.
const DIAGNOSTICS_BYTES_MAX: usize = 8 * 1024;
/// Characters of what a data node says of itself.
const LABEL_CHARS_MAX: usize = 256;

/// The sessions of this node.
pub(crate) struct Own {
    raft_id: u64,
    /// Random per process.
    process: u64,
    sessions: Mutex<Sessions>,
    /// Told when there is something to report.
    news: Notify,
}

#[derive(Default)]
struct Sessions {
    all: BTreeMap<String, Session>,
    /// What changed and what ended since the last report.
    changed: BTreeSet<String>,
    gone: BTreeSet<String>,
    sequence: u64,
}

/// What a report holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    News,
}

/// A data node's place among the sessions; it leaves when this is dropped.
pub(crate) struct Registered<'a> {
    own: &'a Own,
    session_id: String,
}

impl Own {
    pub(crate) fn new(raft_id: u64) -> Self {
        Self { raft_id, process: random(), sessions: Mutex::default(), news: Notify::new() }
    }

    /// Registers a data node; `None` when there are too many.
    pub(crate) fn register(&self, hello: &Hello, connected_ms: u64) -> Option<Registered<'_>> {
        let session_id = format!("{:x}-{:016x}", self.raft_id, random());
        let session = Session {
            session_id: session_id.clone(),
            node_id: hello.node_id.clone(),
            incarnation: shortened(&hello.incarnation, LABEL_CHARS_MAX),
            address: shortened(&hello.address, LABEL_CHARS_MAX),
            version: shortened(&hello.version, LABEL_CHARS_MAX),
            level: hello.level,
            connected_ms,
            control_raft_id: self.raft_id,
            ..Session::default()
        };
        let mut sessions = self.lock();
        if sessions.all.len() >= limits::SESSIONS_MAX {
            return None;
        }
        sessions.all.insert(session_id.clone(), session);
        sessions.changed.insert(session_id.clone());
        drop(sessions);
        self.news.notify_one();
        Some(Registered { own: self, session_id })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.lock().all.values().cloned().collect()
    }

    /// What the leader is to be told now; what it has been told is news no more.
    pub(crate) fn report(&self, extent: Extent, term: u64) -> SessionReport {
        let mut sessions = self.lock();
        sessions.sequence += 1;
        let changed = std::mem::take(&mut sessions.changed);
        let gone = std::mem::take(&mut sessions.gone);
        let told: Vec<Session> = match extent {
            Extent::All => sessions.all.values().cloned().collect(),
            Extent::News => changed.iter().filter_map(|id| sessions.all.get(id)).cloned().collect(),
        };
        SessionReport {
            from: self.raft_id,
            term,
            sequence: sessions.sequence,
            full: extent == Extent::All,
            sessions: told,
            gone: if extent == Extent::All { Vec::new() } else { gone.into_iter().collect() },
            process: self.process,
        }
    }

    /// Waits until there is something to report. Cancel-safe: news that came are kept.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered<'_> {
    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The data node serves a revision.
    pub(crate) fn applied(&self, applied: &Applied) {
        let revision = applied.revision.clone().unwrap_or_default();
        let mut room = DIAGNOSTICS_BYTES_MAX;
        let broken = applied.broken.iter().take(limits::BROKEN_APIS_MAX);
        let broken: Vec<BrokenApi> = broken.map(|broken| broken_api(broken, &mut room)).collect();
        self.change(|session| {
            session.generation = revision.generation;
            session.applied_number = revision.number;
            session.broken = broken;
        });
    }

    /// The data node could not take what it was sent.
    pub(crate) fn rejected(&self, reason: &str) {
        self.change(|session| session.rejected = shortened(reason, DIAGNOSTIC_CHARS_MAX));
    }

    fn change(&self, change: impl FnOnce(&mut Session)) {
        let mut sessions = self.own.lock();
        if let Some(session) = sessions.all.get_mut(&self.session_id) {
            change(session);
            sessions.changed.insert(self.session_id.clone());
        }
        drop(sessions);
        self.own.news.notify_one();
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut sessions = self.own.lock();
        sessions.all.remove(&self.session_id);
        sessions.changed.remove(&self.session_id);
        sessions.gone.insert(std::mem::take(&mut self.session_id));
        drop(sessions);
        self.own.news.notify_one();
    }
}

/// A broken API with as many of its diagnostics as there is `room` for, in bytes.
fn broken_api(broken: &sluice_proto::sync::Broken, room: &mut usize) -> BrokenApi {
    let mut diagnostics = Vec::new();
    for found in broken.diagnostics.iter().take(DIAGNOSTICS_PER_API_MAX) {
        let text = shortened(&format!("{}: {}", found.at, found.message), DIAGNOSTIC_CHARS_MAX);
        let Some(left) = room.checked_sub(text.len()) else { break };
        *room = left;
        diagnostics.push(text);
    }
    BrokenApi { api_id: shortened(&broken.api_id, LABEL_CHARS_MAX), diagnostics }
}

fn shortened(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

fn random() -> u64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use sluice_proto::sync::Broken;

    use super::*;

    fn hello(node_id: &str) -> Hello {
        Hello { node_id: node_id.to_owned(), ..Hello::default() }
    }

    fn told(report: &SessionReport) -> Vec<(&str, u64)> {
        report.sessions.iter().map(|session| (session.node_id.as_str(), session.applied_number)).collect()
    }

    fn applied(number: u64) -> Applied {
        let revision = sluice_proto::model::Revision { generation: "g".to_owned(), number };
        Applied { revision: Some(revision), broken: Vec::new() }
    }

    #[test]
    fn a_report_holds_what_changed_since_the_last_one() {
        let own = Own::new(1);
        let first = own.register(&hello("a"), 0).unwrap();
        let second = own.register(&hello("b"), 0).unwrap();
        second.applied(&applied(4));
        let all = own.report(Extent::News, 1);
        assert_eq!(all.sessions.len(), 2);
        assert!(own.report(Extent::News, 1).sessions.is_empty());
        first.applied(&applied(5));
        first.applied(&applied(6));
        let news = own.report(Extent::News, 1);
        assert_eq!(told(&news), [("a", 6)]);
        assert!(news.sequence > all.sequence);
    }

    #[test]
    fn a_session_that_ends_is_reported_gone() {
        let own = Own::new(1);
        let registered = own.register(&hello("a"), 0).unwrap();
        let id = registered.session_id().to_owned();
        drop(registered);
        let news = own.report(Extent::News, 1);
        assert_eq!((news.sessions.len(), news.gone), (0, vec![id]));
        assert_eq!(own.len(), 0);
    }

    #[test]
    fn a_report_of_all_sessions_fits_one_message_whatever_data_nodes_say() {
        let own = Own::new(1);
        let long = "x".repeat(100_000);
        let registered =
            own.register(&Hello { address: long.clone(), version: long.clone(), ..hello("a") }, 0).unwrap();
        let diagnostic = sluice_proto::model::Diagnostic { message: long.clone(), ..Default::default() };
        let broken = |id: usize| Broken { api_id: format!("api{id:07}"), diagnostics: vec![diagnostic.clone(); 10] };
        registered.applied(&Applied { broken: (0..1_000).map(broken).collect(), ..applied(1) });
        registered.rejected(&long);
        let report = own.report(Extent::All, 1);
        let session = &report.sessions[0];
        assert_eq!(session.broken.len(), limits::BROKEN_APIS_MAX, "the ids of all that fit the bound are told");
        assert_eq!(session.broken[0].diagnostics.len(), DIAGNOSTICS_PER_API_MAX);
        let whole = session.encoded_len() * limits::SESSIONS_MAX;
        assert!(whole < limits::IMPORT_BYTES_MAX, "{whole}: as large as messages between control nodes may be");
    }

    #[test]
    fn a_full_report_holds_all_and_leaves_no_news() {
        let own = Own::new(1);
        let _kept = own.register(&hello("a"), 0).unwrap();
        own.report(Extent::News, 1);
        drop(own.register(&hello("b"), 0).unwrap());
        let full = own.report(Extent::All, 1);
        assert_eq!((told(&full), full.full, full.gone.len()), (vec![("a", 0)], true, 0));
        assert!(own.report(Extent::News, 1).sessions.is_empty());
    }
}
