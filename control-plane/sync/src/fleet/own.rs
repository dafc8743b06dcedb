//! The sessions of this node, and what of them the leader has not heard.
//!
//! Promise: a report of all of them fits one message between control nodes, whatever data nodes say; one data node takes
//! the place of few, however often it comes back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sluice_model::{ids::is_id, limits};
use sluice_proto::{
    model::Diagnostic,
    raft::{BrokenApi, Session, SessionReport},
    sync::{Applied, Hello},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Diagnostics of one broken API that the leader hears of, and the bytes of each.
const DIAGNOSTICS_PER_API_MAX: usize = 3;
const DIAGNOSTIC_BYTES_MAX: usize = 300;
/// Bytes of all diagnostics of one session that the leader hears of; of the APIs beyond it hears the ids.
const DIAGNOSTICS_BYTES_MAX: usize = 6 * 1024;
/// Bytes of what a data node says of itself.
const LABEL_BYTES_MAX: usize = 256;
/// Sessions of one data node: the one that it has, and one whose end has not been noticed.
const SESSIONS_PER_NODE_MAX: usize = 2;

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
    /// The sessions of each data node, the oldest first. INVARIANT: those in `all`, and no entry is empty.
    of_node: BTreeMap<String, VecDeque<Place>>,
    /// What changed and what ended since the last report.
    changed: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// More has ended than is kept: only all sessions say what there is.
    is_overfull: bool,
    sequence: u64,
}

struct Place {
    session_id: String,
    ended: CancellationToken,
    orders: watch::Sender<Order>,
}

/// What an operator wants of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// To serve.
    #[default]
    Serve,
    /// To send its clients elsewhere.
    Drain,
}

impl Sessions {
    /// Takes a session out; one that is out already stays out.
    fn end(&mut self, node_id: &str, session_id: &str) {
        if self.all.remove(session_id).is_none() {
            return;
        }
        if let Some(places) = self.of_node.get_mut(node_id) {
            places.retain(|place| place.session_id != session_id);
            if places.is_empty() {
                self.of_node.remove(node_id);
            }
        }
        self.changed.remove(session_id);
        self.gone.insert(session_id.to_owned());
        if self.gone.len() > limits::SESSIONS_MAX {
            // No leader has taken a report for long.
            self.gone.clear();
            self.changed.clear();
            self.is_overfull = true;
        }
    }

    /// Ends the oldest sessions of a data node until there is a place for another.
    fn make_place(&mut self, node_id: &str) {
        while let Some(places) = self.of_node.get(node_id).filter(|places| places.len() >= SESSIONS_PER_NODE_MAX) {
            let Some(oldest) = places.front() else { return };
            oldest.ended.cancel();
            let session_id = oldest.session_id.clone();
            self.end(node_id, &session_id);
        }
    }
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
    node_id: String,
    session_id: String,
    ended: CancellationToken,
    orders: watch::Receiver<Order>,
}

impl Own {
    pub(crate) fn new(raft_id: u64) -> Self {
        Self { raft_id, process: random(), sessions: Mutex::default(), news: Notify::new() }
    }

