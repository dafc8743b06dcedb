//! What an integration is called with, and what it answers.

use std::time::Instant;

use http::header::HeaderMap;
use http::{HeaderValue, Method, StatusCode};
use sluice_compile::ValueSource;

use crate::body::Body;
use crate::request_body::RequestBody;

/// A request on its way to an integration. All but the body is borrowed, so that it can be sent twice.
#[derive(Debug)]
pub struct Call<'a> {
    /// The client's verb.
    pub method: &'a Method,
    /// The client's header fields, as they came.
    pub headers: &'a HeaderMap,
    /// The client's query as sent, without `?`; empty for none.
    pub query: &'a str,
    /// The client's body.
    pub body: RequestBody,
    /// Values that the integration's mappings name.
    pub values: &'a dyn Values,
    /// The API's id, which backends see in `User-Agent` and `X-Amzn-Apigateway-Api-Id`.
    pub api_id: &'a str,
    /// `X-Amzn-Trace-Id` for a request that has none.
    pub trace_id: Option<&'a HeaderValue>,
    /// How the client came.
    pub forwarded: Forwarded<'a>,
    /// When the call began: the integration's time runs from here.
    pub began: Instant,
}

/// What backends learn of the client's connection. Texts, so that a connection formats them once.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// The peer's address, appended to `X-Forwarded-For`.
    pub address: &'a str,
    /// The port that the client called, for `X-Forwarded-Port`.
    pub port: &'a str,
    /// `http` or `https`, for `X-Forwarded-Proto`.
    pub proto: &'a str,
}

/// The values of one request that mappings can name.
pub trait Values: std::fmt::Debug {
    /// Calls `take` with each value of `source`: once for all but the multi-valued sources, never for an absent value.
    /// Values are decoded, but for `ValueSource::Path`, which is as the client sent it.
    fn each(&self, source: &ValueSource, take: &mut dyn FnMut(&str));
}

/// What an integration answered, without the fields that the HTTP engine writes.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The fields that the client may see.
    pub headers: HeaderMap,
    /// The body; streaming where it has not come yet.
    pub body: Body,
}
