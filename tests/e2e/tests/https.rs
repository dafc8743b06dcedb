//! Clients over TLS: with curl, and while certificates are renewed under load.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_e2e::{
    cluster::Cluster,
    fixture,
    http::get,
    node::{DataNode, free_address},
    process::skip,
    tls::{Authority, Client, shown},
    wait::eventually,
};

const NAME: &str = "gateway.test";

/// A data node with HTTPS, and what clients need to know of it.
struct Served {
    cluster: Cluster,
    node: DataNode,
    https: std::net::SocketAddr,
    authority: Authority,
    certificate: PathBuf,
    key: PathBuf,
    /// Of a route of the API that it serves.
    path: String,
}

impl Served {
    async fn start() -> Self {
        let cluster = Cluster::start(1, &[]).await;
        let authority = Authority::new();
        let (certificate, key) = (cluster.folder("tls.crt"), cluster.folder("tls.key"));
        authority.issue(NAME, &certificate, &key);
        let https = free_address();
        let (certificates, keys) = (certificate.display().to_string(), key.display().to_string());
        let flags = [
            ["--drain-delay", "0s"],
            ["--listen-https", &https.to_string()],
            ["--tls-certificates", &certificates],
            ["--tls-keys", &keys],
        ];
        let node = DataNode::with(&[], &cluster.folder("data"), &cluster.url(0), flags.as_flattened());
        let cli = cluster.cli();
        let folder = certificate.parent().unwrap();
        let api = fixture::import(&cli, &fixture::mock(folder, "pets", &["/pets"]), &[]);
        drop(cli.json(&["api", "deploy", &api, "--stage", "prod", "--wait=false"]));
        let served =
            Self { path: fixture::route(&api, "prod", "/pets"), cluster, node, https, authority, certificate, key };
        eventually("the node serves", || async {
            let answer = get(served.node.address, &served.path, &[]).await.map_err(|error| error.to_string())?;
            if answer.status() == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
        served
    }

    /// Waits until the node says so many of a kind of reloads.
    async fn reloaded(&self, kind: &str, count: usize) {
        let line = format!("sluice_tls_reloads_total{{kind=\"{kind}\"}} {count}");
        eventually(&line, || async {
            let page = get(self.node.operations, "/metrics", &[]).await.map_err(|error| error.to_string())?;
            let page = String::from_utf8_lossy(page.body()).into_owned();
            if page.lines().any(|found| found == line) { Ok(()) } else { Err(page) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_both_versions_of_http_over_tls() {
    let served = Served::start().await;
    let ca = served.cluster.folder("ca.pem");
    std::fs::write(&ca, served.authority.pem()).unwrap();
    let port = served.https.port();
    for (flag, expect) in [("--http2", "200 2"), ("--http1.1", "200 1.1")] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]);
        curl.arg(flag).arg("--cacert").arg(&ca).args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
        let Ok(output) = curl.arg(format!("https://{NAME}:{port}{}", served.path)).output() else {
            return skip("curl_speaks_both_versions_of_http_over_tls", "no curl on this machine");
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow tier"]
async fn certificates_are_renewed_under_load_without_a_failed_request() {
    let served = Served::start().await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (http1, http2) = (served.authority.client(&["http/1.1"]), served.authority.client(&["h2"]));
    let load = |client: &Client, kind: Kind| {
        let (client, to, path) = (client.clone(), served.https, served.path.clone());
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                done.fetch_add(kind.run(&client, to, &path, &stop).await?, Ordering::Relaxed);
            }
            Ok::<(), anyhow::Error>(())
        })
    };
    let clients = [
        load(&http1, Kind::KeptHttp1),
        load(&http2, Kind::KeptHttp2),
        load(&http1, Kind::NewConnections),
        load(&http2, Kind::NewConnections),
    ];
    // Who takes up a session again is shown no certificate.
    let stranger = || served.authority.client(&["http/1.1"]);
    let first = shown(&stranger().connect(served.https, NAME).await.unwrap());
    served.authority.issue(NAME, &served.certificate, &served.key);
    served.reloaded("served", 1).await;
    let second = shown(&stranger().connect(served.https, NAME).await.unwrap());
    assert_ne!(first, second, "the renewed certificate is shown");

    let whole = std::fs::read(&served.certificate).unwrap();
    std::fs::write(&served.certificate, &whole[..whole.len() / 2]).unwrap();
    served.reloaded("refused", 1).await;
    assert_eq!(second, shown(&stranger().connect(served.https, NAME).await.unwrap()), "the one before the broken one");
    served.authority.issue(NAME, &served.certificate, &served.key);
    served.reloaded("served", 2).await;

    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap().unwrap();
    }
    let count = done.load(Ordering::Relaxed);
    assert!(count > 100, "{count} requests were answered");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One connection for the whole test.
    KeptHttp1,
    /// The same over HTTP/2.
    KeptHttp2,
    /// One for each request, HTTP/2 where the client offers it.
    NewConnections,
}

impl Kind {
    /// Sends requests over one connection: one, or until `stop`. How many were answered.
    async fn run(self, client: &Client, to: std::net::SocketAddr, path: &str, stop: &AtomicBool) -> Result<usize> {
        let stream = client.connect(to, NAME).await?;
        let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let mut count = 0;
        let goes_on = |count: usize| self != Self::NewConnections && !stop.load(Ordering::Relaxed) || count == 0;
        if multiplexed {
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
            let driven = tokio::spawn(connection);
            while goes_on(count) {
                let request = Request::get(format!("https://{NAME}{path}")).body(Empty::<Bytes>::new())?;
                let answer = sender.send_request(request).await?;
                ensure!(answer.status() == 200, "{answer:?}");
                drop(answer.into_body().collect().await?);
                count += 1;
            }
            drop(sender);
            driven.await??;
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            let driven = tokio::spawn(connection);
            while goes_on(count) {
                sender.ready().await?;
                let request = Request::get(path).header("host", NAME).body(Empty::<Bytes>::new())?;
                let answer = sender.send_request(request).await?;
                ensure!(answer.status() == 200, "{answer:?}");
                drop(answer.into_body().collect().await?);
                count += 1;
            }
            drop(sender);
            driven.await??;
        }
        Ok(count)
    }
}
