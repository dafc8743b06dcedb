//! The one listener.
//!
//! Promise: without TLS it does not bind off loopback, unless told to, and then says so every minute; a caller that
//! cannot prove what the door asks for is dropped during the handshake, which never holds up the next caller.
//! Handshakes are bounded in number and time. Absent: who may call what (`layers`, `roles`).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{interval, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tracing::{debug, warn};

use crate::{Connection, ConnectionPeer, Identity, IdentityFailure, Plaintext, Proof, Trust, tls};

/// Handshakes under way on one listener; further callers wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 256;
/// A caller that has not finished its handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Taken connections that the server has not picked up.
const READY_MAX: usize = 64;
/// How often an operator is reminded of plaintext off loopback.
const REMINDER_EVERY: Duration = Duration::from_secs(60);
/// Pause after a failed accept (no file descriptors left): not a busy loop.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What a listener is for: which proof it asks of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Operators and data nodes: a certificate is asked for, not required.
    Admin,
    /// Nodes only: a certificate is required.
    Peer,
    /// HTTP for anyone who reaches it: no certificate is asked for.
    Http,
}

/// A taken port, before it is known which certificate will be shown there: a joining node announces its ports before it
/// has one, and learns of a taken port before it spends its token.
#[derive(Debug)]
pub struct Port {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds `address` (`HOST:PORT`; port 0 takes a free one). Callers wait until there is a listener.
    ///
    /// # Errors
    /// `Listen` when the port is taken or the address is not of this machine.
    pub async fn take(address: &str) -> Result<Self, IdentityFailure> {
        let failed = |source| IdentityFailure::Listen { address: address.to_owned(), source };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self { tcp, address })
    }

    /// The address it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a node without certificates may listen here: to be asked before it begins or joins a cluster.
    ///
    /// # Errors
    /// `PlaintextOffLoopback`.
    pub fn allows_plaintext(&self, plaintext: Plaintext) -> Result<(), IdentityFailure> {
        if plaintext == Plaintext::LoopbackOnly && !self.address.ip().is_loopback() {
            return Err(IdentityFailure::PlaintextOffLoopback { address: self.address.to_string() });
        }
        Ok(())
    }

    /// The listener on this port.
    ///
    /// # Errors
    /// `PlaintextOffLoopback`, or `Certificate` when the identity cannot be used.
    pub fn listener(self, door: Door, identity: &Identity, plaintext: Plaintext) -> Result<Listener, IdentityFailure> {
        let tls = match &identity.trust {
            Trust::Plaintext => {
                self.allows_plaintext(plaintext)?;
                None
            }
            Trust::Tls { ca_pem, credentials } => Some(tls::server_config(ca_pem, credentials, door)?),
        };
        let Self { tcp, address } = self;
        Ok(Listener { tcp, address, tls, door, cluster_id: identity.cluster_id.clone() })
    }
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    door: Door,
    cluster_id: String,
}

impl Listener {
    /// Takes the port `address` and listens on it.
    ///
    /// # Errors
    /// Those of [`Port::take`] and [`Port::listener`].
    pub async fn bind(
        address: &str,
        door: Door,
        identity: &Identity,
        plaintext: Plaintext,
    ) -> Result<Self, IdentityFailure> {
        Port::take(address).await?.listener(door, identity, plaintext)
    }

    /// The address it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Starts to accept, on the current runtime. Dropping the stream stops accepting and closes the port.
    pub fn incoming(self) -> Incoming {
        let (sender, ready) = mpsc::channel(READY_MAX);
        let accept = tokio::spawn(accept(self, sender)).abort_handle();
        Incoming { ready, accept }
    }
}

/// Connections as they are ready: what tonic's `serve_with_incoming` takes.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    accept: AbortHandle,
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|next| next.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: Listener, ready: mpsc::Sender<Connection>) {
    let Listener { tcp, address, tls, door, cluster_id } = listener;
    let acceptor = tls.map(TlsAcceptor::from);
    let cluster_id: Arc<str> = cluster_id.into();
    let mut handshakes = JoinSet::new();
    let mut reminder = interval(REMINDER_EVERY);
    let exposed = acceptor.is_none() && !address.ip().is_loopback();
    loop {
        // Cancel safe: accept, join_next and tick lose nothing when another branch is taken.
        let accepted = tokio::select! {
            accepted = tcp.accept(), if handshakes.len() < HANDSHAKES_MAX => accepted,
            Some(_) = handshakes.join_next() => continue,
            _ = reminder.tick(), if exposed => {
                warn!(%address, "listening without tls off loopback: anyone who reaches it is believed");
                continue;
            }
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%address, %error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (ready, acceptor, cluster_id) = (ready.clone(), acceptor.clone(), cluster_id.clone());
        handshakes.spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(stream, caller, acceptor, (door, &cluster_id))).await {
                // The server may be gone: then the connection is dropped with the message.
                Ok(Ok(connection)) => drop(ready.send(connection).await),
                Ok(Err(error)) => debug!(%caller, %error, "caller refused during the handshake"),
                Err(_) => debug!(%caller, "caller did not finish its handshake in time"),
            }
        });
    }
}

async fn handshake(
    stream: TcpStream,
    caller: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    (door, cluster_id): (Door, &str),
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else { return Ok(Connection::plain(stream, caller)) };
    let stream = acceptor.accept(stream).await?;
    let proof = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
        None => Proof::NoCertificate,
        Some(certificate) => proof_of(certificate, door, cluster_id).map_err(io::Error::other)?,
    };
    Ok(Connection::tls(TlsStream::Server(stream), ConnectionPeer::new(caller, proof)))
}

/// What a certificate that the cluster's CA signed proves at `door`.
fn proof_of(
    certificate: &rustls_pki_types::CertificateDer<'_>,
    door: Door,
    cluster_id: &str,
) -> Result<Proof, IdentityFailure> {
    const WHAT: &str = "the caller's certificate";
    if let Some(operator) = tls::operator_of(certificate, cluster_id)? {
        return match door {
            Door::Peer => Err(IdentityFailure::certificate(WHAT, "it is an operator's; this port is for nodes")),
            Door::Admin | Door::Http => Ok(Proof::Operator(operator)),
        };
    }
    let peer = tls::peer_of(certificate)?;
    if peer.cluster.as_deref() != Some(cluster_id) {
        return Err(IdentityFailure::certificate(WHAT, "it is of another cluster"));
    }
    Ok(Proof::Certificate(peer))
}
