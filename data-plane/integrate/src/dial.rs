//! Opens connections: name, address, TCP, TLS.
//!
//! Promise: every address of a name is tried within one bound of time; a failure says which step failed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sluice_compile::TlsPolicy;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::conn::{Conn, Open};
use crate::counters::{Counters, add};
use crate::fault::{Fault, FaultKind};
use crate::io::Io;
use crate::pool::{Backend, Speaks};
use crate::resolve::Names;
use crate::settings::UpstreamSettings;
use crate::tls::UpstreamTls;

/// Least time for one address while others wait behind it.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);

/// What a core opens connections with.
#[derive(Debug)]
pub(crate) struct Dialer {
    names: Names,
    tls: UpstreamTls,
    within: Duration,
    connections_max: u64,
    counters: Rc<Counters>,
}

impl Dialer {
    pub(crate) fn new(settings: &UpstreamSettings, tls: UpstreamTls, counters: &Rc<Counters>) -> Self {
        Self {
            names: Names::new(settings, Rc::clone(counters)),
            tls,
            within: settings.connect_within,
            connections_max: settings.connections_max as u64,
            counters: Rc::clone(counters),
        }
    }

    /// Opens a connection to `backend`. Dropping the future closes what it had begun.
    pub(crate) async fn dial(&self, backend: &Backend) -> Result<Conn, Fault> {
        if self.counters.open.get() >= self.connections_max {
            return Err(Fault::before_sending(FaultKind::Exhausted, "upstream connections are at their limit"));
        }
        let open = Open::new(&self.counters);
        let opened = timeout(self.within, self.open(backend)).await.unwrap_or_else(|_| {
            let detail = format!("{}:{} did not accept within {:?}", backend.host, backend.port, self.within);
            Err(Fault::before_sending(FaultKind::Connect, detail))
        });
        match opened {
            Ok(io) => {
                add(&self.counters.opened, 1);
                Ok(Conn::new(io, open))
            }
            Err(fault) => {
                add(&self.counters.connect_failures, 1);
                Err(fault)
            }
        }
    }

    async fn open(&self, backend: &Backend) -> Result<Io, Fault> {
        let give_up = Instant::now() + self.within;
        let addresses = self.names.addresses(&backend.host, backend.port).await?;
        let tcp = connect_any(&addresses, give_up).await?;
        let config = match backend.speaks {
            Speaks::Http => return Ok(Io::Plain(tcp)),
            Speaks::Https(TlsPolicy::Verify) => &self.tls.verified,
            Speaks::Https(TlsPolicy::SkipVerification) => &self.tls.any_authority,
        };
        let name = backend.server_name.clone().expect("a backend with TLS is made with its name");
        let connected = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
        let tls = connected.map_err(|error| {
            Fault::before_sending(FaultKind::Tls, format!("{}:{}: {error}", backend.host, backend.port))
        })?;
        Ok(Io::Tls(Box::new(tls)))
    }
}

/// Tries the addresses in their order; each gets its share of the time that is left.
async fn connect_any(addresses: &[SocketAddr], give_up: Instant) -> Result<TcpStream, Fault> {
    let mut failed = String::from("no address");
    for (at, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let waiting = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let share = (give_up.saturating_duration_since(now) / waiting).max(ATTEMPT_MIN);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Without it small requests wait for the acknowledgement of the last; it can only fail on a dead socket.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => failed = format!("{address}: {error}"),
            Err(_) => failed = format!("{address}: no answer in {share:?}"),
        }
    }
    Err(Fault::before_sending(FaultKind::Connect, failed))
}
