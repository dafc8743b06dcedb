//! The forms of Raft's own types on disk and wire: messages of `sluice.raft.v1`.
//!
//! Promise: what was written by one release is read by the next, whatever openraft does to its types; what does not
//! decode is reported, never guessed. Absent: serde of openraft's types.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::{BasicNode, EntryPayload, impls::leader_id_adv::LeaderId};
use prost::Message;
use sluice_proto::raft as message;

use crate::types::{EncodedCommand, Entry, LogId, Membership, SnapshotMeta, StoredMembership, Vote};

/// Bytes or a message that are not what they should be.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("expected an encoded {what}, found bytes that do not decode: {source}")]
    Bytes { what: &'static str, source: prost::DecodeError },
    #[error("expected {what} with {field}, found none")]
    Missing { what: &'static str, field: &'static str },
    #[error("expected a membership in which every voter has an address: {problem}")]
    Membership { problem: String },
}

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

/// A type of Raft with its durable message.
pub(crate) trait Durable: Sized {
    type Message: Message + Default;
    const NAME: &'static str;

    fn to_message(&self) -> Self::Message;
    fn from_message(message: Self::Message) -> Result<Self, Malformed>;

    fn encode(&self) -> Vec<u8> {
        self.to_message().encode_to_vec()
    }

    fn decode(bytes: impl Into<Bytes>) -> Result<Self, Malformed> {
        let message =
            Self::Message::decode(bytes.into()).map_err(|source| Malformed::Bytes { what: Self::NAME, source })?;
        Self::from_message(message)
    }
}

impl Durable for LogId {
    type Message = message::LogId;
    const NAME: &'static str = "log id";

    fn to_message(&self) -> message::LogId {
        message::LogId { term: self.leader_id.term, node_id: self.leader_id.node_id, index: self.index }
    }

    fn from_message(message: message::LogId) -> Result<Self, Malformed> {
        Ok(Self::new(LeaderId { term: message.term, node_id: message.node_id }, message.index))
    }
}

impl Durable for Vote {
    type Message = message::Vote;
    const NAME: &'static str = "vote";

    fn to_message(&self) -> message::Vote {
        message::Vote { term: self.leader_id.term, node_id: self.leader_id.node_id, committed: self.committed }
    }

    fn from_message(message: message::Vote) -> Result<Self, Malformed> {
        let leader_id = LeaderId { term: message.term, node_id: message.node_id };
        Ok(Self { leader_id, committed: message.committed })
    }
}

impl Durable for Membership {
    type Message = message::Membership;
    const NAME: &'static str = "membership";

    fn to_message(&self) -> message::Membership {
        let voters = |set: &BTreeSet<u64>| message::VoterSet { node_ids: set.iter().copied().collect() };
        let member = |(id, node): (&u64, &BasicNode)| message::Member { node_id: *id, address: node.addr.clone() };
        message::Membership {
            configs: self.get_joint_config().iter().map(voters).collect(),
            members: self.nodes().map(member).collect(),
        }
    }

    fn from_message(message: message::Membership) -> Result<Self, Malformed> {
        let configs = message.configs.into_iter().map(|set| set.node_ids.into_iter().collect()).collect();
        let members: BTreeMap<u64, BasicNode> =
            message.members.into_iter().map(|member| (member.node_id, BasicNode::new(member.address))).collect();
        Self::new(configs, members).map_err(|error| Malformed::Membership { problem: error.to_string() })
    }
}

impl Durable for StoredMembership {
    type Message = message::StoredMembership;
    const NAME: &'static str = "stored membership";

    fn to_message(&self) -> message::StoredMembership {
        message::StoredMembership {
            log_id: self.log_id().as_ref().map(Durable::to_message),
            membership: Some(self.membership().to_message()),
        }
    }

    fn from_message(message: message::StoredMembership) -> Result<Self, Malformed> {
        let log_id = message.log_id.map(LogId::from_message).transpose()?;
        let membership = Membership::from_message(message.membership.unwrap_or_default())?;
        Ok(Self::new(log_id, membership))
    }
}

impl Durable for SnapshotMeta {
    type Message = message::SnapshotMeta;
    const NAME: &'static str = "snapshot meta";

    fn to_message(&self) -> message::SnapshotMeta {
        message::SnapshotMeta {
            last_log_id: self.last_log_id.as_ref().map(Durable::to_message),
            membership: Some(self.last_membership.to_message()),
            snapshot_id: snapshot_name(self.last_log_id.as_ref()),
        }
    }

    fn from_message(message: message::SnapshotMeta) -> Result<Self, Malformed> {
        let last_log_id = message.last_log_id.map(LogId::from_message).transpose()?;
        let last_membership = StoredMembership::from_message(message.membership.unwrap_or_default())?;
        Ok(Self { last_log_id, last_membership })
    }
}

impl Durable for Entry {
    type Message = message::Entry;
    const NAME: &'static str = "log entry";

    fn to_message(&self) -> message::Entry {
        use message::entry::Payload;
        let payload = match &self.payload {
            EntryPayload::Blank => Payload::Blank(message::Blank {}),
            EntryPayload::Normal(command) => Payload::Command(command.0.clone()),
            EntryPayload::Membership(membership) => Payload::Membership(membership.to_message()),
        };
        message::Entry { log_id: Some(self.log_id.to_message()), payload: Some(payload) }
    }

    fn from_message(message: message::Entry) -> Result<Self, Malformed> {
        use message::entry::Payload;
        let missing = |field| Malformed::Missing { what: Self::NAME, field };
        let payload = match message.payload.ok_or_else(|| missing("a payload"))? {
            Payload::Blank(_) => EntryPayload::Blank,
            Payload::Command(bytes) => EntryPayload::Normal(EncodedCommand(bytes)),
            Payload::Membership(membership) => EntryPayload::Membership(Membership::from_message(membership)?),
        };
        let log_id = LogId::from_message(message.log_id.ok_or_else(|| missing("a log id"))?)?;
        Ok(Self { log_id, payload })
    }
}

/// The name of a snapshot: its log id, or `empty` for one of nothing.
pub(crate) fn snapshot_name(last: Option<&LogId>) -> String {
    match last {
        Some(id) => format!("{:020}-{}-{}", id.index, id.leader_id.term, id.leader_id.node_id),
        None => "empty".to_owned(),
    }
}

#[cfg(test)]
mod tests;
