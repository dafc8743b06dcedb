//! The leader's view: what every control node has reported in this term.
//!
//! Promise: a report costs what it holds and what it ends, times the logarithm of the fleet, however many data nodes come
//! or go at once.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::limits;
use sluice_proto::raft::{Session, SessionReport};
use tokio::time::Instant;

use crate::timing::Timing;

/// Data nodes that left and are still listed: all of a control node's, which may leave together and come back elsewhere.
const GONE_MAX: usize = limits::SESSIONS_MAX;

/// What control nodes have reported in one term.
#[derive(Default)]
pub(crate) struct Merged {
    term: u64,
    led_since: Option<Instant>,
    reporters: BTreeMap<u64, Reporter>,
    /// When each was last heard in this term, those that have fallen silent since too.
    heard: BTreeMap<u64, Instant>,
    /// How many sessions a data node has, over all reporters. INVARIANT: no entry is 0.
    sessions_of: BTreeMap<String, usize>,
    /// The last session of data nodes that have none now, by node.
    gone: BTreeMap<String, Gone>,
    arrivals: u64,
}

struct Reporter {
    process: u64,
    sequence: u64,
    is_draining: bool,
    sessions: BTreeMap<String, Arrived>,
}

struct Arrived {
    /// Of two sessions of one data node, the one that was heard of later counts.
    arrival: u64,
    session: Session,
}

struct Gone {
    session: Session,
    since: Instant,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// It builds on what this view does not hold.
    WantFull,
}

impl Merged {
    /// Forgets other terms, and control nodes that have fallen silent: their sessions have left, as far as is known.
    pub(crate) fn refresh(&mut self, term: u64, this: u64, timing: &Timing, now: Instant) {
        if self.term != term || self.led_since.is_none() {
            *self = Self { term, led_since: Some(now), ..Self::default() };
        }
        let heard = &self.heard;
        let is_silent = |id: &u64| {
            let silence = heard.get(id).map(|heard| now.duration_since(*heard));
            *id != this && silence.is_none_or(|silence| silence > timing.reporter_silence_max)
        };
        let silent: Vec<u64> = self.reporters.keys().filter(|id| is_silent(id)).copied().collect();
        // Forgotten whole: news from it would build on sessions that this view has dropped.
        let lost: Vec<Reporter> = silent.iter().filter_map(|id| self.reporters.remove(id)).collect();
        for arrived in lost.into_iter().flat_map(|reporter| reporter.sessions.into_values()) {
            self.leave(arrived.session, now);
        }
        self.gone.retain(|_, gone| now.duration_since(gone.since) < timing.gone_listed);
    }

