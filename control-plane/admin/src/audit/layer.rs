//! The layer at the door of the admin port: it notes where a call comes from, and that it was refused.
//!
//! Promise: a call that is denied is recorded, whatever it was for; one that is refused for another reason is recorded
//! when it would have changed something, also when the refusal ends a stream. Absent: calls that were carried out, whose
//! entries ride in their commands; calls whose outcome is not known.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use sluice_identity::{Peer, Seen, roles};
use sluice_proto::{
    admin::ErrorDetails,
    raft::{AuditCall, AuditEntry},
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{Origin, Recorder};
use crate::propose::now_ms;

/// What an entry says of a call that its caller may not make.
const DENIED: &str = "denied";

/// Notes where calls come from and which are refused. Goes before `PeerLayer`.
#[derive(Clone)]
pub struct AuditLayer {
    recorder: Recorder,
    node_id: String,
}

impl AuditLayer {
    pub(crate) fn new(recorder: Recorder, node_id: &str) -> Self {
        Self { recorder, node_id: node_id.to_owned() }
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audited<S>;

    fn layer(&self, inner: S) -> Audited<S> {
        Audited { inner, layer: self.clone() }
    }
}

/// A service behind an [`AuditLayer`].
#[derive(Clone)]
pub struct Audited<S> {
    inner: S,
    layer: AuditLayer,
}

impl<S> Service<Request<Body>> for Audited<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let origin = Origin::of(&request, &self.layer.node_id);
        let changes = roles::find(&origin.method).is_some_and(roles::Method::changes);
        let seen = Seen::default();
        request.extensions_mut().insert(origin.clone());
        request.extensions_mut().insert(seen.clone());
        let watch = Watch { recorder: self.layer.recorder.clone(), origin, seen, changes };
        let answering = self.inner.call(request);
        Box::pin(async move { Ok(watch.over(answering.await?)) })
    }
}

/// A call under way.
struct Watch {
    recorder: Recorder,
    origin: Origin,
    seen: Seen,
    changes: bool,
}

impl Watch {
    /// Records a refusal in the answer's headers at once, and one in its trailers when they come.
    fn over(self, answer: Response<Body>) -> Response<Body> {
        if answer.headers().contains_key(Status::GRPC_STATUS) {
            self.record(answer.headers());
            return answer;
        }
        if !self.changes {
            return answer;
        }
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.record(trailers);
                }
                frame
            }))
        })
    }

    fn record(&self, headers: &HeaderMap) {
        let Some(status) = Status::from_header_map(headers) else { return };
        let Some(outcome) = outcome_of(&status, self.changes) else { return };
        let Peer { actor, role, .. } = self.seen.peer().cloned().unwrap_or_else(Peer::anonymous);
        let Origin { address, taken_by, method } = self.origin.clone();
        let call = AuditCall { role: role.as_str().to_owned(), address, taken_by, method, ..AuditCall::default() };
        self.recorder.take(AuditEntry {
            actor,
            call: Some(call),
            outcome,
            time_ms: now_ms(0),
            ..AuditEntry::default()
        });
    }
}

/// What an entry says of a call that ended so; none for one that is not recorded.
fn outcome_of(status: &Status, changes: bool) -> Option<String> {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Some(DENIED.to_owned()),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::ResourceExhausted
        | Code::OutOfRange
            if changes =>
        {
            let code = ErrorDetails::decode(status.details()).unwrap_or_default().code;
            Some(if code.is_empty() { "refused".to_owned() } else { code })
        }
        _ => None,
    }
}
