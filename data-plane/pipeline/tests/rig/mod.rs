//! A gateway without sockets, and requests to it.

#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses its own part of it")]

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http::request::Builder;
use sluice_integrate::{Fault, RequestBody, SystemRoots, UpstreamSettings, UpstreamTls, Upstreams};
use sluice_pipeline::limits::{Buckets, CoreLimits, Limits};
use sluice_pipeline::tally::{CoreTally, summarise};
use sluice_pipeline::{AnswerBody, Connection, Gateway, GatewaySettings, Parts, Scheme};

use crate::fixture::Board;

/// The host of the API `pets`.
pub(crate) const HOST: &str = "pets.execute-api.localhost";

pub(crate) struct Rig {
    gateway: Gateway,
    pub(crate) tally: Arc<CoreTally>,
}

impl Rig {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self::with(board, Box::new(CoreLimits::new(Arc::new(Buckets::new(Instant::now())))))
    }

    pub(crate) fn with(board: Arc<Board>, limits: Box<dyn Limits>) -> Self {
        let tally = Arc::new(CoreTally::default());
        let tls = UpstreamTls::load(SystemRoots::Ignored, &[]).unwrap();
        let gateway = Gateway::new(Parts {
            settings: GatewaySettings::default(),
            source: board,
            limits,
            upstreams: Upstreams::new(UpstreamSettings::default(), tls),
            tally: Arc::clone(&tally),
            seed: 1,
        });
        Self { gateway, tally }
    }

    /// Sends what a client on loopback would.
    pub(crate) async fn send(&self, request: Builder, body: Result<RequestBody, Fault>) -> Response<AnswerBody> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let peer = Connection::new("127.0.0.1".parse().unwrap(), 8080, Scheme::Http);
        self.gateway.answer(&mut parts, body, &peer).await
    }

    /// What a core does every second.
    pub(crate) fn refresh(&self) {
        self.gateway.refresh();
    }

    pub(crate) async fn status_of(&self, request: Builder) -> u16 {
        self.send(request, Ok(RequestBody::empty())).await.status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str, key: Option<&str>) -> Response<AnswerBody> {
        let mut request = http::Request::get(path).header("host", HOST);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        self.send(request, Ok(RequestBody::empty())).await
    }

    pub(crate) async fn status(&self, path: &str, key: Option<&str>) -> u16 {
        self.get(path, key).await.status().as_u16()
    }

    /// Counts of the stage `dev` of the API `pets`.
    pub(crate) fn endings(&self) -> [u64; 6] {
        let sums = summarise([&self.tally]);
        sums.get(&Some(("pets".into(), "dev".into()))).map(|sum| sum.endings).unwrap_or_default()
    }
}

pub(crate) fn on_a_core(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}
