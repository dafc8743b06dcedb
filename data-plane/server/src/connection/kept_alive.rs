//! A connection that speaks HTTP/1: kept alive, and laid to rest between requests that are far apart.
//!
//! The engine keeps a buffer of 8 KiB for reading, one for writing and its own state for as long as it has the connection,
//! which is most of what an idle one costs. Promise: one that has been idle for a while is taken from the engine and holds
//! its socket and what its session needs; its next byte gives it to a new engine, and no byte is lost between the two.
//! A connection rests only where the engine itself says that nothing is under way. Absent: rest behind a request with a
//! body, for only the engine knows where that ended; and for HTTP/2.
//!
//! What is left of one that rests is its task, its socket with its registration, its watch and the text of its addresses;
//! over TLS also the keys and the 4 KiB in which rustls puts records together. To go below that: rustls would have to give
//! its buffer back between records, or the kernel to take the keys (kTLS); to rest behind bodies, the integration would
//! have to say that it read a body to its end, rather than that it wants no more of it; to rest over HTTP/2, `h2` would
//! have to give back its buffers and its tables of header compression, which both sides keep for the connection's life.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use futures_util::FutureExt as _;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

use super::{ClientStream, Session, answer};
use crate::watch::Order;

/// What became of a connection that an engine had.
enum Left {
    /// It is over.
    Ended,
    /// It has nothing to do for now.
    Resting(ClientStream),
}

/// What a resting connection was woken by.
enum Woken {
    /// Bytes, or the end, of its client.
    Client,
    /// An order.
    Order(Order),
}

/// Serves a connection to its end.
pub(super) async fn serve(builder: &Builder, mut stream: ClientStream, session: &Rc<Session>) -> hyper::Result<()> {
    loop {
        // Boxed, so that one that rests holds none of it.
        stream = match Box::pin(engaged(builder, stream, session)).await? {
            Left::Ended => return Ok(()),
            Left::Resting(stream) => stream,
        };
        if stream.has_unread() {
            continue;
        }
        let tally = session.gateway.tally();
        tally.rests.add(1);
        let woken = rest(&stream, session).await;
        tally.wakes.add(1);
        match woken {
            Woken::Client => {}
            Woken::Order(Order::Drop) => return Ok(()),
            Woken::Order(_) => {
                // How it ends is the client's affair.
                drop(session.watch.unless_dropped(stream.shutdown()).await);
                return Ok(());
            }
        }
    }
}

/// Lets an engine have the connection until it ends or should rest.
async fn engaged(builder: &Builder, stream: ClientStream, session: &Rc<Session>) -> hyper::Result<Left> {
    let (watch, shared) = (&session.watch, Rc::clone(session));
    let service = service_fn(move |request| answer(Rc::clone(&shared), request));
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut told = None;
    let ended = poll_fn(|cx| {
        watch.excess.turn();
        let order = watch.order();
        if told.is_none() {
            watch.wake_by(cx.waker());
        }
        if order == Order::Drop {
            return Poll::Ready(Some(Ok(())));
        }
        if order == Order::Finish && told != Some(order) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        told = Some(order);
        if watch.takes_rest() {
            return Poll::Ready(None);
        }
        Pin::new(&mut connection).poll(cx).map(Some)
    });
    if let Some(ended) = ended.await {
        return ended.map(|()| Left::Ended);
    }
    // An engine without anything under way is done at once when it is asked to end.
    Pin::new(&mut connection).graceful_shutdown();
    let mut ending = pin!(connection.without_shutdown());
    if let Some(parts) = ending.as_mut().now_or_never() {
        let parts = parts?;
        let mut stream = parts.io.into_inner();
        stream.put_back(parts.read_buf);
        return Ok(Left::Resting(stream));
    }
    // Something was, after all: it is the last.
    if let Some(parts) = watch.unless_dropped(ending).await {
        let mut stream = parts?.io.into_inner();
        drop(watch.unless_dropped(stream.shutdown()).await);
    }
    Ok(Left::Ended)
}

async fn rest(stream: &ClientStream, session: &Session) -> Woken {
    poll_fn(|cx| {
        session.watch.wake_by(cx.waker());
        match session.watch.order() {
            Order::Serve => stream.poll_readable(cx).map(|()| Woken::Client),
            order => Poll::Ready(Woken::Order(order)),
        }
    })
    .await
}
