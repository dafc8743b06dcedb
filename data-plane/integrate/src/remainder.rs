//! The rest of a request that its answer has overtaken.
//!
//! A backend may answer before it has read all of a request and still take the rest, as it must if it wants the connection
//! to be used again (RFC 9112, section 9.3). The client has its answer by then, or gets it meanwhile.
//! Promise: the rest goes on as the client sends it; it is given up when the backend closes, or says more than its answer,
//! when the client gives up, or when its time is over, however busy it is. The client's body is let go of then: its HTTP
//! engine ends the connection, and over HTTP/2 what still comes is thrown away (`discard`). A core has so many at once and
//! no more, and can wait for the end of all of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use crate::conn::Conn;
use crate::counters::{Counters, add};
use crate::fault::Fault;
use crate::pool::Backend;
use crate::settings::UpstreamSettings;
use crate::upload::{Upload, UploadStopped};

/// Room for what a backend must not say, in bytes.
const WATCH_BYTES: usize = 16;

/// The remainders of one core.
#[derive(Debug)]
pub(crate) struct Remainders {
    settings: UpstreamSettings,
    counters: Rc<Counters>,
    under_way: Rc<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    count: Cell<usize>,
    none: Notify,
}

/// One of them; it has its place until it is dropped.
#[derive(Debug)]
pub(crate) struct Remainder {
    upload: Upload,
    time: Pin<Box<Sleep>>,
    _place: Place,
}

#[derive(Debug)]
struct Place(Rc<UnderWay>);

/// How a remainder ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The backend has all of it.
    Taken,
    /// The backend takes no more.
    Refused,
    /// The client's side of it failed.
    ClientFailed(Fault),
    /// Its time is over.
    Late,
}

impl Remainders {
    /// None is under way.
    pub(crate) fn new(settings: UpstreamSettings, counters: Rc<Counters>) -> Self {
        Self { settings, counters, under_way: Rc::default() }
    }

    /// Takes up what is left of `upload`, whose answer begins now. None when there are enough; that is counted.
    pub(crate) fn begin(&self, upload: Upload) -> Option<Box<Remainder>> {
        let count = &self.under_way.count;
        if count.get() >= self.settings.remainders_max {
            add(&self.counters.remainders_refused, 1);
            return None;
        }
        count.set(count.get() + 1);
        let place = Place(Rc::clone(&self.under_way));
        Some(Box::new(Remainder { upload, time: Box::pin(sleep(self.settings.remainder_within)), _place: place }))
    }

    /// Waits until none is under way. Cancel-safe.
    pub(crate) async fn none(&self) {
        // One thread: nothing can end between reading the count and beginning to wait.
        while self.under_way.count.get() > 0 {
            self.under_way.none.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let UnderWay { count, none } = &*self.0;
        count.set(count.get() - 1);
        if count.get() == 0 {
            none.notify_waiters();
        }
    }
}

impl Remainder {
    /// Writes what it can. Ready when nothing more is to be written.
    pub(crate) fn poll_send<W>(&mut self, cx: &mut Context<'_>, io: &mut W) -> Poll<Ended>
    where
        W: AsyncWrite + Unpin,
    {
        match self.upload.poll_send(cx, io) {
            Poll::Ready(Ok(())) => Poll::Ready(Ended::Taken),
            Poll::Ready(Err(UploadStopped::Client(fault))) => Poll::Ready(Ended::ClientFailed(fault)),
            Poll::Ready(Err(UploadStopped::Backend(_))) => Poll::Ready(Ended::Refused),
            Poll::Pending => self.time.as_mut().poll(cx).map(|()| Ended::Late),
        }
    }

    /// Bytes of the request that were written.
    pub(crate) fn written(&self) -> u64 {
        self.upload.written()
    }

    /// Whether what holds it up is the client's side.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.upload.waits_for_client()
    }

    /// Goes on after the answer, beside whatever the core does next, and keeps the connection if all of it was taken.
    pub(crate) fn outlive_its_answer(mut self: Box<Self>, backend: Rc<Backend>, mut conn: Conn) {
        // Ends within its time; `Remainders` counts it, and `none` waits for it.
        tokio::task::spawn_local(async move {
            if let Ended::Taken = poll_fn(|cx| self.poll_alone(cx, &mut conn)).await {
                backend.put(conn);
            }
        });
    }

    fn poll_alone(&mut self, cx: &mut Context<'_>, conn: &mut Conn) -> Poll<Ended> {
        if let Poll::Ready(ended) = self.poll_send(cx, &mut conn.io) {
            return Poll::Ready(ended);
        }
        // Its answer was whole: an end, and anything else it says, ends the exchange.
        conn.poll_read(cx, WATCH_BYTES).map(|_| Ended::Refused)
    }
}
