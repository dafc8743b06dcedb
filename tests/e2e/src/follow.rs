//! A data node's side of the config stream, as far as a test looks: what a control node answers to a hello.

use std::time::Duration;

use sluice_identity::{Dialer, Identity, NodeRole, Plaintext, Purpose};
use sluice_proto::{
    model::Revision,
    sync::{FromControl, FromData, Hello, SnapshotEnd, from_control, from_data},
};
use sluice_rpc::sync::sync_client::SyncClient;
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};

/// How long a control node may say nothing; it beats every second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Asks control nodes of one plaintext cluster as a data node would.
#[derive(Debug)]
pub struct Observer {
    cluster_id: String,
    dialer: Dialer,
}

impl Observer {
    /// An observer of this cluster.
    ///
    /// # Panics
    /// Never: loopback needs no certificate.
    #[must_use]
    pub fn new(cluster_id: &str) -> Self {
        let identity = Identity::plaintext(cluster_id, NodeRole::Data, "observer");
        let dialer = Dialer::of_node(&identity, Plaintext::LoopbackOnly).expect("loopback needs no certificate");
        Self { cluster_id: cluster_id.to_owned(), dialer }
    }

    /// The stream of a node that says it holds `held`. It ends with what is returned.
    ///
    /// # Errors
    /// When the control node does not serve streams.
    ///
    /// # Panics
    /// When the URL is none.
    pub async fn follow(&self, url: &str, held: Option<Revision>) -> Result<Streaming<FromControl>, Status> {
        let channel = self.dialer.channel(url, NodeRole::Control, Purpose::Admin).expect("the URL of a node is one");
        let hello = Hello {
            cluster_id: self.cluster_id.clone(),
            node_id: "observer".into(),
            incarnation: "1".into(),
            level: 1,
            revision: held,
            ..Hello::default()
        };
        let hello = FromData { kind: Some(from_data::Kind::Hello(hello)) };
        let outgoing = tokio_stream::once(hello).chain(tokio_stream::pending());
        Ok(heard(SyncClient::new(channel).follow(outgoing)).await?.into_inner())
    }

    /// Revision and digest of the whole configuration that a control node holds.
    ///
    /// # Errors
    /// When it ends the stream before it has sent it all.
    pub async fn snapshot(&self, url: &str) -> Result<SnapshotEnd, Status> {
        let mut stream = self.follow(url, None).await?;
        while let Some(message) = heard(stream.message()).await? {
            if let Some(from_control::Kind::SnapshotEnd(end)) = message.kind {
                return Ok(end);
            }
        }
        Err(Status::unavailable("the stream ended before the snapshot"))
    }

    /// The first message to a node that holds `held` that is neither welcome nor beat.
    ///
    /// # Errors
    /// When there is none.
    pub async fn first(&self, url: &str, held: Revision) -> Result<from_control::Kind, Status> {
        let mut stream = self.follow(url, Some(held)).await?;
        while let Some(message) = heard(stream.message()).await? {
            match message.kind {
                None | Some(from_control::Kind::Welcome(_) | from_control::Kind::Beat(_)) => {}
                Some(kind) => return Ok(kind),
            }
        }
        Err(Status::unavailable("the stream ended without a word"))
    }
}

/// What a control node answers, or that it says nothing.
async fn heard<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let silent = |_| Err(Status::deadline_exceeded("the control node says nothing"));
    tokio::time::timeout(SILENCE_MAX, answer).await.unwrap_or_else(silent)
}
