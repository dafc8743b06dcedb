//! A gRPC service that runs elsewhere than its connections.
//!
//! The peer port is served on Raft's own threads, so that a heartbeat waits for nothing. Carried admin calls come through
//! the same port, and must not hold these threads: their service runs on the node's runtime.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::runtime::Handle;
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

/// Runs each call of `inner` as a task of `runtime`.
#[derive(Debug, Clone)]
pub(crate) struct OnRuntime<S> {
    inner: S,
    runtime: Handle,
}

impl<S> OnRuntime<S> {
    pub(crate) fn new(inner: S, runtime: Handle) -> Self {
        Self { inner, runtime }
    }
}

impl<S: NamedService> NamedService for OnRuntime<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for OnRuntime<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = AbortOnDrop(self.runtime.spawn(self.inner.call(request)));
        Box::pin(async move {
            match call.await {
                Ok(answer) => answer,
                Err(panic) => Ok(Status::internal(format!("the call failed inside: {panic}")).into_http()),
            }
        })
    }
}

/// A task that ends when its caller is gone.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[test]
    fn a_call_runs_on_the_runtime_it_is_given() {
        let elsewhere = tokio::runtime::Builder::new_multi_thread().thread_name("elsewhere").build().unwrap();
        let here = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inner = service_fn(|_: Request<Body>| async {
            assert_eq!(thread::current().name(), Some("elsewhere"));
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let service = OnRuntime::new(inner, elsewhere.handle().clone());
        let answer = here.block_on(service.oneshot(Request::new(Body::empty()))).unwrap();
        assert_eq!(answer.headers().get("grpc-status"), None);
    }

    #[test]
    fn a_call_that_panics_is_an_internal_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inner = service_fn(|_: Request<Body>| async {
            let answer: Result<Response<Body>, Infallible> = "".parse::<u8>().map(|_| unreachable!()).unwrap();
            answer
        });
        let service = OnRuntime::new(inner, runtime.handle().clone());
        let answer = runtime.block_on(service.oneshot(Request::new(Body::empty()))).unwrap();
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "13");
    }
}
