//! The layer in front of the services: local, or carried to the leader.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use sluice_identity::{
    Peer, Role,
    roles::{self, Runs},
};
use sluice_proto::raft::{ForwardReply, ForwardRequest};
use sluice_raft::Raft;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::{
    audit::Origin,
    call::{CarriedRequestId, leave_by, new_request_id, timeout_of},
    forward::frame,
    operators::with_shown,
    refused::{NOT_LEADER, Reason, Refused},
    replica::{Leader, PEER_MESSAGE_BYTES_MAX, Replica},
    succession::unless_replaced,
};

/// A call without a deadline of its own looks for a leader for this long.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Bytes of a message of a caller of whom nothing is known: a certificate request and a few names.
const JOIN_BYTES_MAX: usize = 64 * 1024;
/// First and longest pause between tries: an election takes 600 to 1,200 ms.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Carries calls that run on the leader to the leader. Goes behind `PeerLayer` and `RolesLayer`.
#[derive(Clone)]
pub struct ForwardLayer {
    raft: Raft,
}

impl ForwardLayer {
    /// For the node of `raft`.
    #[must_use]
    pub fn new(raft: Raft) -> Self {
        Self { raft }
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S, Raft>;

    fn layer(&self, inner: S) -> Self::Service {
        Forward { inner, replica: self.raft.clone() }
    }
}

/// A service behind a [`ForwardLayer`].
#[derive(Clone)]
pub struct Forward<S, R> {
    inner: S,
    replica: R,
}

impl<S, R> Service<Request<Body>> for Forward<S, R>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    R: Replica,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone takes the place of the service that was polled ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let runs = roles::find(request.uri().path()).map(|method| method.runs);
        if runs != Some(Runs::Leader) || request.headers().contains_key(roles::LOCAL_METADATA) {
            return Box::pin(inner.call(request));
        }
        let replica = self.replica.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let deadline = deadline_of(&parts);
            let collecting = frame::collect(body, bytes_max(&parts));
            match tokio::time::timeout_at(deadline.into(), collecting).await {
                Ok(Ok(framed)) => at_the_leader(inner, replica, parts, framed, deadline).await,
                Ok(Err(status)) => Ok(status.into_http()),
                Err(_) => Ok(Status::deadline_exceeded("expected the whole message in time, found a part").into_http()),
            }
        })
    }
}

#[cfg(test)]
impl<S, R> Forward<S, R> {
    pub(crate) fn over(inner: S, replica: R) -> Self {
        Self { inner, replica }
    }
}

/// Until when an answer is of use to the caller.
fn deadline_of(parts: &Parts) -> Instant {
    let header = parts.headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
    leave_by(Instant::now() + header.and_then(timeout_of).unwrap_or(TIMEOUT_DEFAULT))
}

/// How large a message is read: of a stranger only what a joining node has to say.
fn bytes_max(parts: &Parts) -> usize {
    match parts.extensions.get::<Peer>().map(|peer| peer.role) {
        Some(Role::Operator(_) | Role::Control | Role::Data) => PEER_MESSAGE_BYTES_MAX,
        Some(Role::Anonymous) | None => JOIN_BYTES_MAX,
    }
}

/// Tries until a leader has answered or the caller's time is over.
async fn at_the_leader<S, R>(
    mut inner: S,
    replica: R,
    mut parts: Parts,
    framed: Bytes,
    deadline: Instant,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
    R: Replica,
{
    let request_id = match parts.extensions.get::<CarriedRequestId>() {
        Some(carried) => carried.0.clone(),
        None => new_request_id(),
    };
    parts.extensions.insert(CarriedRequestId(request_id.clone()));
    let mut pause = PAUSE_FIRST;
    loop {
        match replica.leader() {
            Leader::This => {
                std::future::poll_fn(|context| inner.poll_ready(context)).await?;
                let request = Request::from_parts(parts.clone(), frame::raw_body(framed.clone()));
                let response = inner.call(request).await?;
                if !response.headers().contains_key(NOT_LEADER) {
                    return Ok(response);
                }
            }
            Leader::Other(leader) => {
                let reply = carry(&replica, leader, &parts, &framed, &request_id, deadline).await;
                if let Some(response) = answer_of(reply, deadline) {
                    return Ok(response);
                }
            }
            Leader::Unknown => {}
        }
        if Instant::now() + pause >= deadline {
            return Ok(Status::from(Refused::new(
                Reason::Unavailable,
                "no leader answered before the deadline; is a majority of the control nodes running?",
            ))
            .into_http());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn carry<R: Replica>(
    replica: &R,
    leader: u64,
    parts: &Parts,
    framed: &Bytes,
    request_id: &[u8],
    deadline: Instant,
) -> Result<ForwardReply, Status> {
    let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_else(Peer::anonymous);
    let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
    let left = deadline.saturating_duration_since(Instant::now());
    let request = ForwardRequest {
        path: parts.uri.path().to_owned(),
        message: frame::message_of(framed)?,
        actor: peer.actor.clone(),
        role: peer.role.as_str().to_owned(),
        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        request_id: request_id.to_vec().into(),
        caller_address: origin.address,
        taken_by: origin.taken_by,
        ..ForwardRequest::default()
    };
    let request = with_shown(request, &peer.shown);
    unless_replaced(replica, leader, replica.forward(leader, request, deadline)).await
}

/// The answer for the caller; none when the call has to be tried again.
fn answer_of(reply: Result<ForwardReply, Status>, deadline: Instant) -> Option<Response<Body>> {
    match reply {
        Ok(reply) if reply.not_leader => None,
        Ok(reply) if reply.code == 0 => Some(success(&reply.message)),
        Ok(reply) => {
            let code = Code::from(i32::try_from(reply.code).unwrap_or(2));
            Some(Status::with_details(code, reply.status_message, reply.details).into_http())
        }
        // The leader is gone or restarting: another will be there.
        Err(status) if matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown) => None,
        Err(status) if status.code() == Code::DeadlineExceeded || Instant::now() >= deadline => {
            let message =
                "the leader did not answer in time; the change may have been made: ask again with the same request id";
            Some(Status::from(Refused::new(Reason::OutcomeUnknown, message)).into_http())
        }
        // It may be what the caller asked for; then it is done, and any other node answers so.
        Err(status) if sluice_identity::says_removed(&status) => {
            let message = "this control node was removed from the cluster while it asked the leader; the change may have \
                           been made: ask another with the same request id";
            Some(Status::from(Refused::new(Reason::OutcomeUnknown, message)).into_http())
        }
        Err(status) => Some(status.into_http()),
    }
}

/// A unary answer: one message, and the trailer that says OK.
fn success(message: &[u8]) -> Response<Body> {
    use http_body_util::BodyExt as _;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = frame::body_of(message).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    response
}
