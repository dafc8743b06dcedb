//! Map the response: from the integration's answer to what the client sees.
//!
//! AWS: proxies and mocks answer as they are; a body without a type is `application/json`. Absent: response templates.

use http::{HeaderValue, Response, header};
use http_body::Body as _;

use crate::exchange::Exchange;
use crate::integrate::Integrated;
use crate::phase::{Flow, Phase, Reply};

/// The eighth phase.
#[derive(Debug)]
pub(crate) struct MapResponse;

impl<'v> Phase<'v> for MapResponse {
    type In = Integrated;
    type Out = Reply;
    const NAME: &'static str = "map_response";

    async fn run(&self, integrated: Integrated, _: &mut Exchange) -> Flow<Reply> {
        let answer = integrated.answer;
        let mut headers = answer.headers;
        if !answer.body.is_end_stream() && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut reply = Response::new(answer.body);
        *reply.status_mut() = answer.status;
        *reply.headers_mut() = headers;
        Ok(reply)
    }
}
