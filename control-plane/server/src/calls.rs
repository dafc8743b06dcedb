//! Counts and times of admin calls, for `/metrics`.
//!
//! Promise: a call is counted by its method and the code of its answer, one that was refused at the gates too; the time
//! is that until the answer begins; a method has lines once it was called. Absent: a stream's end: what fails after its first message is counted as begun.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use sluice_identity::roles::METHODS;
use sluice_telemetry::{Counter, Histogram, Metrics, metric};
use tower::{Layer, Service};

/// gRPC's status codes are 0 to 16.
const CODES: usize = 17;
/// For paths that are in no table: one name, however many are tried.
const OTHER: &str = "other";

/// Counts the calls of one node.
#[derive(Clone)]
pub(crate) struct CallsLayer {
    tallies: Arc<Tallies>,
}

/// The handles of every method.
struct Tallies {
    metrics: Metrics,
    methods: BTreeMap<&'static str, Tally>,
    other: Tally,
}

struct Tally {
    method: &'static str,
    /// Registered with the first call: a method that no one calls has no line.
    seconds: OnceLock<Histogram>,
    codes: [OnceLock<Counter>; CODES],
}

impl Tally {
    fn new(method: &'static str) -> Self {
        Self { method, seconds: OnceLock::new(), codes: [const { OnceLock::new() }; CODES] }
    }

    fn count(&self, metrics: &Metrics, code: usize, began: Instant) {
        let code = code.min(CODES - 1);
        let register = || metrics.counter(&metric::ADMIN_CALLS, &[self.method, &code.to_string()]);
        self.codes[code].get_or_init(register).increment(1);
        let seconds = self.seconds.get_or_init(|| metrics.histogram(&metric::ADMIN_CALL_SECONDS, &[self.method]));
        seconds.record(began.elapsed().as_secs_f64());
    }
}

impl Tallies {
    fn of(&self, path: &str) -> &Tally {
        self.methods.get(path).unwrap_or(&self.other)
    }
}

impl CallsLayer {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let methods = METHODS.iter().map(|method| (method.path, Tally::new(method.path))).collect();
        let tallies = Tallies { metrics: metrics.clone(), methods, other: Tally::new(OTHER) };
        Self { tallies: Arc::new(tallies) }
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, tallies: self.tallies.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    tallies: Arc<Tallies>,
}

impl<S, In, Out> Service<Request<In>> for Counted<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Unpin,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = Counting<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // A path of the table lives as long as the program; what is not in it needs no name.
        let path = METHODS.iter().map(|method| method.path).find(|path| *path == request.uri().path());
        Counting {
            inner: self.inner.call(request),
            tallies: self.tallies.clone(),
            path: path.unwrap_or(OTHER),
            began: Instant::now(),
        }
    }
}

/// A call under way. One that its caller gave up is not counted.
pub(crate) struct Counting<F> {
    inner: F,
    tallies: Arc<Tallies>,
    path: &'static str,
    began: Instant,
}

impl<F, Out, E> Future for Counting<F>
where
    F: Future<Output = Result<Response<Out>, E>> + Unpin,
{
    type Output = Result<Response<Out>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.inner).poll(context));
        if let Ok(answer) = &answer {
            // An answer without a message has its status in the headers; one with a message has succeeded so far.
            let status = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
            let Self { tallies, path, began, .. } = &*self;
            tallies.of(path).count(&tallies.metrics, status.unwrap_or(0), *began);
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::{Status, body::Body};
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code_and_strangers_share_a_name() {
        let metrics = Metrics::new();
        let inner = service_fn(|request: Request<Body>| {
            let answer = match request.uri().path() {
                "/sluice.admin.v1.Config/Get" => Response::new(Body::empty()),
                _ => Status::unimplemented("no such method").into_http(),
            };
            std::future::ready(Ok::<Response<Body>, Infallible>(answer))
        });
        let service = CallsLayer::new(&metrics).layer(inner);
        for path in ["/sluice.admin.v1.Config/Get", "/a/b", "/c/d"] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            service.clone().oneshot(request).await.unwrap();
        }
        let text = metrics.render();
        for line in [
            "sluice_admin_calls_total{method=\"/sluice.admin.v1.Config/Get\",code=\"0\"} 1",
            "sluice_admin_calls_total{method=\"other\",code=\"12\"} 2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let timed = text.lines().filter(|line| line.starts_with("sluice_admin_call_seconds_count"));
        let timed: Vec<_> = timed.filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(timed.len(), 2, "only what was called is shown: {timed:?}");
        assert!(timed.contains(&"/sluice.admin.v1.Config/Get") && timed.contains(&"other"), "{timed:?}");
    }
}
