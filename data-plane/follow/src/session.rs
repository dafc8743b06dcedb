//! One stream to one control node, from hello to its end.
//!
//! Promise: every change is answered, with `Applied` after the swap or with a request for a whole snapshot; a digest goes
//! each way every second; a control node that is silent, behind or detached is left. Absent: which node is next (`follower`).

use std::time::Duration;

use sluice_identity::{Revoked, says_removed, status_text};
use sluice_model::{LEVEL, Revision, StateDigest};
use sluice_proto::sync::{
    Applied, Beat, Delta, FromControl, FromData, Hello, Resync, Stands, Welcome, from_control, from_data,
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::Status;
use tracing::{info, warn};

use crate::{
    compiler::{Held, Outcome, Work},
    holding::NotTaken,
    meters::Meters,
    order::{Order, Standing},
    settings::FollowSettings,
    wire::Wire,
};

/// How often a digest is sent.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A control node beats every second: one that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long a control node may take to answer the hello; behind another it waits up to a second for its own apply.
const WELCOME_MAX: Duration = Duration::from_secs(5);
/// Messages to a control node that wait to be sent; one per second, and one per change.
const OUTGOING_MAX: usize = 64;
/// Outcomes that wait to be told; one change is in flight at a time.
const OUTCOMES_MAX: usize = 16;

/// Removed control nodes that are remembered.
const REVOKED_MAX: usize = 1_000;

/// Why a stream has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The control node holds less than this node.
    Behind,
    /// The control node has heard no leader, and this node has something to serve.
    Detached,
    /// This node was removed from its cluster.
    Removed,
    /// The connection, the control node, or what it said, is no good.
    Lost(String),
    /// This node stops.
    Stopped,
}

/// This node, as its streams say it.
#[derive(Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) settings: &'a FollowSettings,
    /// Random per process.
    pub(crate) incarnation: &'a str,
    /// Nodes that are not connected to.
    pub(crate) revoked: &'a Revoked,
}

/// What every stream of this node is connected to.
#[derive(Clone)]
pub(crate) struct Wires<'a> {
    pub(crate) own: Own<'a>,
    pub(crate) work: &'a mpsc::Sender<Work>,
    pub(crate) held: watch::Receiver<Held>,
    pub(crate) order: &'a watch::Sender<Order>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) meters: &'a Meters,
}

/// One stream.
pub(crate) struct Session<'a> {
    wires: Wires<'a>,
    outgoing: mpsc::Sender<FromData>,
    outcomes: mpsc::Sender<Outcome>,
    /// Chunks of a delta whose last one has not come.
    delta: Option<Delta>,
    resync: Resyncing,
}

/// Whether a whole snapshot was asked for and has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resyncing {
    No,
    Asked,
}

/// How much of the configuration is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// The tables whose rows are others here than there.
    WhatDiffers,
}

/// Follows the control node behind the connection until the stream ends; `welcomed` is called when it has begun.
///
/// Cancellation: dropping the future ends the stream; a change that was being compiled is still served.
pub(crate) async fn follow<W: Wire>(
    (wire, connection): (&W, W::Connection),
    mut wires: Wires<'_>,
    welcomed: impl FnOnce(),
) -> Ended {
    let (reply, holds) = oneshot::channel();
    if wires.work.send(Work::Hold(reply)).await.is_err() {
        return Ended::Stopped;
    }
    let Ok(holds) = holds.await else { return Ended::Stopped };
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let (outcomes, mut told) = mpsc::channel(OUTCOMES_MAX);
    let standing = *wires.standing.borrow_and_update();
    let hello = hello(wires.own, &holds, standing);
    let mut session = Session { wires, outgoing, outcomes, delta: None, resync: Resyncing::No };
    let run = async {
        session.say(from_data::Kind::Hello(hello))?;
        let answer = timeout(WELCOME_MAX, wire.follow(connection, ReceiverStream::new(queue))).await;
        let stream = answer.map_err(|_| lost("no answer to the hello"))?;
        let mut stream = stream.map_err(|status| refused(&status))?;
        session.begin(&mut stream, &holds).await?;
        welcomed();
        session.run(&mut stream, &mut told).await
    };
    let Err(ended) = run.await;
    ended
}

/// What a control node says.
trait Incoming: Stream<Item = Result<FromControl, Status>> + Unpin {}

impl<S: Stream<Item = Result<FromControl, Status>> + Unpin> Incoming for S {}

/// Nothing but an end comes out of a stream.
enum Never {}

