//! From an accepted socket to a client that speaks HTTP: the PROXY header of a trusted proxy, then the TLS handshake.
//!
//! Promise: a header is read from trusted proxies only, and demanded from them where the settings say so; whom it names
//! takes the place of the peer. What a health check leaves behind, a connection without a byte, is no failure.
//! Absent: deadlines, which the connection's watch keeps, and bounds, which the core keeps.

pub(crate) mod proxy_protocol;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use sluice_pipeline::{AddressSeat, Connection, Scheme};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use self::proxy_protocol::{Malformed, SpokenFor, Step, step};
use crate::connection::{ClientStream, Spoken, WatchedSocket};
use crate::spread::Place;
use crate::tls::ALPN_HTTP2;
use crate::watch::Watch;

/// Bytes in which the end of a line is looked for at once; a line of version 1 fits.
const PEEKED_BYTES: usize = 128;

/// Why a connection ended before its first request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryFailure {
    /// It was closed without a byte.
    #[error("closed without a byte")]
    Silent,
    /// Whom the proxy spoke for opens connections too fast.
    #[error("refused by the rate of connections")]
    Refused,
    /// A trusted proxy did not begin with a PROXY header.
    #[error(transparent)]
    Proxy(#[from] Malformed),
    /// The PROXY header broke off.
    #[error("the PROXY header broke off: {0}")]
    BrokeOff(#[source] io::Error),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
}

/// Whether a connection begins with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// It must.
    Required,
    /// What looks like one is no request.
    Unknown,
}

/// A connection that was accepted and let in: plain data, which may go to another core.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) caller: Caller,
    pub(crate) header: ProxyHeader,
    /// Of the caller's address; trusted proxies need none.
    pub(crate) seat: Option<AddressSeat>,
    pub(crate) place: Place,
}

/// A client that may send its first request.
pub(crate) struct Entered {
    pub(crate) seat: Option<AddressSeat>,
    pub(crate) stream: ClientStream,
    pub(crate) spoken: Spoken,
    pub(crate) caller: Caller,
}

/// Whom a connection is from, and what it called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) scheme: Scheme,
}

impl Caller {
    pub(crate) fn connection(self) -> Connection {
        Connection::new(self.address, self.port, self.scheme)
    }

    /// Takes the place of the proxy that spoke for it.
    fn named(self, source: SocketAddr, destination: SocketAddr) -> Self {
        Self { address: source.ip().to_canonical(), port: destination.port(), scheme: self.scheme }
    }
}

/// Reads the PROXY header with which a trusted proxy begins; leaves what follows.
///
/// # Errors
/// [`EntryFailure`], never `Tls`. Dropping the future loses what was read of the header.
pub(crate) async fn proxy_header(socket: &mut TcpStream, proxy: Caller) -> Result<Caller, EntryFailure> {
    let mut header = Vec::with_capacity(PEEKED_BYTES);
    loop {
        let room = match step(&header)? {
            Step::Done(SpokenFor::Itself) => return Ok(proxy),
            Step::Done(SpokenFor::Client { source, destination }) => return Ok(proxy.named(source, destination)),
            Step::Read(room) => room,
            Step::ReadLine(room) => line_or_less(socket, room).await.map_err(EntryFailure::BrokeOff)?,
        };
        match (&mut *socket).take(room as u64).read_buf(&mut header).await {
            Ok(0) if header.is_empty() => return Err(EntryFailure::Silent),
            Ok(0) => return Err(EntryFailure::BrokeOff(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(EntryFailure::BrokeOff(error)),
        }
    }
}

/// How many bytes may be read that do not go past the end of a line.
async fn line_or_less(socket: &TcpStream, room: usize) -> io::Result<usize> {
    let mut peeked = [0; PEEKED_BYTES];
    let count = socket.peek(&mut peeked[..room.min(PEEKED_BYTES)]).await?;
    let line = peeked[..count].iter().position(|byte| *byte == b'\n');
    // At the end of the connection too something is read, and there is nothing.
    Ok(line.map_or(count, |end| end + 1).max(1))
}

/// Makes the TLS handshake, and says what was agreed to be spoken.
///
/// # Errors
/// [`EntryFailure::Silent`] and `Tls`; the client has been told what was wrong.
pub(crate) async fn handshake(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
    watch: &Rc<Watch>,
) -> Result<(ClientStream, Spoken), EntryFailure> {
    let socket = WatchedSocket::new(socket, Rc::clone(watch));
    let stream = acceptor.accept(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if !watch.is_unread() => EntryFailure::Silent,
        _ => EntryFailure::Tls(error),
    })?;
    // RFC 9113, section 3.3: HTTP/2 over TLS is agreed on by ALPN.
    let spoken = if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) { Spoken::Http2 } else { Spoken::Http1 };
    Ok((ClientStream::tls(stream), spoken))
}
