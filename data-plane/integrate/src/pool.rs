//! The idle connections of one core, by backend.
//!
//! Promise: last in, first out, so that the fewest connections stay warm; a connection that died or spoke while idle is
//! not given out; count and age are bounded. Everything is of one core: no lock, no atomic.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ahash::AHashMap;
use rustls_pki_types::ServerName;
use sluice_compile::{Origin, Scheme, TlsPolicy};
use tokio::time::Instant;

use crate::conn::Conn;
use crate::counters::{Counters, add, less};
use crate::fault::{Fault, FaultKind};
use crate::settings::UpstreamSettings;

/// Backends that are remembered; further ones are called without a pool until a sweep makes room.
const BACKENDS_MAX: usize = 4_096;

/// How a backend is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Plain TCP.
    Http,
    /// TLS, and what is asked of the certificate.
    Https(TlsPolicy),
}

/// A place that is called, with its idle connections.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) speaks: Speaks,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// For SNI and verification; none for plain TCP.
    pub(crate) server_name: Option<ServerName<'static>>,
    idle: RefCell<Vec<Conn>>,
    shared: Rc<Shared>,
}

/// All backends of a core.
#[derive(Debug)]
pub(crate) struct Pool {
    /// By host; more than one only when port or scheme differ.
    backends: RefCell<AHashMap<Box<str>, Vec<Rc<Backend>>>>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: UpstreamSettings,
    counters: Rc<Counters>,
    /// The instant of the last sweep: exact enough for ages, and free to read.
    now: Cell<Instant>,
}

impl Pool {
    pub(crate) fn new(settings: UpstreamSettings, counters: Rc<Counters>) -> Self {
        let shared = Shared { settings, counters, now: Cell::new(Instant::now()) };
        Self { backends: RefCell::default(), shared: Rc::new(shared) }
    }

    /// The backend at `origin`.
    ///
    /// # Errors
    /// `BadTarget` when TLS is to be spoken to a host that no certificate can name.
    pub(crate) fn backend(&self, origin: &Origin, policy: TlsPolicy) -> Result<Rc<Backend>, Fault> {
        let speaks = match origin.scheme {
            Scheme::Http => Speaks::Http,
            Scheme::Https => Speaks::Https(policy),
        };
        if let Some(known) = self.backends.borrow().get(&*origin.host)
            && let Some(backend) = known.iter().find(|known| known.port == origin.port && known.speaks == speaks)
        {
            return Ok(Rc::clone(backend));
        }
        let backend = Rc::new(Backend::new(origin, speaks, Rc::clone(&self.shared))?);
        let mut backends = self.backends.borrow_mut();
        if backends.len() < BACKENDS_MAX {
            backends.entry(origin.host.clone()).or_default().push(Rc::clone(&backend));
        } else {
            add(&self.shared.counters.unpooled, 1);
        }
        Ok(backend)
    }

    /// Closes what is too old or dead, and forgets backends that have no connection.
    pub(crate) fn sweep(&self, now: Instant) {
        self.shared.now.set(now);
        self.backends.borrow_mut().retain(|_, known| {
            known.retain(|backend| {
                backend.sweep();
                Rc::strong_count(backend) > 1 || !backend.idle.borrow().is_empty()
            });
            !known.is_empty()
        });
    }
}

impl Backend {
    fn new(origin: &Origin, speaks: Speaks, shared: Rc<Shared>) -> Result<Self, Fault> {
        let host = origin.host.clone();
        let server_name = match speaks {
            Speaks::Http => None,
            Speaks::Https(_) => Some(ServerName::try_from(host.to_string()).map_err(|error| {
                Fault::before_sending(FaultKind::BadTarget, format!("{host:?} cannot be verified: {error}"))
            })?),
        };
        Ok(Self { speaks, host, port: origin.port, server_name, idle: RefCell::default(), shared })
    }

    /// An idle connection that still lives, the one used last.
    pub(crate) fn take(&self) -> Option<Conn> {
        let mut idle = self.idle.borrow_mut();
        let counters = &self.shared.counters;
        while let Some(mut conn) = idle.pop() {
            less(&counters.idle, 1);
            if !self.shared.is_expired(&conn) && conn.io.is_quiet() {
                add(&counters.reused, 1);
                return Some(conn);
            }
            add(&counters.expired, 1);
        }
        None
    }

    /// Keeps a connection whose exchange has ended well; closes it when there are enough.
    pub(crate) fn put(&self, mut conn: Conn) {
        debug_assert!(conn.buffer.is_empty(), "a connection with bytes left over is not kept");
        let mut idle = self.idle.borrow_mut();
        let Shared { settings, counters, now } = &*self.shared;
        if idle.len() < settings.idle_per_backend_max && counters.idle.get() < settings.idle_max as u64 {
            conn.reused = true;
            conn.idle_since = now.get();
            idle.push(conn);
            add(&counters.idle, 1);
        } else {
            add(&counters.unkept, 1);
        }
    }

    /// A body of this backend ended before its end.
    pub(crate) fn failed(&self, kind: FaultKind) {
        self.shared.counters.failed(kind);
    }

    fn sweep(&self) {
        let counters = &self.shared.counters;
        self.idle.borrow_mut().retain_mut(|conn| {
            let keep = !self.shared.is_expired(conn) && conn.io.is_quiet();
            if !keep {
                less(&counters.idle, 1);
                add(&counters.expired, 1);
            }
            keep
        });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        less(&self.shared.counters.idle, self.idle.borrow().len() as u64);
    }
}

impl Shared {
    fn is_expired(&self, conn: &Conn) -> bool {
        self.now.get().saturating_duration_since(conn.idle_since) > self.settings.idle_for
    }
}