impl Session<'_> {
    /// Waits for the welcome.
    async fn begin(&mut self, stream: &mut impl Incoming, holds: &Held) -> Result<(), Ended> {
        loop {
            let message = timeout(WELCOME_MAX, stream.next()).await.map_err(|_| lost("no welcome"))?;
            match received(message)? {
                from_control::Kind::Welcome(welcome) => {
                    self.welcome(welcome).await?;
                    break;
                }
                other => self.take(other).await?,
            }
        }
        // Says what is broken to a control node that has not heard it, and that the held revision is served.
        if holds.revision.is_some() { self.say(from_data::Kind::Applied(applied(holds))) } else { Ok(()) }
    }

    async fn welcome(&mut self, welcome: Welcome) -> Result<(), Ended> {
        let expected = &self.wires.own.settings.cluster_id;
        if welcome.cluster_id != *expected {
            return Err(Ended::Lost(format!("expected cluster {expected}, found {}", welcome.cluster_id)));
        }
        if welcome.level > LEVEL {
            warn!(level = welcome.level, supported = LEVEL, "cluster uses features that this release does not know");
        }
        let lookup_key = <[u8; 32]>::try_from(&*welcome.lookup_key);
        let lookup_key = lookup_key.map_err(|_| lost("the lookup key does not have 32 bytes"))?;
        self.wires.own.revoked.extend(welcome.revoked_control_nodes, REVOKED_MAX);
        self.hand(Work::Welcome { lookup_key, control_addresses: welcome.control_addresses }).await
    }

    async fn run(&mut self, stream: &mut impl Incoming, told: &mut mpsc::Receiver<Outcome>) -> Result<Never, Ended> {
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_at = Instant::now() + SILENCE_MAX;
        loop {
            // Each branch is cancel-safe: a stream keeps what it has read, a channel what was not received, and an interval
            // its next tick.
            tokio::select! {
                message = stream.next() => {
                    self.take(received(message)?).await?;
                    // After the message is taken: while this node compiles, the control node's words wait unread.
                    silent_at = Instant::now() + SILENCE_MAX;
                }
                Some(outcome) = told.recv() => self.tell(outcome)?,
                Ok(()) = self.wires.standing.changed() => self.stand()?,
                _ = beats.tick() => self.beat()?,
                () = sleep_until(silent_at) => return Err(lost("the control node has gone silent")),
            }
        }
    }

    /// Takes one message.
    async fn take(&mut self, message: from_control::Kind) -> Result<(), Ended> {
        use from_control::Kind;
        let reply = self.outcomes.clone();
        match message {
            Kind::Welcome(welcome) => self.welcome(welcome).await,
            Kind::Delta(delta) => self.delta(delta).await,
            Kind::SnapshotStart(start) => {
                self.delta = None;
                let revision = start.revision.ok_or_else(|| lost("a snapshot without a revision"))?;
                self.hand(Work::SnapshotStart(revision.into(), start.tables, reply)).await
            }
            Kind::SnapshotRows(chunk) => self.hand(Work::SnapshotRows(chunk.rows, reply)).await,
            Kind::SnapshotEnd(end) => self.hand(Work::SnapshotEnd { digest: end.digest, rows: end.rows, reply }).await,
            Kind::Behind(_) => Err(Ended::Behind),
            Kind::Beat(beat) => self.compare(&beat),
            Kind::Detached(_) if self.wires.held.borrow().revision.is_some() => Err(Ended::Detached),
            Kind::Detached(_) => Ok(()),
            Kind::Drain(drain) => {
                self.wires.order.send_replace(if drain.undo { Order::Serve } else { Order::Drain });
                Ok(())
            }
        }
    }

    /// Collects the chunks of a delta; the last one hands it on.
    async fn delta(&mut self, chunk: Delta) -> Result<(), Ended> {
        let last = chunk.last;
        let whole = match self.delta.take() {
            Some(mut begun) if begun.from == chunk.from && begun.to == chunk.to => {
                begun.rows.extend(chunk.rows);
                begun.tombstones.extend(chunk.tombstones);
                begun.digest = chunk.digest;
                begun
            }
            _ => chunk,
        };
        if last {
            let reply = self.outcomes.clone();
            return self.hand(Work::Delta(Box::new(Delta { last: true, ..whole }), reply)).await;
        }
        self.delta = Some(whole);
        Ok(())
    }

    /// Compares the digest of a control node that is at the same revision.
    fn compare(&mut self, beat: &Beat) -> Result<(), Ended> {
        let theirs = (beat.revision.as_ref().map(Revision::from), StateDigest::from_bytes(&beat.digest));
        let same = {
            let held = self.wires.held.borrow();
            held.revision != theirs.0 || theirs.1 == Some(held.digest)
        };
        if same { Ok(()) } else { self.resync("the digests of a beat differ", Wanted::WhatDiffers) }
    }

    fn beat(&mut self) -> Result<(), Ended> {
        let beat = {
            let held = self.wires.held.borrow();
            held.revision.as_ref().map(|revision| Beat {
                revision: Some(revision.into()),
                digest: held.digest.to_bytes().to_vec().into(),
                tables: held.tables.to_vec(),
            })
        };
        beat.map_or(Ok(()), |beat| self.say(from_data::Kind::Beat(beat)))
    }

    /// Says whether clients are welcome.
    fn stand(&mut self) -> Result<(), Ended> {
        let standing = *self.wires.standing.borrow_and_update();
        self.say(from_data::Kind::Stands(Stands { standing: standing.to_message().into() }))
    }

    fn tell(&mut self, outcome: Outcome) -> Result<(), Ended> {
        match outcome {
            Outcome::Applied(held) => {
                self.resync = Resyncing::No;
                self.say(from_data::Kind::Applied(applied(&held)))
            }
            // Asking the same control node again would bring the same: another may be further.
            Outcome::SnapshotNotTaken(reason @ NotTaken::Older { .. }) => Err(Ended::Lost(reason.to_string())),
            Outcome::SnapshotNotTaken(reason) => {
                self.resync = Resyncing::No;
                self.resync(&reason.to_string(), Wanted::All)
            }
            Outcome::DeltaNotTaken(reason @ NotTaken::Digest(_)) => {
                self.resync(&reason.to_string(), Wanted::WhatDiffers)
            }
            Outcome::DeltaNotTaken(reason) => self.resync(&reason.to_string(), Wanted::All),
        }
    }

    /// Asks for a snapshot, once: whole, or of the tables that differ from what is held.
    fn resync(&mut self, reason: &str, wanted: Wanted) -> Result<(), Ended> {
        if self.resync == Resyncing::Asked {
            return Ok(());
        }
        info!(reason, ?wanted, "configuration asked for again");
        self.resync = Resyncing::Asked;
        let mut resync = Resync { reason: reason.to_owned(), ..Resync::default() };
        if wanted == Wanted::WhatDiffers {
            let held = self.wires.held.borrow();
            resync.revision = held.revision.as_ref().map(Into::into);
            resync.tables = held.tables.to_vec();
        }
        self.say(from_data::Kind::Resync(resync))
    }

    fn say(&self, kind: from_data::Kind) -> Result<(), Ended> {
        let sent = self.outgoing.try_send(FromData { kind: Some(kind) });
        sent.map_err(|refused| {
            if matches!(refused, TrySendError::Full(_)) {
                self.wires.meters.outgoing_full.increment(1);
            }
            lost("the control node does not read")
        })
    }

    /// Hands work to the compiling thread; waits while that is busy, which holds up the control node.
    async fn hand(&self, work: Work) -> Result<(), Ended> {
        match self.wires.work.try_send(work) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Ended::Stopped),
            Err(TrySendError::Full(work)) => {
                self.wires.meters.queue_full.increment(1);
                self.wires.work.send(work).await.map_err(|_| Ended::Stopped)
            }
        }
    }
}

