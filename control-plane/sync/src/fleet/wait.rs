//! Waiting until the fleet serves a revision.
//!
//! Promise: only a leader that a quorum has confirmed after it looked says that all is served: one that was replaced
//! and has not noticed sees data nodes leave that have only gone to the others. Nor is it said while a voter that is not
//! heard may have data nodes; they leave one that no leader hears, so that this passes.

use std::{collections::BTreeMap, time::Duration};

use sluice_model::limits;
use sluice_proto::{
    admin::{NodeServing, WaitReply},
    model::Revision,
    raft::Session,
};
use tokio::time::{Instant, sleep_until};

use super::Fleet;
use crate::source::Source;

/// What is waited for.
pub(super) struct Awaited {
    pub(super) revision: Revision,
    /// Only these matter when they are broken; empty: all.
    pub(super) api_ids: Vec<String>,
}

/// Nodes that were connected when asked, with the last that is known of them.
type Asked = BTreeMap<String, Session>;

/// What is known now.
enum Verdict {
    /// The answer.
    Final(WaitReply),
    /// The answer if the time is over.
    Open(WaitReply),
}

/// Where one data node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Served,
    Broken,
    Gone,
    Waiting,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Broken => "broken",
            Self::Gone => "gone",
            Self::Waiting => "waiting",
        }
    }
}

pub(super) async fn wait<S: Source>(fleet: &Fleet<S>, awaited: &Awaited, timeout: Duration) -> WaitReply {
    let mut changed = fleet.inner.changed.subscribe();
    let mut leadership = fleet.inner.source.leadership();
    let deadline = Instant::now() + timeout;
    let mut asked = None;
    loop {
        changed.borrow_and_update();
        leadership.borrow_and_update();
        let term = fleet.inner.source.leadership().borrow().term;
        let reply = match judge(fleet, awaited, &mut asked) {
            Verdict::Final(reply) if !reply.served || is_confirmed(fleet, term, deadline).await => return reply,
            Verdict::Final(reply) | Verdict::Open(reply) => WaitReply { served: false, ..reply },
        };
        let now = Instant::now();
        if now >= deadline || fleet.inner.stop.is_cancelled() {
            return reply;
        }
        let look = deadline.min(now + fleet.inner.timing.look_every);
        // Cancel-safe: everything is judged anew after each. Ended channels belong to a node that stops.
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return reply },
            changed = leadership.changed() => if changed.is_err() { return reply },
            () = sleep_until(look) => {}
        }
    }
}

/// Whether a quorum says that this node still leads in `term`. Takes a moment also when the time is over: what is served
/// at once is said so.
async fn is_confirmed<S: Source>(fleet: &Fleet<S>, term: u64, deadline: Instant) -> bool {
    let inner = &fleet.inner;
    let now = Instant::now();
    let by = (now + inner.timing.confirm_max).min(deadline.max(now + inner.timing.look_every));
    let caught_up = inner.source.caught_up(by.into_std()).await;
    let leadership = *inner.source.leadership().borrow();
    caught_up && leadership.this && leadership.term == term
}

/// The data nodes as the leader sees them at one moment, by node.
struct Seen {
    live: Asked,
    /// Without a session, but perhaps on their way from one control node to another.
    leaving: Asked,
    voters_not_heard: Vec<u64>,
    /// Whether one of those may have data nodes that no one else has.
    is_partial: bool,
}

impl Seen {
    fn now<S: Source>(fleet: &Fleet<S>, term: u64) -> Self {
        let inner = &fleet.inner;
        let by_node = |session: Session| (session.node_id.clone(), session);
        let voters = inner.source.voters();
        let now = Instant::now();
        let merged = fleet.merged(term);
        let voters_not_heard = merged.not_heard(&voters);
        let is_partial = voters_not_heard.iter().any(|voter| merged.may_hide(*voter, inner.timing.hidden_max, now));
        let mut seen = Self {
            live: merged.live().into_iter().map(by_node).collect(),
            leaving: merged.leaving(inner.timing.gone_after, now).into_iter().cloned().map(by_node).collect(),
            voters_not_heard,
            is_partial,
        };
        drop(merged);
        if !seen.voters_not_heard.is_empty() && seen.holds_every_node(fleet) {
            seen.voters_not_heard.clear();
            seen.is_partial = false;
        }
        seen
    }

