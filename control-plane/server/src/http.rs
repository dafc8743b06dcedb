//! The HTTP port (7180): `/healthz`, `/readyz`, `/metrics`.
//!
//! Promise: `/healthz` answers 200 while the process lives; `/readyz` answers 200 when the node can serve linearizable
//! calls, and else 503 with the reason; neither needs a token. Absent: the AWS-compatible API and the console.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming as Received, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use sluice_identity::Incoming;
use sluice_raft::Raft;
use sluice_sync::Order;
use sluice_telemetry::{Counter, Gauge, Metrics, bound, metric};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 256;
/// A client that has not sent its request's head by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that cannot confirm its state with the leader within this time is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the port tells of a node.
pub(crate) struct Report {
    raft: Raft,
    metrics: Metrics,
    gauges: Gauges,
    /// Connections that waited for a place.
    crowded: Counter,
    /// What an operator wants of the node: it is not ready while it drains.
    orders: watch::Receiver<Order>,
    /// Set when the node stops: it is not ready from then on.
    stop: CancellationToken,
}

/// Numbers that are read when they are asked for.
struct Gauges {
    term: Gauge,
    leader: Gauge,
    last_index: Gauge,
    committed_index: Gauge,
    applied_index: Gauge,
    snapshot_index: Gauge,
    purged_index: Gauge,
    revision: Gauge,
    disk_free: Gauge,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Report")
    }
}

impl Report {
    pub(crate) fn new(raft: Raft, metrics: Metrics, orders: watch::Receiver<Order>, stop: CancellationToken) -> Self {
        metrics.gauge(&metric::BUILD, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        let gauges = Gauges {
            term: metrics.gauge(&metric::RAFT_TERM, &[]),
            leader: metrics.gauge(&metric::RAFT_LEADER, &[]),
            last_index: metrics.gauge(&metric::RAFT_LAST_INDEX, &[]),
            committed_index: metrics.gauge(&metric::RAFT_COMMITTED_INDEX, &[]),
            applied_index: metrics.gauge(&metric::RAFT_APPLIED_INDEX, &[]),
            snapshot_index: metrics.gauge(&metric::RAFT_SNAPSHOT_INDEX, &[]),
            purged_index: metrics.gauge(&metric::RAFT_PURGED_INDEX, &[]),
            revision: metrics.gauge(&metric::REVISION_NUMBER, &[]),
            disk_free: metrics.gauge(&metric::DISK_FREE_BYTES, &[]),
        };
        let crowded = metrics.counter(&metric::BOUNDS_HIT, &[bound::OPERATIONS_CONNECTIONS]);
        Self { raft, metrics, gauges, crowded, orders, stop }
    }

    async fn answer(&self, request: &Request<Received>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match self.readiness().await {
                Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
            },
            "/metrics" => {
                let mut answer = text(StatusCode::OK, self.exposition());
                answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(EXPOSITION));
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "expected /healthz, /readyz or /metrics\n".to_owned()),
        }
    }

    /// Whether the node can serve, or why not.
    pub(crate) async fn readiness(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("the node is stopping".to_owned());
        }
        if *self.orders.borrow() == Order::Drain {
            return Err("the node is draining".to_owned());
        }
        self.raft.read_barrier(Instant::now() + READY_TIMEOUT).await.map_err(|failure| failure.to_string())?;
        match self.raft.view().cluster() {
            Some(_) => Ok(()),
            None => Err("the cluster is not founded yet".to_owned()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only; 2^53 is far beyond what is counted")]
    fn exposition(&self) -> String {
        let leadership = *self.raft.leadership().borrow();
        self.gauges.term.set(leadership.term as f64);
        self.gauges.leader.set(if leadership.this { 1.0 } else { 0.0 });
        let positions = self.raft.log_positions();
        for (gauge, index) in [
            (&self.gauges.last_index, positions.last),
            (&self.gauges.committed_index, positions.committed),
            (&self.gauges.applied_index, positions.applied),
            (&self.gauges.snapshot_index, positions.snapshot),
            (&self.gauges.purged_index, positions.purged),
        ] {
            gauge.set(index.unwrap_or(0) as f64);
        }
        self.gauges.revision.set(self.raft.view().number() as f64);
        let this = self.raft.members().into_iter().find(|member| member.raft_id == self.raft.raft_id());
        if let Some(free) = this.and_then(|member| member.free_bytes) {
            self.gauges.disk_free.set(free as f64);
        }
        self.metrics.render()
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(TEXT));
    answer
}

/// Serves until `stop`, then lets requests under way finish.
pub(crate) async fn serve(mut incoming: Incoming, report: Arc<Report>, stop: CancellationToken) {
    // HTTP/1 only: finding out the version waits for a client's first bytes without a deadline.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                report.crowded.increment(1);
                places.clone().acquire_owned().await.expect("the semaphore is never closed")
            }
        };
        // Cancel safe: a connection that is not taken stays in the listener's queue.
        let connection = tokio::select! {
            next = incoming.next() => next,
            () = stop.cancelled() => None,
        };
        let Some(Ok(connection)) = connection else { break };
        let report = report.clone();
        let service = service_fn(move |request| {
            let report = report.clone();
            async move { Ok::<_, Infallible>(report.answer(&request).await) }
        });
        let served = builder.serve_connection(TokioIo::new(connection), service).into_owned();
        let served = graceful.watch(served);
        connections.spawn(async move {
            if let Err(error) = served.await {
                debug!(%error, "connection to the http port ended");
            }
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(incoming);
    graceful.shutdown().await;
}
