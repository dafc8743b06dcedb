//! A client of the gateway: one request, the whole answer.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends one request on a connection of its own.
///
/// # Errors
/// When the connection or the exchange fails.
pub async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}

/// A request for `path` at `to` with these headers and no body.
///
/// # Errors
/// When the exchange fails.
pub async fn get(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Response<Bytes>> {
    call(to, "GET", path, headers, Bytes::new()).await
}

/// A request of any method.
///
/// # Errors
/// When the request is not valid HTTP or the exchange fails.
pub async fn call(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Response<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", to.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(to, request.body(Full::new(body))?).await
}

/// The address in `http://HOST:PORT`.
///
/// # Panics
/// When the URL is of another form.
#[must_use]
pub fn address(url: &str) -> SocketAddr {
    let text = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    text.parse().unwrap_or_else(|error| panic!("{url} is not http://ADDRESS:PORT: {error}"))
}
