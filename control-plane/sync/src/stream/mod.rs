//! The service `Sync`: one stream per data node.
//!
//! What streams cost in memory, rows as encoded; their places in a message cost 80 bytes a row beside that:
//! - each stream: `OUTGOING_MAX` messages that wait to be read and the one being written to its connection, each a chunk
//!   of `STREAM_CHUNK_BYTES_MAX` or one row of at most `STREAM_MESSAGE_BYTES_MAX`; one data node that does not read costs
//!   that much for `send_max`, then its stream ends;
//! - all streams that stand at one number: the delta to the newest, once, of at most `DELTA_BYTES_MAX`;
//! - all deltas of a node: `DELTAS_BYTES_MAX`, and one chunk for each that a stream is sending;
//! - all snapshots: `SNAPSHOTS_MAX` times the chunk that is filled, the one that is read ahead and the one in hand.
//!
//! A data node for which there is no room in this is sent a snapshot when it is its turn; nothing else waits for it.

mod deltas;
mod differing;
mod gate;
mod greeting;
mod session;
mod snapshot;
mod spans;

use std::sync::Arc;

use sluice_identity::{Keyring, Peer, Role};
use sluice_proto::sync::{FromControl, FromData};
use sluice_raft::Raft;
use sluice_rpc::sync::sync_server;
use sluice_telemetry::{Counter, Gauge, Metrics, bound, metric};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, Span};

#[cfg(test)]
pub(crate) use self::deltas::{DeltaMessages, Due};
pub(crate) use self::deltas::{Deltas, Room};
pub(crate) use self::gate::{Gate, open_gate};
pub use self::session::Caller;
use crate::{fleet::Fleet, source::Source};

/// Messages that wait for a data node to read them; each has up to a mebibyte.
const OUTGOING_MAX: usize = 4;
/// Snapshots that are read at once: each holds a state of the store and a thread.
const SNAPSHOTS_MAX: usize = 4;

/// Serves the config stream. Clones share what they hold.
pub struct SyncServer<S: Source = Raft> {
    shared: Arc<Shared<S>>,
}

/// What the streams of a node share.
pub(crate) struct Shared<S: Source> {
    pub(crate) fleet: Fleet<S>,
    keys: Keyring,
    lookup_key: OnceCell<[u8; 32]>,
    deltas: Deltas,
    snapshots: Arc<Semaphore>,
    meters: Meters,
}

struct Meters {
    sessions: Gauge,
    sent_deltas: Counter,
    sent_snapshots: Counter,
    delta_bytes: Counter,
    snapshot_bytes: Counter,
    /// Bounds that were hit.
    crowded: Counter,
    waited: Counter,
    unread: Counter,
}

impl<S: Source> std::fmt::Debug for SyncServer<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SyncServer").field("fleet", &self.shared.fleet).finish_non_exhaustive()
    }
}

impl<S: Source> SyncServer<S> {
    /// Streams from `fleet`'s state; they end when the fleet stops or its last handle is dropped. `keys` open the key by which data nodes find API
    /// keys.
    pub fn new(fleet: Fleet<S>, keys: Keyring, metrics: &Metrics) -> Self {
        let meters = Meters {
            sessions: metrics.gauge(&metric::SYNC_SESSIONS, &[]),
            sent_deltas: metrics.counter(&metric::SYNC_SENT, &["delta"]),
            sent_snapshots: metrics.counter(&metric::SYNC_SENT, &["snapshot"]),
            delta_bytes: metrics.counter(&metric::SYNC_SENT_BYTES, &["delta"]),
            snapshot_bytes: metrics.counter(&metric::SYNC_SENT_BYTES, &["snapshot"]),
            crowded: metrics.counter(&metric::BOUNDS_HIT, &[bound::SESSIONS]),
            waited: metrics.counter(&metric::BOUNDS_HIT, &[bound::SNAPSHOTS]),
            unread: metrics.counter(&metric::BOUNDS_HIT, &[bound::SESSION_SEND_TIME]),
        };
        let shared = Shared {
            fleet: fleet.for_task(),
            keys,
            lookup_key: OnceCell::new(),
            deltas: Deltas::new(Room::PRODUCT, metrics.counter(&metric::BOUNDS_HIT, &[bound::DELTA_BYTES])),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS_MAX)),
            meters,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The service for the port that data nodes call.
    pub fn into_service(self) -> sync_server::SyncServer<Self> {
        sync_server::SyncServer::new(self)
    }

    /// Serves one stream of `caller`'s, who is who it says, on a task of the fleet's; what is said to it comes out of the
    /// receiver.
    pub fn serve<I>(&self, incoming: I, caller: Caller) -> mpsc::Receiver<Result<FromControl, Status>>
    where
        I: tokio_stream::Stream<Item = Result<FromData, Status>> + Send + Unpin + 'static,
    {
        let (out, outgoing) = mpsc::channel(OUTGOING_MAX);
        let serving = session::serve(self.shared.clone(), incoming, out, caller);
        self.shared.fleet.inner.tasks.spawn(serving.instrument(Span::current()));
        outgoing
    }
}

#[tonic::async_trait]
impl<S: Source> sync_server::Sync for SyncServer<S> {
    type FollowStream = ReceiverStream<Result<FromControl, Status>>;

    async fn follow(&self, request: Request<Streaming<FromData>>) -> Result<Response<Self::FollowStream>, Status> {
        let peer = request.extensions().get::<Peer>();
        let node_id = peer.filter(|peer| peer.role == Role::Data).and_then(|peer| peer.node_id.clone());
        let node_id = node_id.ok_or_else(|| Status::permission_denied("expected a data node, found another caller"))?;
        let outgoing = self.serve(request.into_inner(), Caller { node_id });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}
