//! A backend that does what a test says, byte by byte, and a core that calls it.
//!
//! The clock stands still until a test moves it, so that no timer can fire because a machine is slow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sluice_compile::{CompiledUri, HttpProxy, Origin, Piece, Scheme, TlsPolicy, ValueSource};
use sluice_integrate::{
    Answer, Call, Fault, FaultKind, Forwarded, RequestBody, SystemRoots, UpstreamSettings, UpstreamTls, Upstreams,
    Values,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

/// Runs a test as a core runs: one thread, with local tasks. The clock stands still.
pub(crate) fn on_a_core(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // A paused clock moves by itself when all tasks wait, also when bytes are under way; not while a blocking task runs.
    let (ended, wait) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || wait.recv());
    tokio::task::LocalSet::new().block_on(&runtime, test);
    drop(ended);
}

/// Moves the clock, a little at a time, until `future` is there.
pub(crate) async fn passing_time<T>(future: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            tokio::time::advance(Duration::from_millis(500)).await;
        }
    };
    tokio::select! { biased; done = future => done, () = passing => unreachable!("it passes for ever") }
}

/// Lets other tasks run until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..10_000_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain until {what}");
}

/// A listening backend.
pub(crate) struct Backend {
    listener: TcpListener,
    pub(crate) port: u16,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::new(stream)
    }
}

/// The backend's side of one connection.
pub(crate) struct Peer<S> {
    stream: S,
    read: Vec<u8>,
}

impl Peer<TcpStream> {
    /// Waits until what was sent lies in the gateway's socket, unread.
    pub(crate) async fn delivered(&self) {
        let ends = [self.stream.peer_addr(), self.stream.local_addr()].map(|end| end.unwrap().port());
        let sockets = || std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = |address: &str| u16::from_str_radix(address.split_once(':').unwrap().1, 16).unwrap();
        let unread = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            [port(columns[1]), port(columns[2])] == ends && !columns[4].ends_with(":00000000")
        };
        while !sockets().lines().skip(1).any(unread) {
            tokio::task::yield_now().await;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Reads a request head, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.read_more().await > 0, "connection ended inside a head");
        }
    }

    /// Reads exactly `count` bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.read_more().await > 0, "connection ended after {} of {count} bytes", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// Sends, in one write.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends what the gateway takes; it may have closed the connection.
    pub(crate) async fn offer(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Takes a request without a body and answers it.
    pub(crate) async fn answer(&mut self, response: &str) -> String {
        let head = self.head().await;
        self.send(response).await;
        head
    }

    /// Waits until the gateway has closed the connection; returns what it sent before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.read_more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Ends this side only.
    pub(crate) async fn shut_down(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn read_more(&mut self) -> usize {
        // A reset is an end as well.
        self.stream.read_buf(&mut self.read).await.unwrap_or(0)
    }
}

pub(crate) fn upstreams() -> Upstreams {
    upstreams_with(UpstreamSettings::default())
}

pub(crate) fn upstreams_with(settings: UpstreamSettings) -> Upstreams {
    Upstreams::new(settings, UpstreamTls::load(SystemRoots::Ignored, &[]).unwrap())
}

/// `http://127.0.0.1:PORT/`, with five seconds.
pub(crate) fn proxy(port: u16) -> HttpProxy {
    proxy_to(Scheme::Http, "127.0.0.1", port)
}

pub(crate) fn proxy_to(scheme: Scheme, host: &str, port: u16) -> HttpProxy {
    let authority = HeaderValue::from_str(&format!("{host}:{port}")).unwrap();
    let origin = Arc::new(Origin { scheme, host: host.into(), port, authority });
    HttpProxy {
        verb: None,
        uri: CompiledUri { origin, path: [Piece::Literal("/".into())].into(), query: [].into() },
        headers: [].into(),
        query: [].into(),
        timeout: Duration::from_secs(5),
        tls: TlsPolicy::Verify,
    }
}

/// Mappings find nothing.
#[derive(Debug)]
pub(crate) struct NoValues;

impl Values for NoValues {
    fn each(&self, _source: &ValueSource, _take: &mut dyn FnMut(&str)) {}
}

/// Now, as the clock of the test has it.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// Calls without header fields.
pub(crate) async fn call(
    upstreams: &Upstreams,
    proxy: &HttpProxy,
    method: Method,
    body: RequestBody,
) -> Result<Answer, Fault> {
    let headers = HeaderMap::new();
    let call = Call {
        method: &method,
        headers: &headers,
        query: "",
        body,
        values: &NoValues,
        api_id: "abc",
        trace_id: None,
        forwarded: Forwarded { address: "192.0.2.1", port: "80", proto: "http" },
        began: now(),
    };
    upstreams.call(proxy, call).await
}

pub(crate) async fn get(upstreams: &Upstreams, proxy: &HttpProxy) -> Result<Answer, Fault> {
    call(upstreams, proxy, Method::GET, RequestBody::empty()).await
}

/// A whole answer.
#[derive(PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, self.body)
    }
}

/// Reads an answer to its end.
pub(crate) async fn whole(answer: Result<Answer, Fault>) -> Result<Whole, FaultKind> {
    let Answer { status, headers, body } = answer.map_err(|fault| fault.kind)?;
    let collected = body.collect().await.map_err(|fault| fault.kind)?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Whole { status, headers, body: collected.to_bytes(), trailers })
}

/// What a test looks at most often.
pub(crate) async fn text(answer: Result<Answer, Fault>) -> Result<(u16, String), FaultKind> {
    let whole = whole(answer).await?;
    Ok((whole.status.as_u16(), String::from_utf8(whole.body.to_vec()).unwrap()))
}

/// A client whose request body is being received: bytes written to the stream are its body, in `framing`'s form.
pub(crate) async fn client_body(framing: &str) -> (Incoming, DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1024 * 1024);
    let (found, body) = tokio::sync::oneshot::channel();
    let found = std::cell::Cell::new(Some(found));
    tokio::task::spawn_local(async move {
        let service = hyper::service::service_fn(|request: http::Request<Incoming>| {
            found.take().unwrap().send(request.into_body()).unwrap();
            std::future::pending::<Result<http::Response<String>, std::convert::Infallible>>()
        });
        // It ends with the client's connection, whatever the test did to that.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).await;
    });
    client.write_all(format!("POST / HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
    (body.await.unwrap(), client)
}
