//! A byte stream between two nodes, with or without TLS, and what is known of its other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use crate::{OperatorCertificate, Peer, revoked::Farewell};

/// What is known of the other end of a connection, before any call. A request extension under tonic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionPeer {
    /// Its address.
    pub address: SocketAddr,
    /// How it has proved who it is.
    pub proof: Proof,
    /// Ends the connection of a caller that is refused for good.
    pub(crate) farewell: Farewell,
}

impl ConnectionPeer {
    /// Of a caller at `address` who has proved that.
    pub fn new(address: SocketAddr, proof: Proof) -> Self {
        Self { address, proof, farewell: Farewell::default() }
    }
}

/// How the other end of a connection has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: no TLS. What it states in metadata is believed.
    Plaintext,
    /// TLS without a certificate of its own.
    NoCertificate,
    /// A certificate of a node of this cluster.
    Certificate(Peer),
    /// A certificate of an operator of this cluster, who may have been deleted since.
    Operator(OperatorCertificate),
}

/// A connection, made by the `Dialer` or taken by the `Listener`.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: ConnectionPeer,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream, address: SocketAddr) -> Self {
        Self { stream: Stream::Plain(stream), peer: ConnectionPeer::new(address, Proof::Plaintext) }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, peer: ConnectionPeer) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), peer }
    }

    /// What is known of the other end.
    pub fn peer(&self) -> &ConnectionPeer {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionPeer;

    fn connect_info(&self) -> ConnectionPeer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.peer.farewell.is_over() {
            // Nothing read is the end.
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_caller_that_was_refused_for_good_has_a_while_to_hear_it_and_is_heard_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut caller = TcpStream::connect(address).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let mut connection = Connection::plain(stream, from);
        connection.peer().farewell.say();
        let mut read = [0; 8];
        caller.write_all(b"while").await.unwrap();
        assert_eq!(connection.read(&mut read).await.unwrap(), 5);
        connection.write_all(b"refused").await.unwrap();
        caller.read_exact(&mut read[..7]).await.unwrap();
        assert_eq!(&read[..7], b"refused");
        loop {
            caller.write_all(b"x").await.unwrap();
            if connection.read(&mut read).await.unwrap() == 0 {
                break;
            }
        }
    }
}
