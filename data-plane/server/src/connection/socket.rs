//! A client's socket, telling the connection's watch what happens on it: under TLS, where there is some.
//!
//! Promise: adds a store or two to each call and no copy. A client that always has more to say lets others go first. A
//! connection is closed so that its client can read the last response: this side first, and the other only when the client
//! has ended it too, or has had its time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::excess::Turn;
use crate::watch::Watch;

/// Bytes that are read at once to be thrown away.
const DISCARDED_BYTES: usize = 8 * 1024;

/// A socket with its watch.
#[derive(Debug)]
pub(crate) struct WatchedSocket {
    socket: TcpStream,
    watch: Rc<Watch>,
    ended: bool,
}

impl WatchedSocket {
    pub(crate) fn new(socket: TcpStream, watch: Rc<Watch>) -> Self {
        Self { socket, watch, ended: false }
    }

    /// Waits until there is something to read, be it the end.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_read_ready(cx).map(drop)
    }

    /// Throws away what the client still sends, until it ends its side too. The watch ends the wait.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; DISCARDED_BYTES];
        loop {
            let mut read = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.watch.lingers(),
                // A reset is an end too.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Pending => self.watch.blocked(),
            Poll::Ready(Ok(count)) => self.watch.wrote(*count),
            Poll::Ready(Err(_)) => {}
        }
        outcome
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watch.excess.read() == Turn::IsOver {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.read();
        }
        outcome
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// RFC 9112, section 9.6: a socket that is closed with bytes unread resets the connection, and the client loses the
    /// response that it has not read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.ended = true;
            if !self.watch.is_unread() {
                return Poll::Ready(Ok(()));
            }
            self.watch.lingers();
        }
        self.poll_discard(cx)
    }
}
