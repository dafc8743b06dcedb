//! A gRPC channel that says who is calling.
//!
//! Promise: on plaintext every call carries cluster, role and node id as metadata; an operator's token goes only over
//! TLS. Absent: making one (`dialer`).

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use tonic::{Status, body::Body, transport};
use tower::Service;

/// A lazy, reconnecting connection to one node. Clones share the connection. What generated clients take.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: transport::Channel,
    metadata: Arc<HeaderMap>,
}

impl Channel {
    pub(crate) fn new(inner: transport::Channel, metadata: Arc<HeaderMap>) -> Self {
        Self { inner, metadata }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = <transport::Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        for (name, value) in self.metadata.iter() {
            request.headers_mut().insert(name, value.clone());
        }
        Service::call(&mut self.inner, request)
    }
}

/// The message of a status with the causes beneath it: what a transport failure says of itself is "transport error", and
/// the address, the name or the alert is in its sources.
pub fn status_text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
