//! One HTTP/1.1 connection to a backend, and one exchange of messages on it.
//!
//! Promise: a response that comes before the request is whole is seen at once (RFC 9112, section 9.5); interim responses
//! are read past; dropping the future of an exchange closes the connection.
//! Absent: pipelining, and passing interim responses on: the HTTP engine towards clients cannot send them.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::counters::{Counters, add, less};
use crate::fault::{Fault, FaultKind};
use crate::io::Io;
use crate::response::{Asked, Head, HeadReader};
use crate::upload::{Upload, UploadStopped};

/// Room made before a read of a head, in bytes.
const HEAD_READ_BYTES: usize = 8 * 1024;
/// Most interim responses before a final one.
const INTERIM_MAX: u32 = 16;

/// A connection that is busy with at most one exchange.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) io: Io,
    /// What was read and not yet used. Empty between exchanges.
    pub(crate) buffer: BytesMut,
    heads: HeadReader,
    /// It has carried an exchange before.
    pub(crate) reused: bool,
    /// When it was last put into the pool.
    pub(crate) idle_since: Instant,
    _open: Open,
}

/// Why an exchange has no response head.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    /// Response bytes that came before it failed.
    pub(crate) received: u64,
}

impl Conn {
    pub(crate) fn new(io: Io, open: Open) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            heads: HeadReader::default(),
            reused: false,
            idle_since: Instant::now(),
            _open: open,
        }
    }

    /// Sends what it can of `upload`, and returns the head of the final response as soon as it is there.
    pub(crate) async fn exchange(
        &mut self,
        upload: &mut Upload,
        asked: Asked,
        head_bytes_max: usize,
    ) -> Result<Head, Failed> {
        let mut attempt = Attempt { upload, refused: None, interim: 0, received: 0 };
        std::future::poll_fn(|cx| {
            let polled = self.poll_exchange(cx, &mut attempt, asked, head_bytes_max);
            polled.map_err(|fault| Failed { fault, received: attempt.received })
        })
        .await
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        attempt: &mut Attempt<'_>,
        asked: Asked,
        head_bytes_max: usize,
    ) -> Poll<Result<Head, Fault>> {
        if attempt.refused.is_none() {
            match attempt.upload.poll_send(cx, &mut self.io) {
                Poll::Ready(Err(UploadStopped::Client(fault))) => return Poll::Ready(Err(fault)),
                // The backend may have answered before it closed: what it sent is read first.
                Poll::Ready(Err(UploadStopped::Backend(error))) => attempt.refused = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            let count = match self.poll_read(cx, HEAD_READ_BYTES) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(attempt.ended(None))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(attempt.ended(Some(error)))),
                Poll::Ready(Ok(count)) => count,
            };
            attempt.received += count as u64;
            if let Some(head) = self.next_final_head(&mut attempt.interim, asked, head_bytes_max)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    fn next_final_head(&mut self, interim: &mut u32, asked: Asked, bytes_max: usize) -> Result<Option<Head>, Fault> {
        while !self.buffer.is_empty() {
            match self.heads.read(&mut self.buffer, asked, bytes_max)? {
                None => break,
                Some(Some(head)) => return Ok(Some(head)),
                Some(None) => {
                    *interim += 1;
                    if *interim > INTERIM_MAX {
                        return Err(Fault::new(FaultKind::BadResponse, "too many interim responses"));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads into the buffer's end, at least `room` bytes where so many are there.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.buffer.reserve(room);
        let read = pin!(self.io.read_buf(&mut self.buffer));
        read.poll(cx)
    }
}

struct Attempt<'a> {
    upload: &'a mut Upload,
    /// The backend took no more of the request.
    refused: Option<io::Error>,
    interim: u32,
    received: u64,
}

impl Attempt<'_> {
    fn ended(&self, error: Option<io::Error>) -> Fault {
        match error.as_ref().or(self.refused.as_ref()) {
            Some(error) => Fault::new(FaultKind::Reset, format!("connection failed before the response: {error}")),
            None => Fault::new(FaultKind::Reset, "connection closed before the response"),
        }
    }
}

/// Counts a connection for as long as it exists.
#[derive(Debug)]
pub(crate) struct Open(Rc<Counters>);

impl Open {
    pub(crate) fn new(counters: &Rc<Counters>) -> Self {
        add(&counters.open, 1);
        Self(Rc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        less(&self.0.open, 1);
    }
}
