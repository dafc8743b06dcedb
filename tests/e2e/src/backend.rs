//! A backend that answers with what it was sent, over TLS where a test wants that.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer},
};

/// What the backend saw.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The request's verb.
    pub method: String,
    /// The path as it came.
    pub path: String,
    /// The query as it came, without `?`.
    pub query: Option<String>,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

/// A running backend; it stops when this is dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        Self::slow(Duration::ZERO).await
    }

    /// Starts one that waits before each answer.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn slow(delay: Duration) -> Self {
        let (listener, address) = bound().await;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, delay));
            }
        });
        Self { address, scheme: "http", accepting }
    }

    /// Starts one that speaks TLS, and answers it with its certificate (PEM), which it signed itself for 127.0.0.1.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn tls() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("an address is a valid name");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).expect("the key is its own");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = bound().await;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust the certificate hangs up here.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    serve(stream, Duration::ZERO).await;
                });
            }
        });
        (Self { address, scheme: "https", accepting }, made.cert.pem())
    }

    /// `http://ADDRESS`, or `https://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

/// Answers what comes on a connection; how it ends is the client's affair.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, delay: Duration) {
    let service = service_fn(async |request| {
        tokio::time::sleep(delay).await;
        answer(request).await
    });
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let text = serde_json::to_vec(&seen).expect("strings serialize");
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(answer)
}
