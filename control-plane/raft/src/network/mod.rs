//! Raft's calls to other control nodes.
//!
//! Promise: heartbeats and votes, log entries, and snapshots each have a connection of their own, so that none waits
//! behind another; every call names the cluster and the node it is meant for, and has a deadline; a peer that has lost
//! what it acknowledged is an error of the call, and never ends the leader (`acknowledged`).
//! Absent: answering (`service`).

mod acknowledged;
mod client;
mod image;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use openraft::{BasicNode, RaftNetworkFactory};
use sluice_identity::{Channel, Dialer, IdentityFailure, NodeRole, Purpose};
use sluice_rpc::raft::raft_client::RaftClient;
use tokio::sync::watch;

use self::acknowledged::Acknowledged;
pub(crate) use self::{
    client::PeerClient,
    records::{PeerRecord, Records, free_bytes},
};
use crate::types::TypeConfig;

/// Largest message between control nodes: an append of 2 MiB, or one entry or row of a little over 1 MiB.
pub(crate) const MESSAGE_BYTES: usize = 8 << 20;

/// Connections to a peer; one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Heartbeats, votes, read indexes.
    Urgent,
    /// Log entries.
    Entries,
    /// Snapshots.
    Snapshot,
    /// What is not Raft: forwarded calls, reports.
    Other,
}

impl Lane {
    fn purpose(self) -> Purpose {
        match self {
            Self::Urgent | Self::Entries => Purpose::Raft,
            Self::Snapshot => Purpose::Snapshot,
            Self::Other => Purpose::Peer,
        }
    }
}

/// What all calls of this node share.
pub(crate) struct Network {
    pub(crate) raft_id: u64,
    pub(crate) cluster_id: String,
    /// How long a follower may take to write entries: its disk may be slow to sync.
    pub(crate) append_patience: Duration,
    pub(crate) records: Records,
    acknowledged: Acknowledged,
    dialer: Dialer,
    runtime: tokio::runtime::Handle,
    channels: Mutex<HashMap<(String, Lane), Channel>>,
    /// Whether another control node has said that this one was removed from the cluster.
    pub(crate) told_removed: watch::Sender<bool>,
    /// Of all members, by number, as the log has them.
    addresses: Mutex<BTreeMap<u64, String>>,
}

impl Network {
    /// Calls are made, and their connections live, on `runtime`.
    pub(crate) fn new(
        raft_id: u64,
        cluster_id: String,
        append_patience: Duration,
        records: Records,
        dialer: Dialer,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let channels = Mutex::default();
        let addresses = Mutex::default();
        Self {
            raft_id,
            cluster_id,
            append_patience,
            records,
            acknowledged: Acknowledged::default(),
            dialer,
            runtime,
            channels,
            told_removed: watch::Sender::new(false),
            addresses,
        }
    }

    /// Takes the addresses of all members; connections to others end.
    pub(crate) fn set_addresses(&self, addresses: BTreeMap<u64, String>) {
        let kept: BTreeSet<String> = addresses.values().cloned().collect();
        // First: a call that comes between would make the connection again that has just been given up.
        *lock(&self.addresses) = addresses;
        lock(&self.channels).retain(|(address, _), _| kept.contains(address));
    }

    /// Where `raft_id` is reached now; `first` is where it was when openraft began to call it.
    fn address(&self, raft_id: u64, first: &str) -> String {
        lock(&self.addresses).get(&raft_id).map_or(first, String::as_str).to_owned()
    }

    /// The connection to `address` for `lane`; made at the first call on it, and again when it breaks.
    pub(crate) fn channel(&self, address: &str, lane: Lane) -> Result<Channel, IdentityFailure> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(&(address.to_owned(), lane)) {
            return Ok(channel.clone());
        }
        let _within = self.runtime.enter();
        let channel = self.dialer.channel(address, NodeRole::Control, lane.purpose())?;
        channels.insert((address.to_owned(), lane), channel.clone());
        Ok(channel)
    }

    /// A client of the Raft service at `address`.
    pub(crate) fn client(&self, address: &str, lane: Lane) -> Result<RaftClient<Channel>, IdentityFailure> {
        let client = RaftClient::new(self.channel(address, lane)?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes clients for openraft.
#[derive(Clone)]
pub(crate) struct Clients(pub(crate) Arc<Network>);

impl Clients {
    fn client(&self, target: u64, node: &BasicNode, lane: Lane) -> PeerClient {
        PeerClient { network: self.0.clone(), target, address: node.addr.clone(), lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Clients {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> PeerClient {
        self.client(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> PeerClient {
        self.client(target, node, Lane::Urgent)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &BasicNode) -> PeerClient {
        self.client(target, node, Lane::Snapshot)
    }
}
