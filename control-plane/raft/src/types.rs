//! The types that openraft is instantiated with.
//!
//! Promise: a command is encoded once, by the node that proposes it, and travels and rests as these bytes.
//! Absent: the forms on disk and wire (`durable`).

use std::fmt;

use bytes::Bytes;
use openraft::{BasicNode, alias};
use sluice_proto::raft::Outcome;

/// The runtime of Raft, named once, so that a simulation can put another in its place.
pub(crate) type Runtime = openraft_rt_tokio::TokioRuntime;

openraft::declare_raft_types!(
    /// Raft over encoded commands.
    pub(crate) TypeConfig:
        D = EncodedCommand,
        R = CommandReply,
        NodeId = u64,
        Node = BasicNode,
        AsyncRuntime = Runtime,
);

pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, BasicNode>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;

/// A `sluice.raft.v1.Command` as bytes. Cloning shares them.
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
#[derive(Debug, Clone)]
pub(crate) struct CommandReply {
    pub(crate) outcome: Outcome,
    /// The number that data nodes see, after this command.
    pub(crate) number: u64,
}
