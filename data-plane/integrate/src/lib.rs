//! Calling integrations: HTTP backends and MOCK.
//!
//! One core of a data node has one [`Upstreams`]: a pool of HTTP/1.1 connections with a codec of its own on httparse,
//! which costs half the instructions of a general client because a request is written straight from the client's fields
//! and an answer's fields are slices of what was read. A call's way: `outbound` writes the head, `pool` or `dial` gives a
//! connection, `conn` exchanges (`upload` out, `response` in), `body` streams the rest to the client; `remainder` sends what
//! is left of a request that was answered before its end.
//!
//! Promise: bodies stream both ways with one read of them held; every wait is bounded; what of HTTP must not cross a
//! gateway is decided in `fields`, what may be sent twice in `retry`, each with the section of the RFC it follows.
//! Absent: HTTP/2 to backends, upgrades, interim responses passed on, threads: everything here stays on its core.

mod body;
mod call;
mod chunked;
mod conn;
mod counters;
mod dial;
mod discard;
mod dot_segment;
mod fault;
mod fields;
mod io;
mod mock;
mod outbound;
mod pool;
pub mod query;
mod remainder;
mod request_body;
mod resolve;
mod response;
mod retry;
mod settings;
mod stall;
mod tls;
mod upload;
mod upstreams;

pub use body::{Body, Download};
pub use call::{Answer, Call, Forwarded, Values};
pub use counters::Counters;
pub use fault::{Fault, FaultKind, FaultOrigin, Retry};
pub use fields::frames_or_connects;
pub use mock::answer as answer_mock;
pub use request_body::{Guard, RequestBody};
pub use settings::UpstreamSettings;
pub use tls::{SystemRoots, TlsFailure, UpstreamTls};
pub use upstreams::Upstreams;