    /// Registers a data node, in place of its oldest session when it has as many as it may; `None` when there are too many
    /// data nodes.
    pub(crate) fn register(&self, hello: &Hello, connected_ms: u64) -> Option<Registered<'_>> {
        let session_id = format!("{:x}-{:016x}", self.raft_id, random());
        let node_id = shortened(&hello.node_id, LABEL_BYTES_MAX);
        let session = Session {
            session_id: session_id.clone(),
            node_id: node_id.clone(),
            incarnation: shortened(&hello.incarnation, LABEL_BYTES_MAX),
            address: shortened(&hello.address, LABEL_BYTES_MAX),
            version: shortened(&hello.version, LABEL_BYTES_MAX),
            level: hello.level,
            connected_ms,
            control_raft_id: self.raft_id,
            standing: u32::try_from(hello.standing).unwrap_or_default(),
            ..Session::default()
        };
        let ended = CancellationToken::new();
        let (order, orders) = watch::channel(Order::Serve);
        let mut sessions = self.lock();
        sessions.make_place(&node_id);
        if sessions.all.len() >= limits::SESSIONS_MAX {
            return None;
        }
        sessions.all.insert(session_id.clone(), session);
        sessions.changed.insert(session_id.clone());
        let place = Place { session_id: session_id.clone(), ended: ended.clone(), orders: order };
        sessions.of_node.entry(node_id.clone()).or_default().push_back(place);
        drop(sessions);
        self.news.notify_one();
        Some(Registered { own: self, node_id, session_id, ended, orders })
    }

    /// Gives an order to a data node; false when it does not stream from here.
    pub(crate) fn order(&self, node_id: &str, order: Order) -> bool {
        let sessions = self.lock();
        let places = sessions.of_node.get(node_id);
        for place in places.into_iter().flatten() {
            place.orders.send_replace(order);
        }
        places.is_some()
    }

    /// Makes the leader hear of what no session says.
    pub(crate) fn has_news(&self) {
        self.news.notify_one();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.lock().all.values().cloned().collect()
    }

    /// What the leader is to be told now, which may be more than is asked for; what it has been told is news no more.
    pub(crate) fn report(&self, extent: Extent, term: u64) -> SessionReport {
        let mut sessions = self.lock();
        sessions.sequence += 1;
        let extent = if std::mem::take(&mut sessions.is_overfull) { Extent::All } else { extent };
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
            // What is wanted of the node itself is the fleet's to say.
            draining: false,
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

    /// Told when a newer session of the data node has taken the place of this one.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// The data node serves a revision.
    pub(crate) fn applied(&self, applied: &Applied) {
        let (generation, number) = match &applied.revision {
            Some(revision) => (shortened(&revision.generation, LABEL_BYTES_MAX), revision.number),
            None => Default::default(),
        };
        let mut room = DIAGNOSTICS_BYTES_MAX;
        // First: they are few, and matter most.
        let not_compiled = texts(&applied.not_compiled, &mut room);
        let broken = applied.broken.iter().filter(|broken| is_id(&broken.api_id)).take(limits::BROKEN_APIS_MAX);
        let broken: Vec<BrokenApi> = broken.map(|broken| broken_api(broken, &mut room)).collect();
        self.change(|session| {
            session.generation = generation;
            session.applied_number = number;
            session.broken = broken;
            session.not_compiled = not_compiled;
            session.rejected.clear();
        });
    }

    /// What an operator wants of the data node, now and later.
    pub(crate) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.clone()
    }

    /// The data node says whether its clients are welcome.
    pub(crate) fn stands(&self, standing: i32) {
        self.change(|session| session.standing = u32::try_from(standing).unwrap_or_default());
    }

    /// The data node could not take what it was sent.
    pub(crate) fn rejected(&self, reason: &str) {
        self.change(|session| session.rejected = shortened(reason, DIAGNOSTIC_BYTES_MAX));
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
        sessions.end(&self.node_id, &self.session_id);
        drop(sessions);
        self.own.news.notify_one();
    }
}

/// A broken API with as many of its diagnostics as there is `room` for, in bytes.
fn broken_api(broken: &sluice_proto::sync::Broken, room: &mut usize) -> BrokenApi {
    BrokenApi { api_id: broken.api_id.clone(), diagnostics: texts(&broken.diagnostics, room) }
}

/// As many of some diagnostics as there is `room` for, in bytes.
fn texts(diagnostics: &[Diagnostic], room: &mut usize) -> Vec<String> {
    let mut told = Vec::new();
    for found in diagnostics.iter().take(DIAGNOSTICS_PER_API_MAX) {
        let at = if found.at.is_empty() { String::new() } else { format!("{}: ", found.at) };
        let text = shortened(&format!("{at}{}", found.message), DIAGNOSTIC_BYTES_MAX);
        let Some(left) = room.checked_sub(text.len()) else { break };
        *room = left;
        told.push(text);
    }
    told
}

