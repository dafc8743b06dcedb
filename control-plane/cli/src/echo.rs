//! `echo`: a backend that answers with what it was sent.
//!
//! Promise: path, query, headers and body are reported as they came, undecoded; HTTP/1.1 and HTTP/2 (prior knowledge).

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{duration, failure::Failure, output::Output, signals::Signals};

/// Bytes of a body that is answered with; a larger one is a 413.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long to wait after a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice echo
  sluice echo --listen 127.0.0.1:9001 --delay 50ms --status 500")]
pub(crate) struct Echo {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// How long to wait before each answer
    #[arg(long, default_value = "0ms", value_parser = duration::parse, value_name = "TIME")]
    delay: Duration,
    /// Status of each answer, 200 to 599
    #[arg(long, default_value = "200", value_parser = parse_status, value_name = "STATUS")]
    status: StatusCode,
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse::<StatusCode>().ok().filter(|status| (200..=599).contains(&status.as_u16()));
    status.ok_or_else(|| format!("expected a status of 200 to 599, found `{text}`"))
}

impl Echo {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let cannot = |failure: std::io::Error| Failure::failed(format!("cannot listen on {}: {failure}", self.listen));
        let mut signals = Signals::new()?;
        let listener = TcpListener::bind(self.listen).await.map_err(cannot)?;
        let url = format!("http://{}", listener.local_addr().map_err(cannot)?);
        output.either(&json!({"ready": true, "url": url}), &format!("ready {url}"));
        tokio::select! {
            // Both only accept and wait: dropping either loses nothing but connections that end with the process.
            () = serve(&listener, self.delay, self.status) => {}
            () = signals.stop() => {}
        }
        Ok(())
    }
}

/// Serves until it is dropped, and with it every connection.
async fn serve(listener: &TcpListener, delay: Duration, status: StatusCode) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Out of file descriptors, or a client that left already: the next one may fare better.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Without it answers are only slower.
        drop(stream.set_nodelay(true));
        let service = hyper::service::service_fn(move |request| answer(request, delay, status));
        let builder = Builder::new(TokioExecutor::new());
        // A client that breaks off is no failure of a backend for tests.
        connections.spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), service).await) });
    }
}

async fn answer(
    request: Request<Incoming>,
    delay: Duration,
    status: StatusCode,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let (status, value) = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => (status, echo(&parts, &body.to_bytes())),
        Err(failure) => (StatusCode::PAYLOAD_TOO_LARGE, json!({"message": failure.to_string()})),
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What was sent, as JSON. A body that is not text is base64.
fn echo(parts: &Parts, body: &[u8]) -> Value {
    let mut value = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query().unwrap_or_default(),
        "headers": headers(&parts.headers),
    });
    match std::str::from_utf8(body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["bodyBase64"] = STANDARD.encode(body).into(),
    }
    value
}

/// Name to value; a list where a name came more than once.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &http::HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    let entry = |name: &http::HeaderName| {
        let mut values = headers.get_all(name).iter().map(text).collect::<Vec<_>>();
        let value = if values.len() == 1 { values.remove(0) } else { Value::from(values) };
        (name.to_string(), value)
    };
    headers.keys().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_with_itself() {
        let request = Request::builder()
            .method("PUT")
            .uri("http://b/a%2Fb/c?x=1&x=%202")
            .header("x-one", "1")
            .header("x-two", "a")
            .header("x-two", "b")
            .body(())
            .unwrap();
        let parts = request.into_parts().0;
        assert_eq!(
            echo(&parts, b"hi"),
            json!({"method": "PUT", "path": "/a%2Fb/c", "query": "x=1&x=%202",
                "headers": {"x-one": "1", "x-two": ["a", "b"]}, "body": "hi"})
        );
        assert_eq!(echo(&parts, &[255])["bodyBase64"], "/w==");
    }

    #[test]
    fn a_status_is_one_of_an_answer() {
        assert_eq!(parse_status("500"), Ok(StatusCode::INTERNAL_SERVER_ERROR));
        for text in ["100", "600", "x", ""] {
            assert!(parse_status(text).is_err(), "{text}");
        }
    }
}
