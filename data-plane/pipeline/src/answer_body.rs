//! The body of a response, which carries its exchange to the last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sluice_integrate::{Body, Fault};

use crate::exchange::Exchange;

/// A response's body. Dropping it ends the exchange, which is then counted.
#[derive(Debug)]
pub struct AnswerBody {
    body: Body,
    _exchange: Exchange,
}

impl AnswerBody {
    pub(crate) fn new(body: Body, exchange: Exchange) -> Self {
        Self { body, _exchange: exchange }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
