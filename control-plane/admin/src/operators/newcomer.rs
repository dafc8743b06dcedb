//! Operators that this node does not know yet: a token that another node made a moment ago is good on every node.
//!
//! Promise: before a token or a certificate is refused as unknown, the node has applied what was committed before the call,
//! as long as a leader answers in time; at most a few calls wait for that at once, so that guessing costs the cluster
//! little. Absent: the refusal itself, which is `PeerLayer`'s.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, header::AUTHORIZATION};
use sluice_identity::{ConnectionPeer, OperatorRefused, Operators as _, Proof, token_hash};
use sluice_raft::Raft;
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use super::KnownOperators;
use crate::replica::Replica;

/// Calls with an unknown token that wait at once; further ones are refused at once.
const WAITING_MAX: usize = 4;
/// How long one waits at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lets the node catch up before an unknown operator is refused. Goes before `PeerLayer`.
#[derive(Clone)]
pub struct NewcomerLayer<R = Raft> {
    replica: R,
    places: Arc<Semaphore>,
}

impl<R> NewcomerLayer<R> {
    pub(crate) fn of(replica: R) -> Self {
        Self { replica, places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl<S, R: Clone> Layer<S> for NewcomerLayer<R> {
    type Service = Newcomers<S, R>;

    fn layer(&self, inner: S) -> Newcomers<S, R> {
        Newcomers { inner, layer: self.clone() }
    }
}

/// A service behind a [`NewcomerLayer`].
#[derive(Clone)]
pub struct Newcomers<S, R = Raft> {
    inner: S,
    layer: NewcomerLayer<R>,
}

impl<S, R, B> Service<Request<B>> for Newcomers<S, R>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Future: Send,
    R: Replica,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone takes the place of the service that was polled ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let NewcomerLayer { replica, places } = self.layer.clone();
        Box::pin(async move {
            if is_unknown(&replica, &request)
                && let Ok(_place) = places.try_acquire()
            {
                // Without an answer the call is judged by what this node knows.
                let _ = replica.read_barrier(Instant::now() + PATIENCE).await;
            }
            inner.call(request).await
        })
    }
}

/// Whether a call shows a token or a certificate that no operator has here.
fn is_unknown<R: Replica, B>(replica: &R, request: &Request<B>) -> bool {
    let known = KnownOperators::of(replica.clone());
    let found = match request.extensions().get::<ConnectionPeer>().map(|peer| &peer.proof) {
        Some(Proof::Operator(certificate)) => known.by_certificate(certificate),
        Some(Proof::NoCertificate) => {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let Some(token) = header.and_then(|text| text.strip_prefix("Bearer ")) else { return false };
            known.by_token(&token_hash(token.trim()))
        }
        Some(Proof::Plaintext | Proof::Certificate(_)) | None => return false,
    };
    matches!(found, Err(OperatorRefused::Token | OperatorRefused::Certificate { .. }))
}
