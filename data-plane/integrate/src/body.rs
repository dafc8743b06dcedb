//! The body of a backend's answer on its way to the client.
//!
//! Promise: a body that was there with its head is one slice of what was read, and its connection is idle again before
//! the client sees the answer; a longer one streams, and never is more of it held than one read. A body that ends too
//! early is an error, never a shorter body. Its end does not wait for the end of the request: see `remainder`.
//! Dropping it closes its connection.
//! Absent: boxed trait objects; the only allocation is that of a streaming body.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::chunked::{Chunked, Decoded};
use crate::conn::Conn;
use crate::fault::{Fault, FaultKind};
use crate::pool::Backend;
use crate::remainder::{Ended, Remainder};
use crate::response::Framing;
use crate::stall::Stall;

/// Room made for a read of a body of unknown length, in bytes: it doubles while reads fill it.
const ROOM_BYTES_MIN: usize = 8 * 1024;
/// Most room made for a read, in bytes: a body of 100 KB then takes two reads.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// An answer's body. Its errors are faults of the backend, or of the client's upload that was still running.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing, or nothing more.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// What still comes from a backend.
    Streaming(Box<Download>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let body = self.get_mut();
        match body {
            Body::Empty => Poll::Ready(None),
            Body::Full(_) => match std::mem::take(body) {
                Body::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::Streaming(download) => {
                let frame = ready!(download.poll_frame(cx));
                if let Some(Err(fault)) = &frame {
                    download.backend.failed(fault.kind);
                }
                if frame.as_ref().is_none_or(|frame| frame.is_err()) || download.is_over() {
                    *body = Body::Empty;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::Streaming(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Streaming(download) => download.size_hint(),
        }
    }
}

/// The part of a body that has not come yet, with the connection that it comes from.
#[derive(Debug)]
pub struct Download {
    /// `None` once the exchange is over.
    conn: Option<Conn>,
    backend: Rc<Backend>,
    framing: Framing,
    /// Data that was read ahead.
    held: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// The rest of the request: the backend answered before it was whole, and still takes it.
    upload: Option<Box<Remainder>>,
    /// The request was given up because the client did not send it in time.
    client_was_late: bool,
    persistent: bool,
    /// Room for the next read of a body of unknown length, in bytes.
    room: usize,
    stall: Stall,
}

/// What a response's body needs to begin.
pub(crate) struct Beginning {
    pub(crate) conn: Conn,
    pub(crate) backend: Rc<Backend>,
    pub(crate) framing: Framing,
    pub(crate) persistent: bool,
    /// What of the request has not been sent yet, and may still be.
    pub(crate) upload: Option<Box<Remainder>>,
    pub(crate) stall_after: Duration,
}

impl Beginning {
    /// Takes what has come already; when that is all, the connection goes back at once.
    ///
    /// # Errors
    /// `BadResponse` when the body's first chunk is not one.
    pub(crate) fn body(mut self) -> Result<Body, Fault> {
        let first = decode(&mut self.framing, &mut self.conn.buffer)?;
        let whole = is_whole(&mut self.framing, &mut self.conn.buffer);
        Ok(match first {
            Decoded::End(None) => self.ended(Body::Empty),
            Decoded::Data(data) if whole => self.ended(Body::Full(data)),
            Decoded::Data(data) => self.streaming(Some(data), None),
            Decoded::End(trailers) => self.streaming(None, trailers),
            Decoded::NeedsMore => self.streaming(None, None),
        })
    }

    fn ended(self, body: Body) -> Body {
        part(&self.backend, self.conn, self.upload, self.persistent);
        body
    }

    fn streaming(self, held: Option<Bytes>, trailers: Option<HeaderMap>) -> Body {
        Body::Streaming(Box::new(Download {
            conn: Some(self.conn),
            backend: self.backend,
            framing: self.framing,
            held,
            trailers,
            upload: self.upload,
            client_was_late: false,
            persistent: self.persistent,
            room: ROOM_BYTES_MIN,
            stall: Stall::new(self.stall_after),
        }))
    }
}

impl Download {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.poll_upload(cx)?;
        if let Some(data) = self.held.take() {
            return Poll::Ready(Some(Ok(self.hand_on(data))));
        }
        loop {
            let Some(conn) = &mut self.conn else {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            };
            match decode(&mut self.framing, &mut conn.buffer)? {
                Decoded::Data(data) => {
                    self.stall.moved();
                    return Poll::Ready(Some(Ok(self.hand_on(data))));
                }
                Decoded::End(trailers) => {
                    self.trailers = self.trailers.take().or(trailers);
                    self.end();
                }
                Decoded::NeedsMore => {
                    if let Err(fault) = ready!(self.poll_more(cx)) {
                        return Poll::Ready(Some(Err(fault)));
                    }
                }
            }
        }
    }

    /// Gives data to the client. The last of it ends the exchange, because the HTTP engine does not ask again after it.
    fn hand_on(&mut self, data: Bytes) -> Frame<Bytes> {
        if self.conn.as_mut().is_none_or(|conn| is_whole(&mut self.framing, &mut conn.buffer)) {
            self.end();
        }
        Frame::data(data)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let (Some(upload), Some(conn)) = (&mut self.upload, &mut self.conn) else {
            return Ok(());
        };
        let written = upload.written();
        let sent = upload.poll_send(cx, &mut conn.io);
        if upload.written() > written {
            self.stall.moved();
        }
        match sent {
            Poll::Pending => {}
            Poll::Ready(Ended::Taken) => self.upload = None,
            Poll::Ready(Ended::ClientFailed(fault)) => return Err(fault),
            Poll::Ready(Ended::Refused | Ended::Late) => {
                // The backend gets no more of the request, and may still send the rest of its response.
                self.client_was_late = upload.waits_for_client();
                self.upload = None;
                self.persistent = false;
            }
        }
        Ok(())
    }

    /// Reads once.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(conn) = &mut self.conn else { return Poll::Ready(Ok(())) };
        let room = match self.framing {
            Framing::Length { left } => usize::try_from(left).unwrap_or(usize::MAX).clamp(1, ROOM_BYTES_MAX),
            Framing::Chunked(_) | Framing::UntilClose => self.room,
        };
        match conn.poll_read(cx, room) {
            Poll::Pending => self.poll_stall(cx).map(Err),
            Poll::Ready(Ok(0)) if self.framing == Framing::UntilClose => {
                self.framing = Framing::Length { left: 0 };
                self.persistent = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Fault::new(FaultKind::Reset, "connection closed inside the body"))),
            Poll::Ready(Err(error)) => {
                Poll::Ready(Err(Fault::new(FaultKind::Reset, format!("connection failed inside the body: {error}"))))
            }
            Poll::Ready(Ok(count)) => {
                if count >= self.room {
                    self.room = (self.room * 2).min(ROOM_BYTES_MAX);
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        ready!(self.stall.poll(cx));
        let for_client = self.upload.as_ref().map_or(self.client_was_late, |upload| upload.waits_for_client());
        Poll::Ready(if for_client {
            Fault::new(FaultKind::ClientStalled, "client stopped sending its request body")
        } else {
            Fault::new(FaultKind::Stalled, "backend stopped sending its response body")
        })
    }

    fn end(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            // What a long body was read into is not kept while the connection is idle.
            if conn.buffer.is_empty() {
                conn.buffer = BytesMut::new();
            }
            part(&self.backend, conn, self.upload.take(), self.persistent);
        }
    }

    fn is_over(&self) -> bool {
        self.conn.is_none() && self.held.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        match self.framing {
            Framing::Length { left } => SizeHint::with_exact(held.saturating_add(left)),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::new(),
        }
    }
}

/// Lets go of the connection of an exchange whose answer is whole. What follows the answer would be taken for the next
/// one (RFC 9112, section 9.3); a request that is not whole is finished first, where the backend keeps the connection.
fn part(backend: &Rc<Backend>, conn: Conn, upload: Option<Box<Remainder>>, persistent: bool) {
    if !persistent || !conn.buffer.is_empty() {
        return;
    }
    match upload {
        None => backend.put(conn),
        Some(upload) => upload.outlive_its_answer(Rc::clone(backend), conn),
    }
}

/// Takes the next piece of the body out of what was read.
fn decode(framing: &mut Framing, buffer: &mut BytesMut) -> Result<Decoded, Fault> {
    match framing {
        Framing::Length { left: 0 } => Ok(Decoded::End(None)),
        Framing::Chunked(chunked) => chunked.decode(buffer).map_err(|why| Fault::new(FaultKind::BadResponse, why)),
        Framing::Length { .. } | Framing::UntilClose if buffer.is_empty() => Ok(Decoded::NeedsMore),
        Framing::UntilClose => Ok(Decoded::Data(buffer.split().freeze())),
        Framing::Length { left } => {
            let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            *left -= taken as u64;
            Ok(Decoded::Data(buffer.split_to(taken).freeze()))
        }
    }
}

/// Whether nothing of the body is missing. An end of chunks that is there already, and bare, is taken.
fn is_whole(framing: &mut Framing, buffer: &mut BytesMut) -> bool {
    const BARE_END: &[u8] = b"\r\n0\r\n\r\n";
    match framing {
        Framing::Length { left } => *left == 0,
        Framing::Chunked(chunked) => {
            if *chunked == Chunked::DataEnd && buffer.starts_with(BARE_END) {
                buffer.advance(BARE_END.len());
                *chunked = Chunked::Ended;
            }
            *chunked == Chunked::Ended
        }
        Framing::UntilClose => false,
    }
}
