//! openraft's calls to other nodes, over the simulated network, with the deadlines of `sluice-raft`.

use std::{future::Future, time::Duration};

use openraft::{
    BasicNode, RaftNetworkFactory,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes, RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
    storage::Snapshot,
};
use tokio::time::{sleep, timeout};

use super::{
    machine::Image,
    types::{Leader, TypeConfig, Vote},
};
use crate::{
    control::{self, Running},
    network::{End, NoAnswer},
    world::World,
};

/// How long a follower may take to write entries: the shortest election, as `sluice-raft` has it.
const APPEND_PATIENCE: Duration = control::ELECTION_MIN;

/// Makes clients for openraft.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) world: World,
    pub(crate) this: End,
    pub(crate) raft_id: u64,
}

/// Calls one peer.
pub(crate) struct Peer {
    peers: Peers,
    target: u64,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        Peer { peers: self.clone(), target }
    }
}

impl Peer {
    async fn ask<T, F>(
        &self,
        action: RPCTypes,
        limit: Duration,
        serve: impl FnOnce(Running) -> F + Send + 'static,
    ) -> Result<T, RPCError<TypeConfig>>
    where
        T: Send + 'static,
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let Peers { world, this, raft_id } = &self.peers;
        match timeout(limit, world.call(this, self.target, serve)).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            // Its Raft has stopped.
            Ok(Ok(None)) => Err(unreachable("raft has stopped there")),
            Ok(Err(NoAnswer::Refused)) => Err(unreachable("nobody listens there")),
            Ok(Err(NoAnswer::Broken)) => Err(NetworkError::from_string("the connection broke").into()),
            Err(_) => Err(Timeout { action, id: *raft_id, target: self.target, timeout: limit }.into()),
        }
    }
}

fn unreachable(why: &str) -> RPCError<TypeConfig> {
    Unreachable::new(&std::io::Error::other(why.to_owned())).into()
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let patience = if rpc.entries.is_empty() { Duration::ZERO } else { APPEND_PATIENCE };
        let limit = option.hard_ttl().max(patience);
        let serve = move |running: Running| async move { running.core.append_entries(rpc).await.ok() };
        self.ask(RPCTypes::AppendEntries, limit, serve).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(RPCTypes::Vote, option.hard_ttl(), move |running| async move { running.core.vote(rpc).await.ok() })
            .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let limit = option.hard_ttl();
        self.ask(RPCTypes::Vote, limit, move |running| async move { running.core.pre_vote(rpc).await.ok() }).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Leader, u64, BasicNode, Image>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let Peers { world, .. } = &self.peers;
        // A state takes longer than a message.
        let pace = world.circumstances().latency.clone();
        let chunks = world.dice().number(1..=8);
        let serve =
            move |running: Running| async move { running.core.install_full_snapshot(vote, snapshot).await.ok() };
        let sent = async {
            for _ in 0..chunks {
                sleep(world.dice().time(&pace)).await;
            }
            self.ask(RPCTypes::InstallSnapshot, option.hard_ttl(), serve).await
        };
        // Either branch may be dropped: openraft then sends it all again.
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = sent => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let limit = option.hard_ttl();
        let serve = move |running: Running| async move { running.core.handle_transfer_leader(rpc).await.ok() };
        self.ask(RPCTypes::TransferLeader, limit, serve).await
    }
}
