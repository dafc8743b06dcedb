//! How current a read is: what is committed, or what one control node knows.
//!
//! Promise: a read is stale only where it was asked for, and then says so, with the node and the revision it comes from.

use std::fmt;

use clap::Args;
use serde_json::{Value, json};
use sluice_identity::roles::{LOCAL_METADATA, STALE_METADATA};
use tonic::{
    Request,
    metadata::{MetadataMap, MetadataValue},
};

/// How current a read must be.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Freshness {
    /// Read what one control node knows, also while there is no leader; the answer is marked as stale
    #[arg(long)]
    pub(crate) stale: bool,
}

impl Freshness {
    /// The request of a call that runs on the leader, unless the node that is asked shall answer by itself.
    pub(crate) fn asked<Q>(self, mut request: Request<Q>) -> Request<Q> {
        if self.stale {
            request.metadata_mut().insert(LOCAL_METADATA, MetadataValue::from_static("1"));
        }
        request
    }
}

/// Where a stale answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stale {
    node_id: String,
    number: u64,
}

impl Stale {
    /// What a control node says of its answer; none for one that is current.
    pub(crate) fn of(metadata: &MetadataMap) -> Option<Self> {
        let (node_id, number) = metadata.get(STALE_METADATA)?.to_str().ok()?.split_once(' ')?;
        Some(Self { node_id: node_id.to_owned(), number: number.parse().ok()? })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"nodeId": self.node_id, "revision": self.number})
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node_id, number } = self;
        write!(out, "stale: what control node {node_id} knew at revision {number}; changes since then may be missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_answer_names_its_node_and_revision() {
        let mut metadata = MetadataMap::new();
        assert_eq!(Stale::of(&metadata), None);
        metadata.insert(STALE_METADATA, "n1 12".parse().unwrap());
        let stale = Stale::of(&metadata).unwrap();
        assert_eq!(stale.to_json(), json!({"nodeId": "n1", "revision": 12}));
        assert!(stale.to_string().starts_with("stale: what control node n1 knew at revision 12"), "{stale}");
    }
}
