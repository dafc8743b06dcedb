//! The one way to make a channel.
//!
//! Promise: plaintext goes to loopback only, unless told otherwise; over TLS the server is the one that is asked for:
//! of this cluster, of the role that the caller names, and not one that was removed. Channels are lazy and reconnect by themselves; a dead peer is
//! noticed by HTTP/2 pings. Absent: retries of calls, deadlines of calls.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use crate::{
    Channel, Connection, ConnectionPeer, Credentials, Identity, IdentityFailure, JoinToken, NodeRole, Proof, Revoked,
    Secret, Trust,
    address::{Address, Scheme},
    layers::{CLUSTER_HEADER, NODE_HEADER, ROLE_HEADER},
    tls,
};

/// What a channel is for; each has a connection of its own, with timeouts and windows that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Heartbeats, votes and log entries: small, urgent.
    Raft,
    /// A snapshot of the state to a node that fell behind: large, patient.
    Snapshot,
    /// Other calls between control nodes.
    Peer,
    /// A data node's stream of configuration.
    Sync,
    /// Calls of operators and of joining nodes.
    Admin,
}

/// Where plaintext may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// To this machine only.
    LoopbackOnly,
    /// Anywhere: `--insecure`.
    Anywhere,
}

/// Whom a caller without a certificate trusts.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// No one: plaintext only.
    None,
    /// The cluster whose CA's certificate this is, in PEM.
    Ca(String),
}

/// How an operator proves who it is.
#[derive(Debug, Clone, Copy)]
pub enum OperatorProof<'a> {
    /// Not at all: plaintext needs none.
    None,
    /// By its token.
    Token(&'a Secret<String>),
    /// By its certificate.
    Certificate {
        /// PEM of the certificate that the cluster's CA signed.
        certificate_pem: &'a str,
        /// PEM of its private key.
        key_pem: &'a Secret<String>,
    },
}

/// Makes channels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    tls: Option<Tls>,
    /// Sent with each call on plaintext.
    stated: Arc<HeaderMap>,
    /// Sent with each call over TLS.
    proof: Arc<HeaderMap>,
    plaintext: Plaintext,
    /// Nodes that are not talked to, whatever they show.
    revoked: Revoked,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    cluster_id: String,
}

impl Dialer {
    /// Channels of a node of the cluster.
    ///
    /// # Errors
    /// `Certificate` when the identity's certificate or key cannot be used.
    pub fn of_node(identity: &Identity, plaintext: Plaintext) -> Result<Self, IdentityFailure> {
        let Trust::Tls { ca_pem, credentials } = &identity.trust else {
            let stated = [
                (CLUSTER_HEADER, identity.cluster_id.as_str()),
                (ROLE_HEADER, identity.role.as_str()),
                (NODE_HEADER, identity.node_id.as_str()),
            ];
            let revoked = Revoked::default();
            return Ok(Self { tls: None, stated: headers(&stated)?, proof: Arc::default(), plaintext, revoked });
        };
        let config = tls::client_config(ca_pem, Some(credentials))?;
        let tls = Some(Tls { config, cluster_id: identity.cluster_id.clone() });
        Ok(Self { tls, stated: Arc::default(), proof: Arc::default(), plaintext, revoked: Revoked::default() })
    }

    /// Does not connect to the nodes that are, or will be, on this list.
    #[must_use]
    pub fn refusing(self, revoked: Revoked) -> Self {
        Self { revoked, ..self }
    }

    /// The nodes that are not connected to.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Channels of an operator. Its proof is shown over TLS only: plaintext needs none, and must not learn it.
    ///
    /// # Errors
    /// `Certificate` when the CA's certificate, or the operator's, cannot be used.
    pub fn of_operator(
        trust: &ServerTrust,
        proof: OperatorProof<'_>,
        plaintext: Plaintext,
    ) -> Result<Self, IdentityFailure> {
        let (bearer, own) = match proof {
            OperatorProof::None => (None, None),
            OperatorProof::Token(token) => (Some(Secret::new(format!("Bearer {}", token.expose()))), None),
            OperatorProof::Certificate { certificate_pem, key_pem } => {
                (None, Some(Credentials::new(certificate_pem, key_pem.clone())?))
            }
        };
        let proof = match &bearer {
            Some(bearer) => headers(&[(http::header::AUTHORIZATION.as_str(), bearer.expose())])?,
            None => Arc::default(),
        };
        let tls = match trust {
            ServerTrust::None => None,
            ServerTrust::Ca(pem) => {
                Some(Tls { config: tls::client_config(pem, own.as_ref())?, cluster_id: tls::cluster_of_ca(pem)? })
            }
        };
        Ok(Self { tls, stated: Arc::default(), proof, plaintext, revoked: Revoked::default() })
    }

    /// Channels of a node that has a token but no certificate yet: the server is verified by the token's CA.
    ///
    /// # Errors
    /// `Certificate` when the CA's certificate cannot be used.
    pub fn of_joining(token: Option<&JoinToken>, plaintext: Plaintext) -> Result<Self, IdentityFailure> {
        let trust = match token.and_then(|token| token.ca_pem.clone()) {
            Some(pem) => ServerTrust::Ca(pem),
            None => ServerTrust::None,
        };
        Self::of_operator(&trust, OperatorProof::None, plaintext)
    }

