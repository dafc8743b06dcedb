//! Memory of an idle connection: what 1,000 of them add that have each made one request and are kept alive.
//!
//! What is shared with other processes counts in part (PSS). Measured when it has stopped falling: a node gives back what an
//! idle connection does not need within seconds.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_e2e::{
    node::{DataNode, free_address},
    tls::{Authority, Client},
    wait::eventually,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::sleep,
};

use crate::{
    calibrate,
    report::{calibration, figure},
    rig::{Backend, Rig, path_text},
    sockets::raise_descriptors,
};

const CONNECTIONS: usize = 1_000;
/// Between two looks at the memory; when it falls no more, it is taken.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Prints the KiB of one, in plaintext and over TLS; a new data node for each figure.
pub(crate) async fn run(runs: usize) -> Result<()> {
    raise_descriptors()?;
    let backend = Backend::start()?;
    let rig = Rig::start(1, 1, &backend.url())?;
    let kinds = [Kind::Plain, Kind::Tls, Kind::TlsHttp2];
    let (mut figures, mut loops) = (kinds.map(|_| Vec::new()), Vec::new());
    for _ in 0..runs {
        loops.push(calibrate::loop_ms());
        for (kind, figures) in kinds.iter().zip(&mut figures) {
            figures.push(once(&rig, *kind).await?);
        }
    }
    for (kind, figures) in kinds.iter().zip(&figures) {
        let (what, goal) = match kind {
            Kind::Plain => ("plaintext, HTTP/1.1", "<= 14"),
            Kind::Tls => ("TLS, HTTP/1.1", "<= 14"),
            Kind::TlsHttp2 => ("TLS, HTTP/2", "-"),
        };
        figure(&format!("memory of an idle connection: {what}"), "KiB", figures, goal);
    }
    calibration(&loops);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
    TlsHttp2,
}

async fn once(rig: &Rig, kind: Kind) -> Result<f64> {
    let folder = TempDir::new()?;
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let authority = Authority::new();
    authority.issue("localhost", &certificate, &key);
    let https = free_address();
    let flags = [
        ["--drain-delay", "0s"],
        ["--timeouts-idle", "1h"],
        ["--listen-https", &https.to_string()],
        ["--tls-certificates", path_text(&certificate)?],
        ["--tls-keys", path_text(&key)?],
    ];
    let node = DataNode::with(&[], &folder.path().join("node"), &rig.dev.ready.admin[0], flags.as_flattened());
    let client = Opener {
        tls: authority.client(if kind == Kind::TlsHttp2 { &["h2"] } else { &["http/1.1"] }),
        kind,
        address: if kind == Kind::Plain { node.address } else { https },
        path: rig.path("/plain"),
    };
    drop(eventually("the data node serves", || async { client.open().await.map_err(|error| error.to_string()) }).await);
    let before = settled(node.process.pid()).await?;
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        open.push(client.open().await?);
    }
    let after = settled(node.process.pid()).await?;
    drop(open);
    Ok((after as f64 - before as f64) / CONNECTIONS as f64 / 1_024.0)
}

/// What keeps a connection open.
type Kept = Box<dyn std::any::Any + Send>;

struct Opener {
    tls: Client,
    kind: Kind,
    address: SocketAddr,
    path: String,
}

impl Opener {
    /// Opens a connection and makes one request on it.
    async fn open(&self) -> Result<Kept> {
        match self.kind {
            Kind::Plain => self.http1(TcpStream::connect(self.address).await?).await,
            Kind::Tls => self.http1(self.tls.connect(self.address, "localhost").await?).await,
            Kind::TlsHttp2 => {
                let stream = TokioIo::new(self.tls.connect(self.address, "localhost").await?);
                let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream).await?;
                drop(tokio::spawn(connection));
                let url = format!("https://localhost{}", self.path);
                let answer = sender.send_request(Request::get(url).body(Empty::<Bytes>::new())?).await?;
                ensure!(answer.status() == 200, "{answer:?}");
                drop(answer.into_body().collect().await?);
                Ok(Box::new(sender))
            }
        }
    }

    async fn http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Kept> {
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await?;
        drop(tokio::spawn(connection));
        let request = Request::get(&self.path).header("host", "localhost").body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "{answer:?}");
        drop(answer.into_body().collect().await?);
        Ok(Box::new(sender))
    }
}

/// Bytes of a process once they fall no more.
async fn settled(pid: u32) -> Result<u64> {
    let mut last = pss(pid)?;
    loop {
        sleep(LOOK_EVERY).await;
        let now = pss(pid)?;
        if now >= last {
            return Ok(now);
        }
        last = now;
    }
}

fn pss(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("Linux says what a process has")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse::<u64>()? * 1_024)
}
