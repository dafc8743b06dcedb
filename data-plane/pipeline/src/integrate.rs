//! Integrate: calls what answers the method, within its time.
//!
//! Promise: one answer or one fault; dropping it closes the connection to the backend. Absent: the client itself, which
//! is `sluice-integrate`.

use std::rc::Rc;
use std::time::Instant;

use sluice_integrate::{Answer, Call, FaultKind as Failed, Forwarded, RequestBody, answer_mock};

use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind, Origin, Retry};
use crate::map_request::{Mapped, Target};
use crate::phase::{Flow, Phase};

/// The seventh phase.
#[derive(Debug)]
pub(crate) struct Integrate {
    pub(crate) core: Rc<Core>,
}

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Integrated {
    pub(crate) answer: Answer,
}

impl<'v> Phase<'v> for Integrate {
    type In = Mapped<'v>;
    type Out = Integrated;
    const NAME: &'static str = "integrate";

    async fn run(&self, mut mapped: Mapped<'v>, exchange: &mut Exchange) -> Flow<Integrated> {
        let body = std::mem::replace(&mut mapped.routed.received.body, RequestBody::empty());
        let values = mapped.values(exchange);
        let began = Instant::now();
        let outcome = match &mapped.target {
            Target::Mock(mock) => {
                let answered = answer_mock(mock, values.request.headers, &values);
                answered.inspect_err(|fault| self.core.upstreams.counters().failed(fault.kind))
            }
            Target::HttpProxy { proxy, trace_id } => {
                let connection = mapped.routed.received.connection;
                let call = Call {
                    method: values.request.method,
                    headers: values.request.headers,
                    query: values.request.uri.query().unwrap_or_default(),
                    body,
                    values: &values,
                    api_id: &mapped.routed.stage.api_id,
                    trace_id: trace_id.as_ref(),
                    forwarded: Forwarded {
                        address: &connection.address,
                        port: &connection.port,
                        proto: connection.scheme.as_str(),
                    },
                    began,
                };
                self.core.upstreams.call(proxy, call).await
            }
        };
        exchange.integrated(began.elapsed());
        Ok(Integrated { answer: outcome.map_err(fault)? })
    }
}

/// What a failed call is for the caller of the API.
fn fault(failed: sluice_integrate::Fault) -> Fault {
    let kind = match failed.kind {
        Failed::Timeout => FaultKind::IntegrationTimeout,
        Failed::Connect | Failed::Resolve | Failed::Tls | Failed::Reset | Failed::BadResponse | Failed::Stalled => {
            FaultKind::IntegrationFailure
        }
        Failed::Exhausted => FaultKind::IntegrationFailure,
        Failed::ClientGone | Failed::ClientStalled | Failed::DotSegment => FaultKind::MalformedRequest,
        Failed::BodyTooLarge => FaultKind::RequestTooLarge,
        Failed::BadTarget | Failed::NoMockAnswer | Failed::NoMockStatus => FaultKind::ApiConfigurationError,
        Failed::UnsupportedMediaType => FaultKind::UnsupportedMediaType,
    };
    let origin = match failed.origin() {
        sluice_integrate::FaultOrigin::Client => Origin::Client,
        sluice_integrate::FaultOrigin::Gateway => Origin::Gateway,
        sluice_integrate::FaultOrigin::Integration => Origin::Integration,
    };
    let retry = match failed.retry {
        sluice_integrate::Retry::Safe => Retry::Later,
        sluice_integrate::Retry::Unsafe => Retry::Never,
    };
    Fault { kind, origin, retry, detail: failed.detail }
}
