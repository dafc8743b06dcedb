//! One stream, from hello to its end.
//!
//! Promise: one delta in flight, and the next spans all that happened meanwhile; within a generation never a smaller
//! number than the data node holds; one that was removed is told so within a second; a digest goes out every second; a data node that holds something is sent elsewhere when
//! no leader hears of it here. Absent: who else streams (`fleet`).

use std::{pin::pin, sync::Arc};

use prost::Message;
use sluice_model::Revision;
use sluice_proto::sync::{
    Applied, Beat, Behind, Detached, Drain, FromControl, FromData, Welcome, from_control, from_data,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::{info, warn};

use super::{
    Shared,
    deltas::Due,
    differing::HeldTables,
    greeting::{greet, still_behind, wall_ms},
    snapshot,
};
use crate::{
    fleet::{Order, Registered},
    source::Source,
};

/// Removed control nodes that a data node is told of: far more than a cluster ever has had.
const REVOKED_TOLD_MAX: usize = 1_000;

/// Who has opened a stream, as the connection says.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The data node's id.
    pub node_id: String,
}

type Outgoing = mpsc::Sender<Result<FromControl, Status>>;

/// Serves a stream until it ends; its end is told to the data node where there is one to tell.
pub(super) async fn serve<S, I>(shared: Arc<Shared<S>>, incoming: I, out: Outgoing, caller: Caller)
where
    S: Source,
    I: Stream<Item = Result<FromData, Status>> + Send + Unpin,
{
    let stop = shared.fleet.inner.stop.clone();
    let serving = begin(&shared, incoming, &out, &caller);
    // Cancel-safe: a stream that is cut off has no state but its registration, which ends with it.
    let ended = tokio::select! {
        ended = serving => ended,
        () = stop.cancelled() => Ended::Refused(Status::unavailable("this control node stops; try another")),
    };
    match ended {
        Ended::Left => info!(node = caller.node_id, "data node left"),
        Ended::Detached => {
            info!(node = caller.node_id, "data node sent elsewhere: no leader takes the reports of this control node");
            let _ = out.try_send(Ok(FromControl { kind: Some(from_control::Kind::Detached(Detached {})) }));
        }
        Ended::Refused(status) => {
            info!(node = caller.node_id, reason = status.message(), "stream ended");
            // A data node that does not read is not told.
            let _ = out.try_send(Err(status));
        }
    }
}

