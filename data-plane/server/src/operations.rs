//! The operations port: `/healthz`, `/readyz` and `/metrics`.
//!
//! Promise: answers while traffic cores are busy; it runs on the node's own runtime, not on theirs. Absent: clients' APIs.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_telemetry::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Connections to the operations port at once.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take for a head, and between two.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the operations port tells.
pub(crate) trait Report: Send + Sync + 'static {
    /// Why clients are not welcome now; `None` when they are.
    fn not_ready(&self) -> Option<&'static str>;
    /// The page of metrics.
    fn metrics(&self) -> String;
}

/// Serves `report` on `listener` until `stop`.
/// Connections that had to wait for a place are counted in `crowded`.
pub(crate) async fn serve(listener: TcpListener, report: Arc<dyn Report>, crowded: Counter, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Both branches are cancel-safe: a permit or a connection that is dropped was not yet in use.
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits, &crowded) => accepted,
            () = stop.cancelled() => break,
        };
        let Some((socket, permit)) = accepted else { continue };
        let (report, stop) = (Arc::clone(&report), stop.clone());
        connections.spawn(async move {
            serve_connection(socket, report, stop.cancelled()).await;
            drop(permit);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    crowded: &Counter,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    if permits.available_permits() == 0 {
        crowded.increment(1);
    }
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((socket, _)) => Some((socket, permit)),
        Err(error) => {
            debug!(%error, "operations connection not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve_connection(socket: TcpStream, report: Arc<dyn Report>, stop: impl Future<Output = ()>) {
    let service = service_fn(move |request| {
        let response = answer(&request, report.as_ref());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "operations connection ended");
    }
}

fn answer(request: &Request<Incoming>, report: &dyn Report) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match report.not_ready() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, report.metrics()),
        (_, "/healthz" | "/readyz" | "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "expected /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