fn shortened(text: &str, bytes_max: usize) -> String {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= bytes_max;
    text.char_indices().take_while(fits).map(|(_, character)| character).collect()
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
        Applied { revision: Some(revision), ..Applied::default() }
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
    fn a_data_node_that_comes_again_and_again_ends_its_oldest_session() {
        let own = Own::new(1);
        let other = own.register(&hello("b"), 0).unwrap();
        let first = own.register(&hello("a"), 0).unwrap();
        let second = own.register(&hello("a"), 0).unwrap();
        own.report(Extent::All, 1);
        assert!(!first.ended().is_cancelled());
        let third = own.register(&hello("a"), 0).unwrap();
        assert!(first.ended().is_cancelled() && !second.ended().is_cancelled() && !other.ended().is_cancelled());
        let news = own.report(Extent::News, 1);
        assert_eq!((news.sessions.len(), news.gone), (1, vec![first.session_id().to_owned()]));
        first.applied(&applied(4));
        drop(first);
        let news = own.report(Extent::News, 1);
        assert_eq!((news.sessions.len(), news.gone.len(), own.len()), (0, 0, 3), "it was out already");
        drop((second, third, other));
        let sessions = own.lock();
        assert!(sessions.all.is_empty() && sessions.of_node.is_empty());
    }

    #[test]
    fn what_ends_while_no_leader_hears_of_it_is_not_kept_for_ever() {
        let own = Own::new(1);
        let _kept = own.register(&hello("kept"), 0).unwrap();
        own.report(Extent::All, 1);
        for _ in 0..=limits::SESSIONS_MAX {
            drop(own.register(&hello("a"), 0).unwrap());
        }
        assert!(own.lock().gone.len() <= limits::SESSIONS_MAX);
        let report = own.report(Extent::News, 1);
        assert_eq!((told(&report), report.full), (vec![("kept", 0)], true), "then only all of them says what there is");
        assert!(!own.report(Extent::News, 1).full);
    }

    #[test]
    fn what_went_wrong_is_forgotten_when_the_data_node_serves() {
        let own = Own::new(1);
        let registered = own.register(&hello("a"), 0).unwrap();
        registered.rejected("the digests of a beat differ");
        assert!(!own.all()[0].rejected.is_empty());
        registered.applied(&applied(5));
        assert_eq!(own.all()[0].rejected, "");
    }

    #[test]
    fn what_is_no_id_of_an_api_is_not_told() {
        let own = Own::new(1);
        let registered = own.register(&hello("a"), 0).unwrap();
        let broken = ["", "no id", "a1b2c3d4e5"].map(|id| Broken { api_id: id.to_owned(), ..Broken::default() });
        registered.applied(&Applied { broken: broken.to_vec(), ..applied(1) });
        let broken: Vec<_> = own.all()[0].broken.iter().map(|broken| broken.api_id.clone()).collect();
        assert_eq!(broken, ["a1b2c3d4e5"]);
    }

    #[test]
    fn a_report_of_all_sessions_fits_one_message_whatever_data_nodes_say() {
        let own = Own::new(1);
        // Four bytes each: what counts characters lets four times as much through.
        let long = "\u{1f30a}".repeat(1_000);
        let hello = Hello {
            node_id: long.clone(),
            address: long.clone(),
            version: long.clone(),
            incarnation: long.clone(),
            ..Hello::default()
        };
        let registered = own.register(&hello, u64::MAX).unwrap();
        let diagnostic = Diagnostic { message: long.clone(), ..Diagnostic::default() };
        // As long as ids may be.
        let broken = |id: usize| Broken { api_id: format!("{id:064}"), diagnostics: vec![diagnostic.clone(); 10] };
        let revision = sluice_proto::model::Revision { generation: long.clone(), number: u64::MAX };
        let not_compiled = vec![diagnostic.clone(); 10];
        let broken = (0..1_000).map(broken).collect();
        registered.applied(&Applied { broken, revision: Some(revision), not_compiled });
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
