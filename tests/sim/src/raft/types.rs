//! The types that openraft is instantiated with: those of `sluice-raft`, which keeps its own to itself.

use std::fmt;

use bytes::Bytes;
use openraft::{BasicNode, alias};
use sluice_proto::raft::Outcome;

openraft::declare_raft_types!(
    /// Raft over encoded commands.
    pub(crate) TypeConfig:
        D = EncodedCommand,
        R = Reply,
        NodeId = u64,
        Node = BasicNode,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Leader = alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type Core = openraft::Raft<TypeConfig, super::machine::Machine>;

/// A command as bytes. Cloning shares them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedCommand(pub(crate) Bytes);

impl fmt::Debug for EncodedCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "command of {} bytes", self.0.len())
    }
}

impl fmt::Display for EncodedCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// What apply answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
}
