//! Where a core accepts, and what is known of a connection that it accepted.
//!
//! Promise: no port is served before another. Absent: what becomes of a connection.

use std::io;
use std::net::TcpListener as StdListener;

use sluice_pipeline::Scheme;
use tokio::net::{TcpListener, TcpStream};

use crate::entry::Caller;

/// Where a core accepts.
pub(super) struct Listeners {
    http: Listener,
    https: Option<Listener>,
}

struct Listener {
    socket: TcpListener,
    port: u16,
    scheme: Scheme,
}

/// A connection that was accepted, and who called.
pub(super) type Accepted = (TcpStream, Caller);

impl Listeners {
    pub(super) fn of(http: StdListener, https: Option<StdListener>) -> io::Result<Self> {
        let listener = |socket: StdListener, scheme| {
            let port = socket.local_addr()?.port();
            Ok::<_, io::Error>(Listener { socket: TcpListener::from_std(socket)?, port, scheme })
        };
        let https = https.map(|socket| listener(socket, Scheme::Https)).transpose()?;
        Ok(Self { http: listener(http, Scheme::Http)?, https })
    }

    /// The next connection on any of them. Cancel-safe: one that is not taken stays in its queue.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.https {
            None => self.http.accept().await,
            Some(https) => tokio::select! {
                accepted = self.http.accept() => accepted,
                accepted = https.accept() => accepted,
            },
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        let (socket, peer) = self.socket.accept().await?;
        Ok((socket, Caller { address: peer.ip().to_canonical(), port: self.port, scheme: self.scheme }))
    }
}
