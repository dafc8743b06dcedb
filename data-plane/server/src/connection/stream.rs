//! What a client's requests come over: its socket, or TLS on it.
//!
//! One type for both, so that the engine is compiled once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::socket::WatchedSocket;

/// A client's bytes, decrypted.
#[derive(Debug)]
pub(crate) struct ClientStream {
    carrier: Carrier,
    /// Read already, and to be read again.
    unread: Bytes,
}

#[derive(Debug)]
enum Carrier {
    Plain(WatchedSocket),
    Tls(Box<TlsStream<WatchedSocket>>),
}

impl ClientStream {
    pub(crate) fn plain(socket: WatchedSocket) -> Self {
        Self { carrier: Carrier::Plain(socket), unread: Bytes::new() }
    }

    pub(crate) fn tls(stream: TlsStream<WatchedSocket>) -> Self {
        Self { carrier: Carrier::Tls(Box::new(stream)), unread: Bytes::new() }
    }

    /// Takes back what was read of it; INVARIANT: everything that was put back before has been read again.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        debug_assert!(self.unread.is_empty(), "bytes would be lost");
        self.unread = bytes;
    }

    /// Whether something was put back and not read again.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Waits until the client has sent something, or ended.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let socket = match &self.carrier {
            Carrier::Plain(socket) => socket,
            Carrier::Tls(tls) => tls.get_ref().0,
        };
        socket.poll_readable(cx)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            let count = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread.split_to(count));
            if this.unread.is_empty() {
                // What it was part of may go.
                this.unread = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut this.carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Carrier::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Carrier::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Carrier::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    /// Both do.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Carrier::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Carrier::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
