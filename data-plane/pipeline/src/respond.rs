//! Respond: the only place where a fault becomes bytes, and where every response gets the gateway's own headers.
//!
//! AWS: an API's gateway response of the fault's type, else of its class (DEFAULT_4XX, DEFAULT_5XX), else the built-in
//! one, whose body is `{"message":$context.error.messageString}`. Promise: a response of the gateway's own always has a
//! request id, an error type and a content type.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use sluice_compile::{CompiledGatewayResponse, CompiledVariant};
use sluice_integrate::{Body, frames_or_connects};
use tracing::{debug, warn};

use crate::bound::Bound;
use crate::exchange::Exchange;
use crate::fault::{Answered, Fault, FaultKind, Origin};
use crate::phase::Reply;
use crate::request_id::RequestIds;
use crate::values::{ErrorView, Facts, RequestValues, StageView, Variant};
use crate::view::View;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Turns a fault into the response that its API wants.
pub(crate) fn respond(fault: &Fault, exchange: &Exchange, view: Option<&View>) -> Reply {
    let answered = fault.kind.answered();
    log(fault, exchange);
    if let Some(bound) = bound(fault.kind) {
        exchange.hit(bound);
    }
    let facts = exchange.facts().zip(view);
    match facts.and_then(|(facts, view)| customised(&answered, facts, view, exchange)) {
        Some(reply) => reply,
        None => built_in(&answered, answered.status),
    }
}

/// Puts the gateway's own headers on a response.
pub(crate) fn identify(reply: &mut Reply, exchange: &Exchange, ids: &RequestIds) {
    let (uuid, extended) = ids.render(exchange.id());
    let headers = reply.headers_mut();
    headers.insert(REQUEST_ID, uuid);
    headers.insert(EXTENDED_REQUEST_ID, extended);
}

/// Takes away the body that a response to `asked`, the client's own verb, must not have: one to HEAD, whatever the
/// integration was called with (RFC 9110, section 9.3.2), and one of 204 or 304 (sections 15.3.5 and 15.4.5). The HTTP/2
/// engine sends what it is given, and clients take that for a broken stream.
pub(crate) fn conform(reply: &mut Reply, asked: &Method) {
    let bodiless = matches!(reply.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let empty = reply.body().is_end_stream();
    if *asked == Method::HEAD {
        let length = reply.body().size_hint().exact().filter(|_| !empty && !bodiless);
        if let Some(length) = length {
            reply.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    } else if empty {
        // What an integration called with HEAD told is not the length of this response.
        reply.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if !empty && (bodiless || *asked == Method::HEAD) {
        *reply.body_mut() = Body::Empty;
    }
}

fn built_in(answered: &Answered, status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::Full(Bytes::from_static(answered.body.as_bytes())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, JSON);
    reply.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(answered.error_type));
    reply
}

/// The API's own response; `None` when it has none of this type or class.
fn customised(answered: &Answered, facts: &Facts, view: &View, exchange: &Exchange) -> Option<Reply> {
    let stage = view.snapshot.stage(&facts.api_id, &facts.stage)?.serving.as_ref()?;
    let variant = match facts.variant {
        Variant::Main => &stage.main,
        Variant::Canary => &stage.canary.as_ref()?.variant,
    };
    let (wanted, status) = wanted(answered, variant)?;
    let values = RequestValues {
        request: facts.request(),
        stage: Some(StageView {
            api_id: &stage.api_id,
            name: &stage.name,
            deployment_id: &variant.deployment_id,
            variables: &variant.variables,
        }),
        route: facts.route(),
        key_id: None,
        error: Some(ErrorView { answered }),
        id: exchange.id(),
        client: exchange.client(),
    };
    let mut reply = built_in(answered, status);
    if let Some(body) = wanted.body() {
        *reply.body_mut() = Body::Full(Bytes::from(values.render(&body.pieces)));
        reply.headers_mut().insert(header::CONTENT_TYPE, body.content_type.clone());
    }
    for (name, source) in wanted.headers.iter().filter(|(name, _)| !frames_or_connects(name.as_str())) {
        // A value that cannot stand in a header is left out, as an absent one is.
        let value = values.value(source).and_then(|value| HeaderValue::from_str(&value).ok());
        if let Some(value) = value {
            reply.headers_mut().insert(name.clone(), value);
        }
    }
    Some(reply)
}

/// The gateway response that counts, and the status: the type's own setting, else the class's, else AWS's.
fn wanted<'a>(answered: &Answered, variant: &'a CompiledVariant) -> Option<(&'a CompiledGatewayResponse, StatusCode)> {
    let (own, class) = (answered.response_type?, answered.default_type());
    let wanted = variant.api.gateway_response(own, class)?;
    let of_class = || variant.api.gateway_response(class, class)?.status;
    Some((wanted, wanted.status.or_else(of_class).unwrap_or(answered.status)))
}

/// The bound that the fault is about.
fn bound(kind: FaultKind) -> Option<Bound> {
    match kind {
        FaultKind::HeadersTooLarge | FaultKind::TargetTooLong => Some(Bound::HeadBytes),
        FaultKind::RequestTooLarge => Some(Bound::BodyBytes),
        _ => None,
    }
}

fn log(fault: &Fault, exchange: &Exchange) {
    let id = exchange.id().uuid();
    let detail = &*fault.detail;
    match fault.origin {
        Origin::Gateway => {
            warn!(request_id = %id, kind = ?fault.kind, error = detail, "request not answered as configured")
        }
        Origin::Client | Origin::Integration => {
            debug!(request_id = %id, kind = ?fault.kind, origin = ?fault.origin, error = detail, "request refused");
        }
    }
}