/// How a stream ended.
pub(super) enum Ended {
    /// The data node has ended it, or was told why it ends.
    Left,
    /// No leader hears of the data node here.
    Detached,
    Refused(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

async fn begin<S, I>(shared: &Shared<S>, mut incoming: I, out: &Outgoing, caller: &Caller) -> Ended
where
    S: Source,
    I: Stream<Item = Result<FromData, Status>> + Send + Unpin,
{
    let hello = match greet(shared, &mut incoming, caller).await {
        Ok(hello) => hello,
        Err(ended) => return ended,
    };
    let inner = &shared.fleet.inner;
    let held = hello.revision.as_ref().map(Revision::from);
    let mut revisions = inner.source.revisions();
    if let Some(ahead) = still_behind(shared, &mut revisions, held.as_ref()).await {
        let behind = from_control::Kind::Behind(Behind { revision: Some(ahead.into()) });
        let _ = out.send(Ok(FromControl { kind: Some(behind) })).await;
        return Ended::Left;
    }
    let Some(registered) = inner.own.register(&hello, wall_ms()) else {
        shared.meters.crowded.increment(1);
        return Ended::Refused(Status::resource_exhausted(
            "as many data nodes stream from this control node as it takes; try another",
        ));
    };
    shared.meters.sessions.set(inner.own.len() as f64);
    let mut beats = interval(inner.timing.beat_every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let now = Instant::now();
    let session = Session {
        shared,
        caller,
        incoming,
        out,
        orders: registered.orders(),
        registered,
        revisions,
        beats,
        held,
        in_flight: None,
        is_unsure: true,
        heard: now,
        resync_from: now.checked_sub(inner.timing.resync_every).unwrap_or(now),
        copy: None,
    };
    info!(node = caller.node_id, session = session.registered.session_id(), "data node connected");
    let replaced = session.registered.ended();
    // Cancel-safe: a stream that is cut off has no state but its registration.
    let ended = tokio::select! {
        ended = session.run() => ended,
        () = replaced.cancelled() => {
            shared.meters.crowded.increment(1);
            Ended::Refused(Status::aborted("newer streams of this data node have replaced it"))
        }
    };
    shared.meters.sessions.set(inner.own.len() as f64);
    ended
}

struct Session<'a, S: Source, I> {
    shared: &'a Shared<S>,
    caller: &'a Caller,
    incoming: I,
    out: &'a Outgoing,
    registered: Registered<'a>,
    orders: watch::Receiver<Order>,
    revisions: watch::Receiver<u64>,
    beats: Interval,
    /// What the data node holds, as it said.
    held: Option<Revision>,
    /// What it was sent and has not answered.
    in_flight: Option<Revision>,
    /// Whether it may lack something.
    is_unsure: bool,
    /// When it last said something.
    heard: Instant,
    /// A snapshot that it asks for is sent from then on.
    resync_from: Instant,
    /// What it said to hold when it asked: tables that are the same are left out.
    copy: Option<HeldTables>,
}

impl<S, I> Session<'_, S, I>
where
    S: Source,
    I: Stream<Item = Result<FromData, Status>> + Send + Unpin,
{
    async fn run(mut self) -> Ended {
        if let Err(ended) = self.welcome().await {
            return ended;
        }
        loop {
            if let Err(ended) = self.step().await {
                return ended;
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), Ended> {
        let shared = self.shared;
        let view = shared.fleet.inner.source.view();
        let cluster = view.cluster().ok_or_else(|| Status::unavailable("the cluster is not founded yet"))?;
        let nodes = view.nodes();
        let revoked = view.revoked_nodes().into_iter().filter(|node| node.role == "control").map(|node| node.id);
        let revoked_control_nodes = revoked.take(REVOKED_TOLD_MAX).collect();
        drop(view);
        let open = async || shared.keys.open_lookup_key(&cluster.sealed_lookup_key);
        let lookup_key = shared.lookup_key.get_or_try_init(open).await;
        let lookup_key = lookup_key.map_err(|failure| Status::internal(failure.to_string()))?;
        let control = nodes.into_iter().filter(|node| node.role == "control" && !node.public_address.is_empty());
        let welcome = Welcome {
            cluster_id: cluster.cluster_id,
            generation: cluster.generation,
            level: cluster.level,
            lookup_key: lookup_key.to_vec().into(),
            control_addresses: control.map(|node| node.public_address).collect(),
            session_id: self.registered.session_id().to_owned(),
            revoked_control_nodes,
        };
        self.say(from_control::Kind::Welcome(welcome)).await
    }

    /// Sends what is due, then waits for the next thing that happens.
    async fn step(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let waits = self.resync_from > now;
        if self.in_flight.is_none() && !waits && self.is_unsure {
            self.push().await?;
        }
        let timing = &self.shared.fleet.inner.timing;
        let silence = if self.in_flight.is_some() { timing.busy_silence_max } else { timing.silence_max };
        let silent_at = self.heard + silence;
        // Each branch is cancel-safe: a stream keeps what it has read, a watch what was not seen, an interval its tick.
        tokio::select! {
            message = self.incoming.next() => match message {
                Some(Ok(FromData { kind: Some(kind) })) => self.take(kind),
                Some(Ok(_)) => Err(Status::invalid_argument("a message of a kind that this release does not know").into()),
                Some(Err(_)) | None => Err(Ended::Left),
            },
            changed = self.revisions.changed(), if self.in_flight.is_none() && !waits => {
                self.is_unsure = true;
                changed.map_err(|_| Status::unavailable("this control node stops; try another").into())
            }
            () = sleep_until(self.resync_from), if waits => Ok(()),
            Ok(()) = self.orders.changed() => {
                let undo = *self.orders.borrow_and_update() == Order::Serve;
                self.say(from_control::Kind::Drain(Drain { undo })).await
            }
            _ = self.beats.tick() => self.beat().await,
            () = sleep_until(silent_at) => Err(Status::deadline_exceeded("the data node has gone silent").into()),
        }
    }

    /// Sends what the data node lacks.
    async fn push(&mut self) -> Result<(), Ended> {
        // Seen before it is read: what comes later wakes again.
        self.revisions.borrow_and_update();
        let (shared, held) = (self.shared, self.held.clone());
        match self.meanwhile(shared.deltas.due(&shared.fleet.inner.source, held.as_ref())).await?? {
            Due::Nothing => {
                self.is_unsure = false;
                Ok(())
            }
            Due::Delta(delta) => {
                for message in &delta.messages {
                    self.send(message.clone()).await?;
                }
                self.in_flight = Some(delta.to.clone());
                self.heard = Instant::now();
                self.shared.meters.sent_deltas.increment(1);
                self.shared.meters.delta_bytes.increment(delta.bytes);
                Ok(())
            }
            Due::Snapshot => self.snapshot().await,
            Due::Behind(revision) => {
                self.say(from_control::Kind::Behind(Behind { revision: Some(revision.into()) })).await?;
                Err(Ended::Left)
            }
        }
    }

    async fn snapshot(&mut self) -> Result<(), Ended> {
        let shared = self.shared;
        if shared.snapshots.available_permits() == 0 {
            shared.meters.waited.increment(1);
        }
        let permit = self.meanwhile(shared.snapshots.acquire()).await?;
        let permit = permit.map_err(|_| Status::unavailable("this control node stops; try another"))?;
        let mut reading = snapshot::read(&shared.fleet.inner.source, self.copy.take()).await;
        let sent = timeout(shared.fleet.inner.timing.snapshot_max, self.send_all(&mut reading.messages)).await;
        drop(permit);
        let bytes = sent.unwrap_or_else(|_| {
            shared.meters.unread.increment(1);
            Err(Status::deadline_exceeded("the data node reads too slowly for a whole snapshot").into())
        })?;
        self.in_flight = Some(reading.revision);
        self.heard = Instant::now();
        shared.meters.sent_snapshots.increment(1);
        shared.meters.snapshot_bytes.increment(bytes);
        Ok(())
    }

    /// Sends the messages of a snapshot as they are read; their bytes.
    async fn send_all(&mut self, messages: &mut mpsc::Receiver<FromControl>) -> Result<u64, Ended> {
        let mut bytes = 0;
        let mut ended = false;
        while let Some(message) = messages.recv().await {
            ended = matches!(message.kind, Some(from_control::Kind::SnapshotEnd(_)));
            bytes += message.encoded_len() as u64;
            self.send(message).await?;
        }
        if ended { Ok(bytes) } else { Err(Status::internal("a snapshot was not read to its end").into()) }
    }

    /// Waits for something that others may hold up, and beats meanwhile: a data node that hears nothing goes elsewhere,
    /// and waits there from the beginning.
    async fn meanwhile<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, Ended> {
        let mut awaited = pin!(awaited);
        loop {
            // Cancel-safe: what is awaited goes on, an interval keeps its tick.
            tokio::select! {
                done = &mut awaited => return Ok(done),
                _ = self.beats.tick() => self.beat().await?,
            }
        }
    }

    fn take(&mut self, message: from_data::Kind) -> Result<(), Ended> {
        self.heard = Instant::now();
        match message {
            from_data::Kind::Applied(applied) => self.applied(&applied),
            from_data::Kind::Resync(resync) => {
                let copy = HeldTables::of(resync.revision.as_ref(), &resync.tables);
                self.resync(&resync.reason, copy);
            }
            from_data::Kind::Beat(beat) => self.compare(&beat),
            from_data::Kind::Stands(stands) => self.registered.stands(stands.standing),
            from_data::Kind::Hello(_) => return Err(Status::invalid_argument("expected one hello, found two").into()),
        }
        Ok(())
    }

    fn applied(&mut self, applied: &Applied) {
        self.registered.applied(applied);
        let revision = applied.revision.as_ref().map(Revision::from);
        if revision.is_some() && revision == self.in_flight {
            self.held = revision;
            self.in_flight = None;
            self.is_unsure = true;
        }
    }

    /// The data node is to be sent everything, or what differs from its copy, but not again and again.
    fn resync(&mut self, reason: &str, copy: Option<HeldTables>) {
        let tables = if copy.is_some() { "those that differ" } else { "all" };
        warn!(session = self.registered.session_id(), reason, tables, "data node is sent a snapshot");
        self.copy = copy;
        self.registered.rejected(reason);
        self.held = None;
        self.in_flight = None;
        self.is_unsure = true;
        let now = Instant::now();
        // One that follows another within the interval waits for its turn.
        if self.resync_from <= now {
            self.resync_from = now.max(self.resync_from + self.shared.fleet.inner.timing.resync_every);
        }
    }

    /// Compares the digest of a data node that stands where this node does.
    fn compare(&mut self, beat: &Beat) {
        let Some(theirs) = beat.revision.as_ref().map(Revision::from) else { return };
        let view = self.shared.fleet.inner.source.view();
        let is_settled = self.held.is_some() && self.in_flight.is_none();
        if is_settled && view.revision() == theirs && view.digest().to_bytes()[..] != beat.digest[..] {
            self.resync("the digests of a beat differ", HeldTables::of(beat.revision.as_ref(), &beat.tables));
        }
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.shared.deltas.forget_built(self.shared.fleet.inner.timing.delta_kept);
        let beat = {
            let view = self.shared.fleet.inner.source.view();
            // The gate has let it in before.
            if view.is_revoked(&self.caller.node_id) {
                return Err(sluice_identity::removed(&self.caller.node_id).into());
            }
            let digest = view.digest().to_bytes().to_vec().into();
            Beat { revision: Some(view.revision().into()), digest, tables: Vec::new() }
        };
        self.say(from_control::Kind::Beat(beat)).await
    }

    async fn say(&mut self, kind: from_control::Kind) -> Result<(), Ended> {
        self.send(FromControl { kind: Some(kind) }).await
    }

    /// Every message, and so each beat, finds out whether the data node is better off elsewhere.
    async fn send(&mut self, message: FromControl) -> Result<(), Ended> {
        if self.held.is_some() && self.shared.fleet.is_detached() {
            return Err(Ended::Detached);
        }
        match timeout(self.shared.fleet.inner.timing.send_max, self.out.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Left),
            Err(_) => {
                self.shared.meters.unread.increment(1);
                Err(Status::deadline_exceeded("the data node does not read").into())
            }
        }
    }
}
