//! One client's connection: HTTP/1.1 or HTTP/2 with prior knowledge, whichever its first bytes say.
//!
//! Promise: ends when told to, however busy or idle it is. Absent: TLS and PROXY protocol.

mod socket;

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
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use sluice_integrate::Guard;
use sluice_pipeline::{AnswerBody, Bound, Connection, Gateway};
use tokio::net::TcpStream;
use tracing::debug;

use self::socket::WatchedSocket;
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

/// Makes connections of one core.
#[derive(Clone)]
pub(crate) struct Engine {
    builder: Rc<auto::Builder<OnThisCore>>,
    gateway: Rc<Gateway>,
    draining: Rc<Cell<bool>>,
}

impl Engine {
    /// `draining` says whether connections should end after their next response.
    pub(crate) fn new(gateway: Rc<Gateway>, streams_max: u32, draining: Rc<Cell<bool>>) -> Self {
        let mut builder = auto::Builder::new(OnThisCore);
        builder.http1().max_buf_size(BUFFER_BYTES_MAX).header_read_timeout(None);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(streams_max)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Self { builder: Rc::new(builder), gateway, draining }
    }

    /// Serves a connection until it ends, or until its watch orders so.
    pub(crate) async fn serve(self, socket: TcpStream, client: Connection, watch: Rc<Watch>) {
        let gateway = Rc::clone(&self.gateway);
        let session =
            Rc::new(Session { gateway: self.gateway, draining: self.draining, client, watch: Rc::clone(&watch) });
        let service = service_fn(move |request| answer(Rc::clone(&session), request));
        let socket = WatchedSocket::new(socket, Rc::clone(&watch));
        let mut connection = pin!(self.builder.serve_connection(socket, service));
        let mut told = None;
        let ended = poll_fn(|cx| {
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
        });
        let ended = ended.await;
        if let Some(bound) = watch.excess.met() {
            gateway.tally().hit(bound);
        }
        if let Err(error) = ended {
            // The engine answers such a head by itself.
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
                gateway.tally().hit(Bound::HeadBytes);
            }
            debug!(%error, "connection of a client ended");
        }
    }
}

/// What the requests of one connection share.
struct Session {
    gateway: Rc<Gateway>,
    draining: Rc<Cell<bool>>,
    client: Connection,
    watch: Rc<Watch>,
}

async fn answer(session: Rc<Session>, request: Request<Incoming>) -> Result<Response<WatchedBody>, Infallible> {
    let version = request.version();
    let mut answering = Answering::begin(&session.watch, version);
    let receiving = (!request.body().is_end_stream()).then(|| Box::new(session.watch.receive()) as Guard);
    let (mut parts, body) = request.into_parts();
    let mut response = session.gateway.serve(&mut parts, body, &session.client, receiving).await;
    if session.draining.get() {
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
