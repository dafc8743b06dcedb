//! Calls of HTTP backends from one core.
//!
//! Promise: a call ends with one answer or one fault within the integration's time; its connection is used again only
//! when nothing of the exchange is left on it; a call that is dropped closes its connection. What is sent a second time
//! is decided in `retry`.
//! Absent: health checks and balancing over addresses.

use std::rc::Rc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use http::{HeaderValue, Method, header};
use sluice_compile::HttpProxy;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::body::Beginning;
use crate::call::{Answer, Call};
use crate::conn::{Conn, Failed};
use crate::counters::{Counters, add};
use crate::dial::Dialer;
use crate::fault::{Fault, FaultKind, Retry};
use crate::outbound;
use crate::pool::{Backend, Pool};
use crate::remainder::{Remainder, Remainders};
use crate::response::{Asked, Head};
use crate::retry::{Ended, Verdict, verdict};
use crate::settings::UpstreamSettings;
use crate::tls::UpstreamTls;
use crate::upload::{LengthExpected, Upload};

/// Time between two sweeps of the pool.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One core's way to backends. Clones share connections and counters.
#[derive(Debug, Clone)]
pub struct Upstreams(Rc<Core>);

#[derive(Debug)]
struct Core {
    settings: UpstreamSettings,
    pool: Pool,
    dialer: Dialer,
    remainders: Remainders,
    counters: Rc<Counters>,
}

impl Upstreams {
    /// A core's pool, empty. Must be called inside a `LocalSet`: a small task closes old connections until the last
    /// clone is gone.
    pub fn new(settings: UpstreamSettings, tls: UpstreamTls) -> Self {
        let counters = Rc::new(Counters::default());
        let core = Rc::new(Core {
            pool: Pool::new(settings.clone(), Rc::clone(&counters)),
            dialer: Dialer::new(&settings, tls, &counters),
            remainders: Remainders::new(settings.clone(), Rc::clone(&counters)),
            settings,
            counters,
        });
        let weak = Rc::downgrade(&core);
        tokio::task::spawn_local(async move {
            let mut ticks = interval(SWEEP_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(core) = weak.upgrade() else { break };
                core.pool.sweep(Instant::now());
            }
        });
        Self(core)
    }

    /// What this core's upstream side has done.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Waits until no request is under way that its answer has overtaken. Cancel-safe.
    pub async fn no_remainder(&self) {
        self.0.remainders.none().await;
    }

    /// Calls the backend of `proxy`. Dropping the future, or the answer's body before its end, closes the connection.
    ///
    /// # Errors
    /// `Timeout` when the response head is not there within the integration's time; `ClientStalled` when that was the
    /// client's fault; otherwise what went wrong. After an answer, its body can still fail.
    pub fn call(&self, proxy: &HttpProxy, call: Call<'_>) -> impl Future<Output = Result<Answer, Fault>> {
        self.0.call(proxy, call).inspect_err(|fault| self.0.counters.failed(fault.kind))
    }
}

impl Core {
    async fn call(&self, proxy: &HttpProxy, call: Call<'_>) -> Result<Answer, Fault> {
        let method = proxy.verb.as_ref().unwrap_or(call.method);
        if *method == Method::CONNECT {
            return Err(Fault::before_sending(FaultKind::BadTarget, "CONNECT is not a call of a backend"));
        }
        let backend = self.pool.backend(&proxy.uri.origin, proxy.tls)?;
        let head = outbound::head(proxy, method, &call)?;
        let mut upload = Upload::new(head, call.body, LengthExpected::of(method));
        let deadline = Instant::from_std(call.began) + proxy.timeout;
        let exchanged = timeout_at(deadline, self.exchange(&backend, method, &mut upload)).await;
        let (conn, mut head) = exchanged.unwrap_or_else(|_| Err(out_of_time(&upload)))?;
        let upload = (!upload.is_complete()).then(|| self.answered_early(upload, &mut head)).flatten();
        let body = Beginning {
            conn,
            backend,
            framing: head.framing,
            persistent: head.persistent,
            upload,
            stall_after: self.settings.body_stall,
        };
        Ok(Answer { status: head.status, headers: head.headers, body: body.body()? })
    }

    async fn exchange(&self, backend: &Backend, method: &Method, upload: &mut Upload) -> Result<(Conn, Head), Fault> {
        let asked = if *method == Method::HEAD { Asked::Head } else { Asked::Other };
        let head_bytes_max = self.settings.response_head_bytes_max.min(usize::from(u16::MAX));
        if let Some(mut conn) = backend.take() {
            match conn.exchange(upload, asked, head_bytes_max).await {
                Ok(head) => return Ok((conn, head)),
                Err(failed) => {
                    give_up_or_rewind(method, upload, failed, conn.reused)?;
                    add(&self.counters.retried, 1);
                }
            }
        }
        // In a box: it is rare, and most of what this future would be.
        let mut conn = Box::pin(self.dialer.dial(backend)).await?;
        match conn.exchange(upload, asked, head_bytes_max).await {
            Ok(head) => Ok((conn, head)),
            Err(failed) => Err(Fault { retry: retry(upload), ..failed.fault }),
        }
    }

    /// What of a request is still sent though its response has begun.
    ///
    /// RFC 9112, section 9.5: a client stops sending a body that the server has declined. The connection then ends with
    /// the response, for the server cannot tell where a next request would begin; and so does the client's, unless its
    /// body has come to its end already (section 9.3). The same where the core finishes enough other requests.
    fn answered_early(&self, upload: Upload, head: &mut Head) -> Option<Box<Remainder>> {
        let (declined, body_whole) = (head.status.as_u16() >= 400, upload.has_body_whole());
        let remainder = if declined { None } else { self.remainders.begin(upload) };
        head.persistent &= remainder.is_some();
        if !head.persistent && !body_whole {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        remainder
    }
}

fn give_up_or_rewind(method: &Method, upload: &mut Upload, failed: Failed, reused: bool) -> Result<(), Fault> {
    let ended = Ended {
        reused: reused && failed.fault.kind == FaultKind::Reset,
        sent: upload.written(),
        received: failed.received,
        replayable: upload.is_replayable(),
    };
    match verdict(method, ended) {
        Verdict::SendAgain => {
            upload.rewind();
            Ok(())
        }
        Verdict::GiveUp => Err(Fault { retry: retry(upload), ..failed.fault }),
    }
}

/// Whether anything of the request has left.
fn retry(upload: &Upload) -> Retry {
    if upload.written() == 0 { Retry::Safe } else { Retry::Unsafe }
}

fn out_of_time(upload: &Upload) -> Fault {
    if upload.waits_for_client() {
        Fault::new(FaultKind::ClientStalled, "client did not send its request body within the integration's time")
    } else {
        let detail = "no response head within the integration's time".into();
        Fault { kind: FaultKind::Timeout, retry: retry(upload), detail }
    }
}
