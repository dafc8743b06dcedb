//! One client's connection from its first request on: HTTP/1.1 or HTTP/2, as its TLS handshake agreed, or in plaintext as
//! its first bytes say.
//!
//! Promise: ends when told to, however busy or idle it is. Absent: what comes before the first request (`entry`).

mod kept_alive;
mod preface;
mod socket;
mod stream;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_integrate::Guard;
use sluice_pipeline::{AnswerBody, Bound, Connection, Gateway};
use tracing::debug;

pub(crate) use self::socket::WatchedSocket;
pub(crate) use self::stream::ClientStream;
use crate::watch::{InFlight, Order, Owed, Watch};

/// Bytes of a connection's read buffer, and so of what hyper takes for a head before it answers 431 by itself.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an HTTP/2 header list: AWS's limits of target and header values, with what HTTP/2 counts beside them.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
/// Bytes of responses that one HTTP/2 stream may hold back for its client.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a client may send ahead on one HTTP/2 stream, and on a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How often a silent HTTP/2 client is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// What its first bytes say: HTTP/2 when they are its preface.
    AsItBegins,
    /// HTTP/1.1, or an older one.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Makes connections of one core.
#[derive(Clone)]
pub(crate) struct Engine {
    builders: Rc<Builders>,
    gateway: Rc<Gateway>,
    draining: Rc<Cell<bool>>,
    requests_max: u32,
    resets_max: u32,
}

/// What one connection may ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionBounds {
    /// Requests, after which it ends.
    pub(crate) requests_max: u32,
    /// Requests in flight at once over HTTP/2.
    pub(crate) streams_max: u32,
    /// Requests that its client may give up over HTTP/2.
    pub(crate) resets_max: u32,
}

struct Builders {
    http1: http1::Builder,
    http2: http2::Builder<OnThisCore>,
}

impl Engine {
    /// `draining` says whether connections should end after their next response.
    pub(crate) fn new(gateway: Rc<Gateway>, bounds: ConnectionBounds, draining: Rc<Cell<bool>>) -> Self {
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(BUFFER_BYTES_MAX).header_read_timeout(None);
        let mut http2 = http2::Builder::new(OnThisCore);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(bounds.streams_max)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let ConnectionBounds { requests_max, resets_max, .. } = bounds;
        Self { builders: Rc::new(Builders { http1, http2 }), gateway, draining, requests_max, resets_max }
    }

    /// Serves a connection until it ends, or until its watch orders so.
    pub(crate) async fn serve(self, mut stream: ClientStream, spoken: Spoken, client: Connection, watch: Rc<Watch>) {
        let spoken = match spoken {
            Spoken::AsItBegins => match preface::read(&mut stream, &watch).await {
                Some(spoken) => spoken,
                None => return,
            },
            agreed => agreed,
        };
        let Self { builders, gateway, draining, requests_max, resets_max } = self;
        watch.excess.allow_resets(resets_max);
        let session = Rc::new(Session { gateway, draining, requests_max, client, watch });
        let ended = match spoken {
            Spoken::Http2 => Box::pin(serve_http2(&builders.http2, stream, &session)).await,
            Spoken::Http1 | Spoken::AsItBegins => kept_alive::serve(&builders.http1, stream, &session).await,
        };
        if let Some(bound) = session.watch.excess.met() {
            session.gateway.tally().hit(bound);
        }
        if let Err(error) = ended {
            // The engine answers such a head by itself.
            if error.is_parse_too_large() {
                session.gateway.tally().hit(Bound::HeadBytes);
            }
            debug!(%error, "connection of a client ended");
        }
    }
}

async fn serve_http2(
    builder: &http2::Builder<OnThisCore>,
    stream: ClientStream,
    session: &Rc<Session>,
) -> hyper::Result<()> {
    let (watch, shared) = (&session.watch, Rc::clone(session));
    let service = service_fn(move |request| answer(Rc::clone(&shared), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut told = None;
    poll_fn(|cx| {
        watch.excess.turn();
        let order = watch.order();
        if told.is_none() {
            watch.wake_by(cx.waker());
        }
        if order == Order::Drop {
            return Poll::Ready(Ok(()));
        }
        if order == Order::Finish && told != Some(order) {
            connection.as_mut().graceful_shutdown();
        }
        told = Some(order);
        connection.as_mut().poll(cx)
    })
    .await
}

/// What the requests of one connection share.
struct Session {
    gateway: Rc<Gateway>,
    draining: Rc<Cell<bool>>,
    requests_max: u32,
    client: Connection,
    watch: Rc<Watch>,
}

async fn answer(session: Rc<Session>, request: Request<Incoming>) -> Result<Response<WatchedBody>, Infallible> {
    let version = request.version();
    let mut answering = Answering::begin(&session.watch, version);
    let receiving = (!request.body().is_end_stream()).then(|| Box::new(session.watch.receive()) as Guard);
    let (mut parts, body) = request.into_parts();
    let mut response = session.gateway.serve(&mut parts, body, &session.client, receiving).await;
    if session.draining.get() || session.watch.excess.requests() >= session.requests_max {
        if version == Version::HTTP_2 {
            session.watch.tell(Order::Finish);
        } else {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let owed = session.watch.owe();
    answering.is_whole = response.body().is_end_stream();
    Ok(response.map(|body| WatchedBody { body, owed, answering }))
}

/// A request from its head to the end of its answer. One that is dropped before was given up by its client.
struct Answering {
    in_flight: InFlight,
    is_whole: bool,
}

impl Answering {
    fn begin(watch: &Rc<Watch>, version: Version) -> Self {
        Self { in_flight: watch.begin(version), is_whole: false }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_whole {
            self.in_flight.given_up();
        }
    }
}

/// A response's body; its request is in flight until it is dropped.
struct WatchedBody {
    body: AnswerBody,
    owed: Owed,
    answering: Answering,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        // The engine asks for more when the client has room for it.
        self.owed.taken();
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = &frame {
            self.owed.ready();
            // What a backend cuts short is not the client's doing.
            let is_last = !matches!(frame, Some(Ok(_))) || self.body.is_end_stream();
            self.answering.is_whole |= is_last;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs hyper's tasks on the core they belong to.
#[derive(Debug, Clone, Copy)]
struct OnThisCore;

impl<F> Executor<F> for OnThisCore
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        // Ends with its connection: HTTP/2 streams are tasks of the core's LocalSet, which is dropped with the core.
        tokio::task::spawn_local(future);
    }
}