    /// Whether every data node that joined the cluster is connected to a control node that was heard: then one that
    /// was not heard has none.
    fn holds_every_node<S: Source>(&self, fleet: &Fleet<S>) -> bool {
        let nodes = fleet.inner.source.view().nodes();
        let mut joined = nodes.iter().filter(|node| node.role == "data").peekable();
        joined.peek().is_some() && joined.all(|node| self.live.contains_key(&node.id))
    }

    fn is_here(&self, node_id: &String) -> bool {
        self.live.contains_key(node_id) || self.leaving.contains_key(node_id)
    }

    fn standing(&self, node_id: &String, awaited: &Awaited) -> Standing {
        match self.live.get(node_id) {
            Some(session) => standing_of(session, awaited),
            None if self.leaving.contains_key(node_id) => Standing::Waiting,
            None => Standing::Gone,
        }
    }

    fn has(&self, asked: &Asked, one: Standing, awaited: &Awaited) -> bool {
        asked.keys().any(|id| self.standing(id, awaited) == one)
    }

    fn reply(&self, asked: &Asked, awaited: &Awaited) -> WaitReply {
        let serving = |(id, last): (&String, &Session)| {
            let session = self.live.get(id).unwrap_or(last);
            NodeServing {
                node_id: id.clone(),
                address: session.address.clone(),
                state: self.standing(id, awaited).as_str().to_owned(),
                applied_number: session.applied_number,
                diagnostics: diagnostics_of(session),
            }
        };
        let all_are = |of: &[Standing]| asked.keys().all(|id| of.contains(&self.standing(id, awaited)));
        let served = !self.is_partial
            && all_are(&[Standing::Served, Standing::Gone])
            && self.has(asked, Standing::Served, awaited);
        let voters_not_heard = self.voters_not_heard.clone();
        WaitReply { served, nodes: asked.iter().map(serving).collect(), voters_not_heard }
    }
}

fn judge<S: Source>(fleet: &Fleet<S>, awaited: &Awaited, asked: &mut Option<Asked>) -> Verdict {
    let leadership = *fleet.inner.source.leadership().borrow();
    if !leadership.this {
        // Another leads, and is asked by whoever asks again.
        return Verdict::Final(WaitReply::default());
    }
    let seen = Seen::now(fleet, leadership.term);
    if asked.as_ref().is_none_or(|asked| !asked.keys().any(|id| seen.is_here(id))) {
        // Asked of those that are here now, and of at least one.
        let here: Asked = seen.live.clone().into_iter().chain(seen.leaving.clone()).collect();
        *asked = (!here.is_empty()).then_some(here);
    }
    let none = Asked::new();
    let all = asked.as_ref().unwrap_or(&none);
    let reply = seen.reply(all, awaited);
    let is_open = seen.has(all, Standing::Waiting, awaited) || !all.keys().any(|id| seen.live.contains_key(id));
    let is_broken = seen.has(all, Standing::Broken, awaited);
    if seen.is_partial {
        // Those that are not seen yet are asked too.
        *asked = None;
    }
    if is_open || (seen.is_partial && !is_broken) { Verdict::Open(reply) } else { Verdict::Final(reply) }
}

fn standing_of(session: &Session, Awaited { revision, api_ids }: &Awaited) -> Standing {
    // Of more than this many the leader is not told which.
    let is_cut = session.broken.len() >= limits::BROKEN_APIS_MAX;
    let is_meant = |api_id: &String| api_ids.is_empty() || api_ids.contains(api_id);
    if session.generation != revision.generation || session.applied_number < revision.number {
        Standing::Waiting
    } else if is_cut || !session.not_compiled.is_empty() || session.broken.iter().any(|broken| is_meant(&broken.api_id))
    {
        Standing::Broken
    } else {
        Standing::Served
    }
}

fn diagnostics_of(session: &Session) -> Vec<String> {
    let broken = session.broken.iter().flat_map(|broken| {
        broken.diagnostics.iter().map(move |diagnostic| format!("api {}: {diagnostic}", broken.api_id))
    });
    let rejected = (!session.rejected.is_empty()).then(|| session.rejected.clone());
    session.not_compiled.iter().cloned().chain(broken).chain(rejected).collect()
}
