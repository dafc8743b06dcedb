//! A request on its way out: head, then body, as much at a time as the backend takes.
//!
//! Promise: head and first piece of body leave in one system call where both are there; a large piece is never
//! copied; an upload can say whether it may be sent once more (RFC 9112, section 9.3.1).
//! Absent: the connection. An upload outlives the connection it was tried on.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

use crate::fault::{Fault, FaultKind};
use crate::request_body::RequestBody;

/// Pieces up to this size, in bytes, are copied behind the head or chunk size, so that TLS makes one record of them;
/// larger ones leave by `writev`.
const COPIED_PIECE_BYTES_MAX: usize = 2_048;

/// How the body's end is marked (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length { left: u64 },
    Chunked,
}

/// Why an upload stopped.
#[derive(Debug)]
pub(crate) enum UploadStopped {
    /// The client's side of it.
    Client(Fault),
    /// The backend takes no more.
    Backend(io::Error),
}

/// A request being written.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Head, chunk sizes and small pieces; `wire[sent..]` is still to be written.
    wire: Vec<u8>,
    sent: usize,
    /// A large piece, to be written after `wire`.
    piece: Bytes,
    framing: Framing,
    /// The end of a chunk's data is to be written before anything else.
    chunk_open: bool,
    body: RequestBody,
    body_ended: bool,
    complete: bool,
    head_bytes: usize,
    written: u64,
    /// The last poll found nothing to send and waited for the client.
    waits_for_client: bool,
}

impl Upload {
    /// Starts with a head that lacks only its framing fields and the empty line.
    pub(crate) fn new(mut head: Vec<u8>, body: RequestBody, length_expected: LengthExpected) -> Self {
        let framing = match body.exact_len() {
            Some(0) => {
                if length_expected == LengthExpected::Yes {
                    head.extend_from_slice(b"content-length: 0\r\n");
                }
                Framing::Length { left: 0 }
            }
            Some(length) => {
                // Writing to a Vec cannot fail.
                let _ = write!(head, "content-length: {length}\r\n");
                Framing::Length { left: length }
            }
            None => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
        };
        head.extend_from_slice(b"\r\n");
        let head_bytes = head.len();
        let mut upload = Self {
            wire: head,
            sent: 0,
            piece: Bytes::new(),
            framing,
            chunk_open: false,
            body_ended: body.is_empty(),
            body,
            complete: false,
            head_bytes,
            written: 0,
            waits_for_client: false,
        };
        upload.begin_replayable();
        upload
    }

    /// Whether everything was handed to the connection.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the client owes nothing more of its body.
    pub(crate) fn has_body_whole(&self) -> bool {
        self.body_ended
    }

    /// Bytes that reached a connection since the start or the last [`Self::rewind`].
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether what holds it up is the client's side.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Whether it can be sent from its first byte again.
    pub(crate) fn is_replayable(&self) -> bool {
        self.written == 0 || !self.body.is_stream()
    }

    /// Makes the next poll begin with the first byte. Only for a replayable upload.
    pub(crate) fn rewind(&mut self) {
        debug_assert!(self.is_replayable(), "callers ask first");
        self.complete = false;
        self.sent = 0;
        if self.written > 0 {
            self.written = 0;
            self.wire.truncate(self.head_bytes);
            self.begin_replayable();
        }
    }

    fn begin_replayable(&mut self) {
        let Some(bytes) = self.body.as_replayable() else { return };
        self.body_ended = true;
        if bytes.len() <= COPIED_PIECE_BYTES_MAX {
            self.wire.extend_from_slice(bytes);
        } else {
            self.piece = bytes.clone();
        }
    }

    /// Writes until everything is written, or the connection or the client has to be waited for.
    pub(crate) fn poll_send<W>(&mut self, cx: &mut Context<'_>, io: &mut W) -> Poll<Result<(), UploadStopped>>
    where
        W: AsyncWrite + Unpin,
    {
        if self.complete {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.waits_for_client = false;
            let filled = self.poll_fill(cx).map_err(UploadStopped::Client)?;
            if self.has_bytes() {
                ready!(self.poll_write_some(cx, io)).map_err(UploadStopped::Backend)?;
                continue;
            }
            let flushed = Pin::new(&mut *io).poll_flush(cx).map_err(UploadStopped::Backend)?;
            if filled.is_pending() {
                self.waits_for_client = true;
                return Poll::Pending;
            }
            ready!(flushed);
            self.complete = true;
            return Poll::Ready(Ok(()));
        }
    }

    fn has_bytes(&self) -> bool {
        self.sent < self.wire.len() || !self.piece.is_empty()
    }

    /// Takes pieces of the body while there is room for them. `Pending` when the client has to be waited for.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while !self.body_ended && self.piece.is_empty() && self.wire.len() - self.sent <= COPIED_PIECE_BYTES_MAX {
            if self.chunk_open {
                self.chunk_open = false;
                self.wire.extend_from_slice(b"\r\n");
            }
            match ready!(self.body.poll_data(cx)) {
                Some(piece) => self.push_piece(piece?)?,
                None => self.push_end()?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn push_piece(&mut self, piece: Bytes) -> Result<(), Fault> {
        match &mut self.framing {
            Framing::Chunked => {
                // Writing to a Vec cannot fail.
                let _ = write!(self.wire, "{:x}\r\n", piece.len());
                self.chunk_open = true;
            }
            Framing::Length { left } => {
                let Some(rest) = left.checked_sub(piece.len() as u64) else {
                    return Err(Fault::new(FaultKind::ClientGone, "request body is longer than announced"));
                };
                *left = rest;
            }
        }
        if piece.len() <= COPIED_PIECE_BYTES_MAX {
            self.wire.extend_from_slice(&piece);
        } else {
            self.piece = piece;
        }
        Ok(())
    }

    fn push_end(&mut self) -> Result<(), Fault> {
        self.body_ended = true;
        match self.framing {
            Framing::Chunked => self.wire.extend_from_slice(b"0\r\n\r\n"),
            Framing::Length { left: 0 } => {}
            Framing::Length { left } => {
                let detail = format!("request body ended {left} bytes before its announced length");
                return Err(Fault::new(FaultKind::ClientGone, detail));
            }
        }
        Ok(())
    }

    fn poll_write_some<W>(&mut self, cx: &mut Context<'_>, io: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        let unsent = &self.wire[self.sent..];
        let count = if self.piece.is_empty() {
            ready!(Pin::new(io).poll_write(cx, unsent))?
        } else {
            let parts = [IoSlice::new(unsent), IoSlice::new(&self.piece)];
            ready!(Pin::new(io).poll_write_vectored(cx, &parts))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += count as u64;
        let of_wire = count.min(unsent.len());
        self.sent += of_wire;
        self.piece.advance(count - of_wire);
        // A stream is never sent twice once some of it has left, so what was written can go.
        if self.sent == self.wire.len() && self.body.is_stream() {
            self.wire.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether an empty body is announced: RFC 9110, section 8.6 wants it of methods that give a body a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LengthExpected {
    Yes,
    No,
}

impl LengthExpected {
    pub(crate) fn of(method: &http::Method) -> Self {
        if matches!(*method, http::Method::POST | http::Method::PUT | http::Method::PATCH) {
            Self::Yes
        } else {
            Self::No
        }
    }
}