fn received(message: Option<Result<FromControl, Status>>) -> Result<from_control::Kind, Ended> {
    match message {
        Some(Ok(FromControl { kind: Some(kind) })) => Ok(kind),
        Some(Ok(_)) => Err(lost("a message of a kind that this release does not know")),
        None => Err(lost("the control node has ended the stream")),
        Some(Err(status)) => Err(refused(&status)),
    }
}

fn refused(status: &Status) -> Ended {
    if says_removed(status) { Ended::Removed } else { Ended::Lost(status_text(status)) }
}

fn lost(reason: &str) -> Ended {
    Ended::Lost(reason.to_owned())
}

fn hello(Own { settings, incarnation, .. }: Own<'_>, holds: &Held, standing: Standing) -> Hello {
    Hello {
        cluster_id: settings.cluster_id.clone(),
        revision: holds.revision.as_ref().map(Into::into),
        node_id: settings.node_id.clone(),
        incarnation: incarnation.to_owned(),
        address: settings.address.clone(),
        version: settings.version.clone(),
        level: LEVEL,
        standing: standing.to_message().into(),
    }
}

fn applied(held: &Held) -> Applied {
    let (broken, not_compiled) = (held.broken.to_vec(), held.not_compiled.to_vec());
    Applied { revision: held.revision.as_ref().map(Into::into), broken, not_compiled }
}