    /// Takes a report.
    pub(crate) fn take(&mut self, report: SessionReport, now: Instant) -> Taken {
        let SessionReport { from, sequence, full, sessions, gone, process, draining, .. } = report;
        let known = self.reporters.get_mut(&from).filter(|reporter| reporter.process == process);
        let mut left: Vec<Arrived> = Vec::new();
        match known {
            // A late copy of a report whose answer was lost: what followed it was taken.
            Some(reporter) if sequence <= reporter.sequence => return Taken::Yes,
            Some(reporter) => reporter.sequence = sequence,
            None if !full => return Taken::WantFull,
            None => {
                let reporter = Reporter { process, sequence, is_draining: draining, sessions: BTreeMap::new() };
                if let Some(before) = self.reporters.insert(from, reporter) {
                    left.extend(before.sessions.into_values());
                }
            }
        }
        let Some(reporter) = self.reporters.get_mut(&from) else { return Taken::WantFull };
        self.heard.insert(from, now);
        reporter.is_draining = draining;
        if full {
            let listed: BTreeSet<&str> = sessions.iter().map(|session| session.session_id.as_str()).collect();
            let held = std::mem::take(&mut reporter.sessions);
            let (stays, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
                held.into_iter().partition(|(id, _)| listed.contains(id.as_str()));
            reporter.sessions = stays;
            left.extend(ended.into_values());
        } else {
            left.extend(gone.iter().filter_map(|id| reporter.sessions.remove(id)));
        }
        for session in sessions {
            self.gone.remove(&session.node_id);
            *self.sessions_of.entry(session.node_id.clone()).or_default() += 1;
            let id = session.session_id.clone();
            let before = reporter.sessions.remove(&id);
            let arrival = before.as_ref().map(|arrived| arrived.arrival).unwrap_or_else(|| {
                self.arrivals += 1;
                self.arrivals
            });
            left.extend(before);
            reporter.sessions.insert(id, Arrived { arrival, session });
        }
        // After those that came: a data node that has another session has not left.
        left.into_iter().for_each(|arrived| self.leave(arrived.session, now));
        Taken::Yes
    }

    /// A session has ended; its data node has left unless another session of it lives.
    fn leave(&mut self, session: Session, now: Instant) {
        if let Some(count) = self.sessions_of.get_mut(&session.node_id).filter(|count| **count > 1) {
            *count -= 1;
            return;
        }
        self.sessions_of.remove(&session.node_id);
        if self.gone.len() < GONE_MAX {
            self.gone.insert(session.node_id.clone(), Gone { session, since: now });
        }
    }

    /// The sessions of connected data nodes, by node, one of each.
    pub(crate) fn live(&self) -> Vec<Session> {
        let mut newest: BTreeMap<&str, &Arrived> = BTreeMap::new();
        for arrived in self.reporters.values().flat_map(|reporter| reporter.sessions.values()) {
            let place = newest.entry(&arrived.session.node_id).or_insert(arrived);
            if arrived.arrival > place.arrival {
                *place = arrived;
            }
        }
        newest.into_values().map(|arrived| arrived.session.clone()).collect()
    }

    /// Control nodes that send their data nodes elsewhere, and how many they still have.
    pub(crate) fn draining(&self) -> Vec<(u64, usize)> {
        let draining = self.reporters.iter().filter(|(_, reporter)| reporter.is_draining);
        draining.map(|(raft_id, reporter)| (*raft_id, reporter.sessions.len())).collect()
    }

    /// The last sessions of data nodes that have left.
    pub(crate) fn gone(&self) -> Vec<Session> {
        self.gone.values().map(|gone| gone.session.clone()).collect()
    }

    /// Data nodes that left less than `within` ago: they may be on their way to another control node.
    pub(crate) fn leaving(&self, within: std::time::Duration, now: Instant) -> Vec<&Session> {
        let leaving = self.gone.values().filter(|gone| now.duration_since(gone.since) < within);
        leaving.map(|gone| &gone.session).collect()
    }

    /// Those of `voters` that have not sent their sessions in this term, or have been silent since.
    pub(crate) fn not_heard(&self, voters: &[u64]) -> Vec<u64> {
        voters.iter().filter(|voter| !self.reporters.contains_key(voter)).copied().collect()
    }

    /// Whether `voter`, which is not heard, may have data nodes that have not left it yet: since it was heard, or since
    /// this node leads, less than `hidden_max` has passed.
    pub(crate) fn may_hide(&self, voter: u64, hidden_max: std::time::Duration, now: Instant) -> bool {
        let since = self.heard.get(&voter).copied().max(self.led_since);
        since.is_none_or(|since| now.duration_since(since) < hidden_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, node_id: &str, number: u64) -> Session {
        Session { session_id: id.to_owned(), node_id: node_id.to_owned(), applied_number: number, ..Session::default() }
    }

    fn report(from: u64, sequence: u64, full: bool, sessions: Vec<Session>, gone: &[&str]) -> SessionReport {
        let gone = gone.iter().map(|&id| id.to_owned()).collect();
        SessionReport { from, sequence, full, sessions, gone, process: 1, term: 1, draining: false }
    }

    fn live(merged: &Merged) -> Vec<(String, u64)> {
        merged.live().into_iter().map(|session| (session.node_id, session.applied_number)).collect()
    }

    fn leading() -> (Merged, Instant) {
        let mut merged = Merged::default();
        let now = Instant::now();
        merged.refresh(1, 1, &Timing::PRODUCT, now);
        (merged, now)
    }

    #[test]
    fn news_need_a_full_list_first() {
        let (mut merged, now) = leading();
        assert_eq!(merged.take(report(2, 5, false, vec![session("s", "a", 1)], &[]), now), Taken::WantFull);
        assert_eq!(merged.not_heard(&[2, 3]), [2, 3]);
        assert_eq!(merged.take(report(2, 6, true, vec![session("s", "a", 1)], &[]), now), Taken::Yes);
        assert_eq!(merged.take(report(2, 7, false, vec![session("s", "a", 2)], &[]), now), Taken::Yes);
        assert_eq!((live(&merged), merged.not_heard(&[2, 3])), (vec![("a".to_owned(), 2)], vec![3]));
    }

    #[test]
    fn a_late_copy_of_a_report_changes_nothing_and_a_new_process_begins_anew() {
        let (mut merged, now) = leading();
        merged.take(report(2, 6, true, vec![session("s", "a", 2)], &[]), now);
        merged.take(report(2, 5, true, vec![session("s", "a", 1)], &[]), now);
        assert_eq!(live(&merged), [("a".to_owned(), 2)]);
        let restarted = SessionReport { process: 2, ..report(2, 1, true, Vec::new(), &[]) };
        merged.take(restarted, now);
        assert!(live(&merged).is_empty());
        assert_eq!(merged.gone().len(), 1);
    }

    #[test]
    fn the_newer_session_of_a_data_node_counts() {
        let (mut merged, now) = leading();
        merged.take(report(2, 1, true, vec![session("old", "a", 9)], &[]), now);
        merged.take(report(3, 1, true, vec![session("new", "a", 4)], &[]), now);
        assert_eq!(live(&merged), [("a".to_owned(), 4)]);
        merged.take(report(2, 2, false, Vec::new(), &["old"]), now);
        assert_eq!((live(&merged).len(), merged.gone().len()), (1, 0), "it did not leave: it moved");
        merged.take(report(3, 2, false, Vec::new(), &["new"]), now);
        assert_eq!((live(&merged).len(), merged.gone().len()), (0, 1));
    }

    /// What is counted per data node is what there is.
    fn check(merged: &Merged) {
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for arrived in merged.reporters.values().flat_map(|reporter| reporter.sessions.values()) {
            *counted.entry(arrived.session.node_id.clone()).or_default() += 1;
        }
        assert_eq!(merged.sessions_of, counted);
        assert!(merged.gone.keys().all(|node| !counted.contains_key(node)));
    }

    #[test]
    fn data_nodes_are_counted_right_through_any_reports() {
        let (mut merged, now) = leading();
        // A fixed walk through reports of two control nodes about six data nodes, some twice, some in a new process.
        let mut state: u32 = 1;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for sequence in 1..500_u64 {
            let from = 1 + u64::from(next(2));
            let some = |next: &mut dyn FnMut(u32) -> u32| -> Vec<u32> { (0..next(4)).map(|_| next(6)).collect() };
            let sessions = some(&mut next);
            let sessions =
                sessions.iter().map(|id| session(&format!("{from}-{id}"), &format!("d{}", id / 2), 1)).collect();
            let gone: Vec<String> = some(&mut next).iter().map(|id| format!("{from}-{id}")).collect();
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            let process = 1 + sequence / 100;
            merged.take(SessionReport { process, ..report(from, sequence, next(3) == 0, sessions, &gone) }, now);
            check(&merged);
        }
        merged.refresh(1, 9, &Timing::PRODUCT, now + Timing::PRODUCT.reporter_silence_max * 2);
        check(&merged);
        assert!(live(&merged).is_empty());
    }

    #[test]
    fn a_fleet_that_comes_and_goes_whole_is_taken_in_one_report() {
        let (mut merged, now) = leading();
        // With a look at every session for every session this test would not come to its end.
        let fleet = |from: u64| -> Vec<Session> {
            (0..50_000).map(|id| session(&format!("{from}-{id}"), &format!("d{id}"), 1)).collect()
        };
        merged.take(report(2, 1, true, fleet(2), &[]), now);
        merged.take(report(2, 2, true, fleet(2), &[]), now);
        merged.take(report(3, 1, true, fleet(3), &[]), now);
        merged.take(report(2, 3, true, Vec::new(), &[]), now);
        assert_eq!((merged.live().len(), merged.gone().len()), (50_000, 0), "they have moved");
        merged.take(report(3, 2, true, Vec::new(), &[]), now);
        assert_eq!((merged.live().len(), merged.gone().len()), (0, GONE_MAX));
        check(&merged);
    }

    #[test]
    fn a_silent_control_node_loses_its_sessions_and_is_heard_no_more() {
        let (mut merged, now) = leading();
        merged.take(report(2, 1, true, vec![session("s", "a", 1)], &[]), now);
        merged.take(report(1, 1, true, vec![session("t", "b", 1)], &[]), now);
        let later = now + Timing::PRODUCT.reporter_silence_max * 2;
        merged.refresh(1, 1, &Timing::PRODUCT, later);
        assert_eq!(live(&merged), [("b".to_owned(), 1)], "its own sessions do not age");
        assert_eq!(merged.not_heard(&[1, 2]), [2]);
        assert!(merged.may_hide(2, Timing::PRODUCT.hidden_max, later), "its data nodes may not have left it yet");
        assert!(!merged.may_hide(2, Timing::PRODUCT.hidden_max, now + Timing::PRODUCT.hidden_max));
        assert_eq!(merged.leaving(Timing::PRODUCT.gone_after, later).len(), 1);
    }

    #[test]
    fn a_control_node_that_was_silent_for_a_while_has_to_send_all_again() {
        let (mut merged, now) = leading();
        merged.take(report(2, 1, true, vec![session("s", "a", 1)], &[]), now);
        let later = now + Timing::PRODUCT.reporter_silence_max * 2;
        merged.refresh(1, 1, &Timing::PRODUCT, later);
        assert_eq!(merged.take(report(2, 2, false, Vec::new(), &[]), later), Taken::WantFull);
        assert_eq!(merged.take(report(2, 3, true, vec![session("s", "a", 1)], &[]), later), Taken::Yes);
        assert_eq!(live(&merged), [("a".to_owned(), 1)], "its data node never left");
    }

    #[test]
    fn a_new_term_begins_with_nothing() {
        let (mut merged, now) = leading();
        merged.take(report(2, 1, true, vec![session("s", "a", 1)], &[]), now);
        merged.refresh(2, 1, &Timing::PRODUCT, now);
        assert!(live(&merged).is_empty() && merged.gone().is_empty());
        assert_eq!(merged.not_heard(&[2]), [2]);
    }
}
