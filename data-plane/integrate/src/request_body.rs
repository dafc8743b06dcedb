//! The body of a request on its way to a backend.
//!
//! Promise: a streamed body is never held but for the frame under way, and never exceeds its limit; over HTTP/2 the rest of
//! one that is wanted no longer is read all the same (`discard`).
//! Absent: trailers. AWS drops `Trailer` and `TE`, so request trailers end here (RFC 9110, section 6.5.1 allows it).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::discard::discard;
use crate::fault::{Fault, FaultKind};

/// The body of a request.
#[derive(Debug)]
pub struct RequestBody(Source);

/// What is dropped when a body that streams is wanted no longer, at its end or before.
pub type Guard = Box<dyn fmt::Debug>;

#[derive(Debug)]
enum Source {
    Empty,
    Full(Bytes),
    Stream { stream: Stream, left: u64 },
}

/// A body that streams, until it is dropped.
#[derive(Debug)]
struct Stream {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    guard: Option<Guard>,
    rest: Rest,
}

/// What becomes of what is left of a stream when it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The HTTP engine ends the connection for it.
    Left,
    /// It is read and thrown away.
    Discarded,
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(Source::Empty)
    }

    /// A body that is held whole; it can be sent again.
    pub fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Source::Full(bytes)) }
    }

    /// A body that is passed on as it comes, up to `bytes_max` bytes; it may outlive its request's answer, `guard` with it.
    ///
    /// # Errors
    /// `BodyTooLarge` when the length that the client announced is larger already.
    pub fn stream(incoming: Incoming, bytes_max: u64, guard: Option<Guard>) -> Result<Self, Fault> {
        Self::streaming(incoming, bytes_max, guard, Rest::Left)
    }

    /// The same of a request over HTTP/2. Within a [`LocalSet`](tokio::task::LocalSet): where it is dropped before its end,
    /// by the error too, what is left of it is read there and thrown away.
    ///
    /// # Errors
    /// `BodyTooLarge` when the length that the client announced is larger already.
    pub fn multiplexed(incoming: Incoming, bytes_max: u64, guard: Option<Guard>) -> Result<Self, Fault> {
        Self::streaming(incoming, bytes_max, guard, Rest::Discarded)
    }

    fn streaming(incoming: Incoming, bytes_max: u64, guard: Option<Guard>, rest: Rest) -> Result<Self, Fault> {
        if incoming.is_end_stream() {
            return Ok(Self::empty());
        }
        let announced = incoming.size_hint().lower();
        let stream = Stream { incoming: Some(incoming), guard, rest };
        if announced > bytes_max {
            return Err(Fault::before_sending(FaultKind::BodyTooLarge, "announced request body is above the limit"));
        }
        Ok(Self(Source::Stream { stream, left: bytes_max }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, Source::Empty)
    }

    /// Whether the body can be sent from its start again after some of it was taken.
    pub(crate) fn as_replayable(&self) -> Option<&Bytes> {
        match &self.0 {
            Source::Full(bytes) => Some(bytes),
            Source::Empty | Source::Stream { .. } => None,
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, Source::Stream { .. })
    }

    /// Its length in bytes, where it is known beforehand.
    pub fn exact_len(&self) -> Option<u64> {
        match &self.0 {
            Source::Empty => Some(0),
            Source::Full(bytes) => Some(bytes.len() as u64),
            Source::Stream { stream, .. } => stream.incoming.as_ref()?.size_hint().exact(),
        }
    }

    /// The next piece of a stream. Only streams are polled.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let Source::Stream { stream: Stream { incoming: Some(incoming), .. }, left } = &mut self.0 else {
            return Poll::Ready(None);
        };
        loop {
            let Some(frame) = ready!(Pin::new(&mut *incoming).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            let frame = frame.map_err(|error| Fault::new(FaultKind::ClientGone, error.to_string()));
            let Ok(data) = frame?.into_data() else { continue };
            if !data.has_remaining() {
                continue;
            }
            let taken = data.remaining() as u64;
            if taken > *left {
                return Poll::Ready(Some(Err(Fault::new(FaultKind::BodyTooLarge, "request body is above the limit"))));
            }
            *left -= taken;
            return Poll::Ready(Some(Ok(data)));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.rest == Rest::Discarded
            && let Some(incoming) = self.incoming.take_if(|incoming| !incoming.is_end_stream())
        {
            discard(incoming, self.guard.take());
        }
    }
}
