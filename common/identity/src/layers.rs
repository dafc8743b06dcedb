//! The two gates that each gRPC call passes: who is it (`PeerLayer`), and may it (`RolesLayer`).
//!
//! Promise: behind `PeerLayer` every request has a [`Peer`] extension; behind `RolesLayer` the method is in the table and
//! the peer's role is among those it names; a node that was removed passes neither, and an operator is looked up at each
//! call, so that one who was deleted is refused on a connection that it still has. A refusal says what was expected, what
//! was found and what to do. Absent: permissions on single documents.

use std::{
    future::{Ready, ready},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use http::{Extensions, HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Status, transport::Server};
use tower::{Layer, Service};

use crate::{
    ConnectionPeer, LOCAL, NodeRole, Operator, OperatorRefused, OperatorRole, Operators, Peer, Proof, Revoked, Role,
    Shown, removed, roles, token_hash,
};

/// Metadata by which a node says, on plaintext, which cluster it belongs to.
pub(crate) const CLUSTER_HEADER: &str = "x-sluice-cluster";
/// Metadata by which a node says, on plaintext, what it is.
pub(crate) const ROLE_HEADER: &str = "x-sluice-role";
/// Metadata by which a node says, on plaintext, who it is.
pub(crate) const NODE_HEADER: &str = "x-sluice-node";

/// A gRPC server with the timeouts that all of ours have. Nodelay and TLS are the `Listener`'s.
pub fn grpc_server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_concurrent_streams(1024)
}

/// Where who calls is told to layers that stand before [`PeerLayer`]: a request extension that they add.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<OnceLock<Peer>>);

impl Seen {
    /// Who called; `None` while that is not known, and for a caller whose proof was refused.
    pub fn peer(&self) -> Option<&Peer> {
        self.0.get()
    }
}

/// Finds out who is calling, and adds a [`Peer`] extension.
#[derive(Clone)]
pub struct PeerLayer {
    gate: PeerGate,
}

impl PeerLayer {
    /// For a node of `cluster_id`.
    pub fn new(cluster_id: &str, operators: Arc<dyn Operators>) -> Self {
        Self { gate: PeerGate { cluster_id: cluster_id.into(), operators, revoked: Revoked::default() } }
    }

    /// Refuses the nodes that are, or will be, on this list: each call, and after the first their connection.
    #[must_use]
    pub fn refusing(mut self, revoked: Revoked) -> Self {
        self.gate.revoked = revoked;
        self
    }
}

impl<S> Layer<S> for PeerLayer {
    type Service = Gated<S, PeerGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: self.gate.clone() }
    }
}

/// Lets a call through when the table of `roles` allows it to its [`Peer`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RolesLayer;

impl<S> Layer<S> for RolesLayer {
    type Service = Gated<S, RolesGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: RolesGate }
    }
}

/// What a gate decides of a call.
pub trait Gate: Clone {
    /// Lets the call pass, or says why not.
    ///
    /// # Errors
    /// The status that the caller gets.
    fn pass(&self, path: &str, headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Box<Status>>;
}

/// A service behind a gate.
#[derive(Debug, Clone)]
pub struct Gated<S, G> {
    inner: S,
    gate: G,
}

impl<S, G, In, Out> Service<Request<In>> for Gated<S, G>
where
    S: Service<Request<In>, Response = Response<Out>>,
    G: Gate,
    Out: Default,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Out>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.gate.pass(parts.uri.path(), &parts.headers, &mut parts.extensions) {
            Ok(()) => Either::Right(self.inner.call(Request::from_parts(parts, body))),
            Err(status) => Either::Left(ready(Ok(status.into_http()))),
        }
    }
}

/// The gate of [`PeerLayer`].
#[derive(Clone)]
pub struct PeerGate {
    cluster_id: Arc<str>,
    operators: Arc<dyn Operators>,
    revoked: Revoked,
}

impl Gate for PeerGate {
    fn pass(&self, _path: &str, headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Box<Status>> {
        let connection = extensions.get::<ConnectionPeer>();
        let peer = match connection.map(|connection| &connection.proof) {
            Some(Proof::Certificate(peer)) => peer.clone(),
            Some(Proof::Operator(certificate)) => {
                let shown = Shown::Certificate { serial: certificate.serial.clone() };
                operator(self.operators.by_certificate(certificate), shown)?
            }
            Some(Proof::NoCertificate) => self.by_token(headers)?,
            Some(Proof::Plaintext) => self.by_statement(headers)?,
            None => return refuse(Status::internal("the connection is not of a sluice listener")),
        };
        if let Some(node_id) = peer.node_id.as_ref().filter(|id| self.revoked.contains(id)) {
            if let Some(connection) = connection {
                connection.farewell.say();
            }
            return refuse(removed(node_id));
        }
        if let Some(Seen(seen)) = extensions.get() {
            // Set once per call, here.
            let _ = seen.set(peer.clone());
        }
        extensions.insert(peer);
        Ok(())
    }
}

impl PeerGate {
    fn by_token(&self, headers: &HeaderMap) -> Result<Peer, Box<Status>> {
        let Some(value) = headers.get(AUTHORIZATION) else { return Ok(Peer::anonymous()) };
        let Some(token) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) else {
            return refuse(Status::unauthenticated("expected authorization \"Bearer TOKEN\", found another form"));
        };
        let hash = token_hash(token.trim());
        operator(self.operators.by_token(&hash), Shown::Token(hash))
    }

    fn by_statement(&self, headers: &HeaderMap) -> Result<Peer, Box<Status>> {
        let stated = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(cluster) = stated(CLUSTER_HEADER)
            && cluster != &*self.cluster_id
        {
            let (ours, theirs) = (&self.cluster_id, cluster);
            return refuse(Status::failed_precondition(format!(
                "this node is of cluster {ours}, the caller of cluster {theirs}; check the address it was given"
            )));
        }
        match (stated(ROLE_HEADER), stated(NODE_HEADER)) {
            (None, None) => Ok(Peer::operator(&Operator::new(LOCAL, OperatorRole::Admin), Shown::Nothing)),
            (Some(role), Some(node)) if !node.is_empty() => match NodeRole::parse(role) {
                Some(role) => Ok(Peer::node(&self.cluster_id, role, node)),
                None => {
                    refuse(Status::invalid_argument(format!("expected {ROLE_HEADER} control or data, found {role:?}")))
                }
            },
            _ => refuse(Status::invalid_argument(format!("expected both {ROLE_HEADER} and {NODE_HEADER}, or neither"))),
        }
    }
}

fn operator(found: Result<Operator, OperatorRefused>, shown: Shown) -> Result<Peer, Box<Status>> {
    match found {
        Ok(operator) => Ok(Peer::operator(&operator, shown)),
        Err(refused) => refuse(Status::unauthenticated(refused.to_string())),
    }
}

/// The gate of [`RolesLayer`].
#[derive(Debug, Clone, Copy)]
pub struct RolesGate;

impl Gate for RolesGate {
    fn pass(&self, path: &str, _headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Box<Status>> {
        let role = extensions.get::<Peer>().map_or(Role::Anonymous, |peer| peer.role);
        roles::allow(path, role).map(drop).map_err(Box::new)
    }
}

/// Statuses are large; behind a gate they are rare.
fn refuse<T>(status: Status) -> Result<T, Box<Status>> {
    Err(Box::new(status))
}
