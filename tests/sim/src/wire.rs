//! The way from a data node to control nodes.

use std::sync::Arc;

use sluice_follow::Wire;
use sluice_identity::{IdentityFailure, Revoked};
use sluice_proto::sync::{FromControl, FromData};
use sluice_sync::Caller;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::Status;

use crate::{
    control::Running,
    data::DataNode,
    network::End,
    pipe::{self, Connection},
    world::World,
};

/// Messages of a data node that its own system takes before the network does.
const OWN: usize = 4;

/// Opens streams of one life of a data node.
pub(crate) struct SimWire {
    pub(crate) world: World,
    pub(crate) this: End,
    pub(crate) node: Arc<DataNode>,
    pub(crate) revoked: Revoked,
}

impl Wire for SimWire {
    /// The Raft id of the control node.
    type Connection = u64;
    type Incoming = ReceiverStream<Result<FromControl, Status>>;

    fn connection(&self, address: &str) -> Result<u64, IdentityFailure> {
        let number = address.trim_start_matches('c').parse();
        number.map_err(|_| IdentityFailure::Address { found: address.to_owned() })
    }

    fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    async fn follow(&self, control: u64, outgoing: ReceiverStream<FromData>) -> Result<Self::Incoming, Status> {
        let (world, this, node) = (self.world.clone(), self.this.clone(), self.node.clone());
        let opened = self
            .world
            .call(&self.this, control, move |running| async move { open(world, this, node, running, outgoing) });
        Ok(ReceiverStream::new(opened.await.map_err(pipe::status)?))
    }
}

/// The control node has taken the stream: both pipes begin.
fn open(
    world: World,
    data: End,
    node: Arc<DataNode>,
    running: Running,
    mut outgoing: ReceiverStream<FromData>,
) -> mpsc::Receiver<Result<FromControl, Status>> {
    let control = running.end();
    let connection = Connection::new(world, data.clone(), control.clone());
    let (own, said) = mpsc::channel(OWN);
    let caller = Caller { node_id: node.node_id() };
    let speaks = data.life.clone();
    tokio::spawn(async move {
        while let Some(Some(message)) = speaks.run(outgoing.next()).await {
            if own.send(message).await.is_err() {
                return;
            }
        }
        // What a dead node still had to say is not said; its connection does not end by it either.
        if speaks.has_ended() {
            own.closed().await;
        }
    });
    let heard = connection.carry(data.clone(), control.clone(), said, move |message| node.says(message));
    let answers = running.sync.serve(ReceiverStream::new(heard), caller);
    let heard = connection.carry(control, data, answers, |_| {});
    flatten(heard)
}

/// What a control node says, and what becomes of the connection, as one.
fn flatten(
    mut heard: mpsc::Receiver<Result<Result<FromControl, Status>, Status>>,
) -> mpsc::Receiver<Result<FromControl, Status>> {
    let (told, hears) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(message) = heard.recv().await {
            if told.send(message.and_then(|message| message)).await.is_err() {
                return;
            }
        }
    });
    hears
}
