//! The way to control nodes: a trait, so that a simulation can put its own network there.

use std::future::Future;

use sluice_identity::{Channel, Dialer, IdentityFailure, NodeRole, Purpose, Revoked};
use sluice_model::limits;
use sluice_proto::sync::{FromControl, FromData};
use sluice_rpc::sync::sync_client::SyncClient;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

/// Opens streams of configuration.
pub trait Wire: Send + Sync + 'static {
    /// A connection to one control node, made when it is needed. Clones share it.
    type Connection: Clone + Send + Sync + 'static;
    /// What a control node says.
    type Incoming: Stream<Item = Result<FromControl, Status>> + Send + Unpin;

    /// A connection to the control node at `address`.
    ///
    /// # Errors
    /// When the address is none, or may not be connected to.
    fn connection(&self, address: &str) -> Result<Self::Connection, IdentityFailure>;

    /// Control nodes that are not connected to.
    fn revoked(&self) -> &Revoked;

    /// Opens a stream; `outgoing` is what this node says. Returns when the control node has taken it.
    ///
    /// # Errors
    /// Why there is no stream. Dropping the future gives it up.
    fn follow(
        &self,
        connection: Self::Connection,
        outgoing: ReceiverStream<FromData>,
    ) -> impl Future<Output = Result<Self::Incoming, Status>> + Send;
}

impl Wire for Dialer {
    type Connection = Channel;
    type Incoming = Streaming<FromControl>;

    fn connection(&self, address: &str) -> Result<Channel, IdentityFailure> {
        self.channel(address, NodeRole::Control, Purpose::Sync)
    }

    fn revoked(&self) -> &Revoked {
        Dialer::revoked(self)
    }

    async fn follow(&self, channel: Channel, outgoing: ReceiverStream<FromData>) -> Result<Self::Incoming, Status> {
        let mut client = SyncClient::new(channel).max_decoding_message_size(limits::STREAM_MESSAGE_BYTES_MAX);
        Ok(client.follow(outgoing).await?.into_inner())
    }
}