    /// A channel to the `role` at `address` (`HOST:PORT`, or a URL). Nothing is connected before the first call.
    ///
    /// Must be called within a tokio runtime: the connection lives on it.
    ///
    /// # Errors
    /// `Address`, `Scheme`, or `PlaintextOffLoopback`.
    pub fn channel(&self, address: &str, role: NodeRole, purpose: Purpose) -> Result<Channel, IdentityFailure> {
        let target = Address::parse(address)?;
        let tls = self.tls_for(address, &target)?;
        let connector = match tls {
            None => None,
            Some(tls) => Some((TlsConnector::from(tls.config.clone()), tls::server_name(role, &tls.cluster_id)?)),
        };
        let metadata = if tls.is_some() { self.proof.clone() } else { self.stated.clone() };
        let endpoint = endpoint(&target, purpose)?;
        let (plaintext, revoked) = (self.plaintext, self.revoked.clone());
        let connect = tower::service_fn(move |_| {
            let (target, connector, revoked) = (target.clone(), connector.clone(), revoked.clone());
            async move { connect(&target, connector, plaintext, &revoked).await.map(TokioIo::new) }
        });
        Ok(Channel::new(endpoint.connect_with_connector_lazy(connect), metadata))
    }

    /// The TLS to use towards `target`; `None` for plaintext that is allowed.
    fn tls_for(&self, address: &str, target: &Address) -> Result<Option<&Tls>, IdentityFailure> {
        let scheme = |reason| Err(IdentityFailure::Scheme { address: address.to_owned(), reason });
        match (&self.tls, target.scheme) {
            (Some(tls), Scheme::Unsaid | Scheme::Https) => Ok(Some(tls)),
            // An operator may hold a CA file and still speak to a plaintext cluster on this machine.
            (Some(_), Scheme::Http) if !target.is_loopback() => scheme("expected https://: this side requires TLS"),
            (None, Scheme::Https) => scheme(
                "this side trusts no cluster CA yet; an operator gives its certificate (--ca-file), a node that joins its token (--join-token-file)",
            ),
            (None, Scheme::Unsaid) | (_, Scheme::Http) => {
                if target.is_loopback() || self.plaintext == Plaintext::Anywhere {
                    Ok(None)
                } else {
                    Err(IdentityFailure::PlaintextOffLoopback { address: address.to_owned() })
                }
            }
        }
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> Result<Arc<HeaderMap>, IdentityFailure> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| IdentityFailure::certificate("a token or id", "expected visible ASCII characters"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(Arc::new(headers))
}

fn endpoint(target: &Address, purpose: Purpose) -> Result<Endpoint, IdentityFailure> {
    // The scheme is http for tonic: TLS, when there is any, is made by our own connector beneath it.
    let endpoint = Endpoint::from_shared(format!("http://{}", target.authority))
        .map_err(|_| IdentityFailure::Address { found: target.authority.to_string() })?;
    // Raft must notice a dead peer within an election (at most 1,200 ms) or two; others need not hurry.
    let (connect_ms, ping_ms, pong_ms) = match purpose {
        Purpose::Raft => (1_000, 1_000, 2_000),
        Purpose::Snapshot | Purpose::Peer | Purpose::Sync => (2_000, 5_000, 5_000),
        Purpose::Admin => (5_000, 10_000, 10_000),
    };
    // Large enough that one round trip of 10 ms does not slow a snapshot or an import below 100 MB/s.
    let (stream_window_bytes, connection_window_bytes) = (1024 * 1024, 4 * 1024 * 1024);
    Ok(endpoint
        .connect_timeout(Duration::from_millis(connect_ms))
        .http2_keep_alive_interval(Duration::from_millis(ping_ms))
        .keep_alive_timeout(Duration::from_millis(pong_ms))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(stream_window_bytes)
        .initial_connection_window_size(connection_window_bytes))
}

async fn connect(
    target: &Address,
    tls: Option<(TlsConnector, rustls_pki_types::ServerName<'static>)>,
    plaintext: Plaintext,
    revoked: &Revoked,
) -> io::Result<Connection> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let address = stream.peer_addr()?;
    let Some((connector, name)) = tls else {
        // A name under localhost that resolves elsewhere must not carry plaintext there.
        if plaintext == Plaintext::LoopbackOnly && !address.ip().is_loopback() {
            let refused = IdentityFailure::PlaintextOffLoopback { address: address.to_string() };
            return Err(io::Error::other(refused));
        }
        return Ok(Connection::plain(stream, address));
    };
    let expected = name.to_str().into_owned();
    let stream = connector.connect(name, stream).await.map_err(|error| {
        io::Error::new(error.kind(), format!("tls handshake with {}, expected {expected}: {error}", target.authority))
    })?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let server = shown.map(tls::peer_of).transpose().map_err(io::Error::other)?;
    if let Some(node_id) = server.and_then(|peer| peer.node_id).filter(|id| revoked.contains(id)) {
        return Err(io::Error::other(format!("{} is node {node_id}, which was removed", target.authority)));
    }
    Ok(Connection::tls(stream.into(), ConnectionPeer::new(address, Proof::NoCertificate)))
}
