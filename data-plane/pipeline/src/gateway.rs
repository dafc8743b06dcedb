//! The gateway of one core: a request in, a response out, whatever happens.
//!
//! Promise: every request is answered, also when this program has a defect: a panic costs one 500, is counted and logged.
//! Absent: sockets and HTTP framing; the server owns them.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use http::{HeaderValue, Response, Version, header, request};
use hyper::body::Incoming;
use sluice_integrate::{FaultKind as Failed, Guard, RequestBody, Upstreams};
use tracing::error;

use crate::answer_body::AnswerBody;
use crate::bound::Bound;
use crate::core::{Core, GatewaySettings};
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::journey::Journey;
use crate::limits::Limits;
use crate::phase::{Halt, Reply};
use crate::received::{BODY_BYTES_MAX, Received};
use crate::request_id::RequestIds;
use crate::respond::{conform, identify, respond};
use crate::tally::CoreTally;
use crate::view::{Pin, SnapshotSource, View};

/// What a client speaks under HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A client's connection, as its requests need it. Made once per connection.
#[derive(Debug)]
pub struct Connection {
    /// The peer, which may be a proxy.
    pub(crate) peer: IpAddr,
    /// The same as text.
    pub(crate) address: Box<str>,
    /// The port that the client called.
    pub(crate) port: Box<str>,
    pub(crate) scheme: Scheme,
}

impl Connection {
    /// A connection from `peer`, which called `port`.
    pub fn new(peer: IpAddr, port: u16, scheme: Scheme) -> Self {
        let peer = peer.to_canonical();
        Self { peer, address: peer.to_string().into(), port: port.to_string().into(), scheme }
    }
}

/// What a core's gateway is made of.
pub struct Parts {
    /// How clients are read.
    pub settings: GatewaySettings,
    /// Where the configuration is.
    pub source: Arc<dyn SnapshotSource>,
    /// Who decides on rates.
    pub limits: Box<dyn Limits>,
    /// The way to backends.
    pub upstreams: Upstreams,
    /// What this core counts.
    pub tally: Arc<CoreTally>,
    /// Where request ids begin; differs by core.
    pub seed: u64,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The gateway of one core.
#[derive(Debug)]
pub struct Gateway {
    core: Rc<Core>,
    journey: Journey,
}

impl Gateway {
    /// Assembles a core's gateway.
    pub fn new(parts: Parts) -> Self {
        let core = Rc::new(Core {
            settings: parts.settings,
            pin: Pin::new(parts.source),
            limits: parts.limits,
            upstreams: parts.upstreams,
            ids: RequestIds::new(parts.seed),
            tally: parts.tally,
        });
        let journey = Journey::new(&core);
        Self { core, journey }
    }

    /// Answers one request; `receiving` is dropped when its body is wanted no longer, which may be before or after the
    /// answer. Dropping the future counts it as hung up.
    pub fn serve<'a>(
        &'a self,
        parts: &'a mut request::Parts,
        body: Incoming,
        connection: &'a Connection,
        receiving: Option<Guard>,
    ) -> impl Future<Output = Response<AnswerBody>> + 'a {
        let body = match parts.version {
            Version::HTTP_2 => RequestBody::multiplexed(body, BODY_BYTES_MAX, receiving),
            _ => RequestBody::stream(body, BODY_BYTES_MAX, receiving),
        };
        self.answer(parts, body, connection)
    }

    /// Answers one request whose body is already one that integrations take. Its method becomes the one that it means.
    pub async fn answer(
        &self,
        parts: &mut request::Parts,
        body: Result<RequestBody, sluice_integrate::Fault>,
        connection: &Connection,
    ) -> Response<AnswerBody> {
        let asked = parts.method.clone();
        let view = self.core.pin.view();
        let client = self.core.settings.trusted_proxies.client(connection.peer, &parts.headers);
        let mut exchange = Exchange::new(self.core.ids.draw(), Instant::now(), client, Rc::clone(&self.core));
        let received = Received::read(parts, body, connection, view.as_deref());
        let outcome = match received {
            Ok(received) => {
                // Pinned where it is made: it has some 4 KiB, which `catch_unwind` and `await` would move.
                let journey = AssertUnwindSafe(pin!(self.journey.run(received, &mut exchange)));
                journey.catch_unwind().await.unwrap_or_else(|_| Err(self.panicked().into()))
            }
            Err(fault) => Err(fault.into()),
        };
        let in_doubt = matches!(&outcome, Err(Halt::Fault(fault)) if leaves_in_doubt(fault.kind));
        let mut reply = reply_of(outcome, &exchange, view.as_deref());
        conform(&mut reply, &asked);
        if in_doubt {
            // RFC 9112, section 9.6: who will close says so. HTTP/2's engine leaves it out.
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        identify(&mut reply, &exchange, &self.core.ids);
        exchange.answered(reply.status());
        reply.map(|body| AnswerBody::new(body, exchange))
    }

    /// Lets go of a snapshot that has been replaced, though no request came; to be called every second or so.
    pub fn refresh(&self) {
        let _ = self.core.pin.view();
        let counters = self.core.upstreams.counters();
        let tally = &self.core.tally;
        tally.upstream_opened.set(counters.opened.get());
        tally.upstream_retried.set(counters.retried.get());
        tally.set_hits(Bound::UpstreamIdle, counters.unkept.get());
        tally.set_hits(Bound::UpstreamBackends, counters.unpooled.get());
        tally.set_hits(Bound::UpstreamNames, counters.names_dropped.get());
        tally.set_hits(Bound::Remainders, counters.remainders_refused.get());
        for (kind, count) in Failed::ALL.into_iter().zip(&counters.faults_by_kind) {
            tally.set_faults(kind, count.get());
        }
    }

    /// What this core counts.
    pub fn tally(&self) -> &CoreTally {
        &self.core.tally
    }

    fn panicked(&self) -> Fault {
        self.core.tally.panics.add(1);
        error!("a request met a defect of this program; the panic was written to standard error");
        Fault::new(FaultKind::Internal, "panic")
    }
}

/// Whether where the next request begins is in doubt (RFC 9112, section 11.2), or lies behind what nobody will read.
fn leaves_in_doubt(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::MalformedRequest | FaultKind::RequestTooLarge)
}

fn reply_of(outcome: Result<Reply, Halt>, exchange: &Exchange, view: Option<&View>) -> Reply {
    match outcome {
        Ok(reply) => reply,
        Err(Halt::Reply(reply)) => *reply,
        Err(Halt::Fault(fault)) => respond(&fault, exchange, view),
    }
}
