//! TLS towards backends.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sluice_compile::{Scheme, TlsPolicy};
use sluice_integrate::{FaultKind, SystemRoots, UpstreamSettings, UpstreamTls, Upstreams};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Peer, get, on_a_core, proxy_to, text};

/// What a backend shows, and how it must be taken.
struct Case {
    what: &'static str,
    shown: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    policy: TlsPolicy,
    expected: Result<(), FaultKind>,
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn sign(&self, params: &CertificateParams) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], private(&key))
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn self_signed(mut params: CertificateParams, is_ca: bool) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    (vec![params.self_signed(&key).unwrap().der().clone()], private(&key))
}

fn expired(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params
}

fn cases(trusted: &Authority) -> Vec<Case> {
    use TlsPolicy::{SkipVerification, Verify};
    let unknown = Authority::new();
    let case = |what, shown, policy, expected| Case { what, shown, policy, expected };
    let tls = Err(FaultKind::Tls);
    vec![
        case("a known authority and the right name", trusted.sign(&named("localhost")), Verify, Ok(())),
        case("the wrong name", trusted.sign(&named("elsewhere.test")), Verify, tls),
        case("an expired certificate", trusted.sign(&expired("localhost")), Verify, tls),
        case("an unknown authority", unknown.sign(&named("localhost")), Verify, tls),
        case("a certificate that signs itself", self_signed(named("localhost"), false), Verify, tls),
        case("skipped: an unknown authority", unknown.sign(&named("localhost")), SkipVerification, Ok(())),
        case(
            "skipped: a certificate that signs itself",
            self_signed(named("localhost"), false),
            SkipVerification,
            Ok(()),
        ),
        case(
            "skipped: one that calls itself an authority",
            self_signed(named("localhost"), true),
            SkipVerification,
            Ok(()),
        ),
        case("skipped: the wrong name still", self_signed(named("elsewhere.test"), false), SkipVerification, tls),
        case("skipped: an expired one still", self_signed(expired("localhost"), true), SkipVerification, tls),
    ]
}

fn acceptor(shown: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(shown.0, shown.1).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// A file in the test's folder, removed when dropped.
struct CaFile(PathBuf);

impl CaFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-integrate-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn certificates_are_taken_and_refused_as_the_policy_says() {
    let trusted = Authority::new();
    let file = CaFile::new("trusted", &trusted.issuer.pem());
    let tls = UpstreamTls::load(SystemRoots::Ignored, std::slice::from_ref(&file.0)).unwrap();
    on_a_core(async {
        for Case { what, shown, policy, expected } in cases(&trusted) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let acceptor = acceptor(shown);
            let upstreams = Upstreams::new(UpstreamSettings::default(), tls.clone());
            let mut proxy = proxy_to(Scheme::Https, "localhost", listener.local_addr().unwrap().port());
            proxy.tls = policy;
            let serve = async {
                let stream = accept(&listener).await;
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (_, session) = stream.get_ref();
                assert_eq!(session.server_name(), Some("localhost"), "{what}: RFC 6066, 3");
                assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]), "{what}: RFC 7301, 3.1");
                let mut peer = Peer::new(stream);
                for _ in 0..2 {
                    peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
                }
            };
            let ask = async {
                let first = text(get(&upstreams, &proxy).await).await;
                assert_eq!(first.clone().map(|_| ()), expected, "{what}");
                if first.is_ok() {
                    assert_eq!(text(get(&upstreams, &proxy).await).await, Ok((200, "hi".to_owned())), "{what}");
                    assert_eq!(
                        (upstreams.counters().opened.get(), upstreams.counters().reused.get()),
                        (1, 1),
                        "{what}"
                    );
                }
            };
            tokio::join!(serve, ask);
        }
    });
}

#[test]
fn addresses_can_be_named_by_certificates() {
    let trusted = Authority::new();
    let file = CaFile::new("addresses", &trusted.issuer.pem());
    let tls = UpstreamTls::load(SystemRoots::Trusted, std::slice::from_ref(&file.0)).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    let acceptor = acceptor(trusted.sign(&params));
    on_a_core(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstreams = Upstreams::new(UpstreamSettings::default(), tls);
        let proxy = proxy_to(Scheme::Https, "127.0.0.1", listener.local_addr().unwrap().port());
        let serve = async {
            let stream = accept(&listener).await;
            let mut peer = Peer::new(acceptor.accept(stream).await.unwrap());
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        };
        let (answer, ()) = tokio::join!(async { text(get(&upstreams, &proxy).await).await }, serve);
        assert_eq!(answer, Ok((200, "hi".to_owned())));
    });
}

#[test]
fn a_body_that_tls_cuts_short_is_not_whole() {
    let trusted = Authority::new();
    let file = CaFile::new("cut", &trusted.issuer.pem());
    let tls = UpstreamTls::load(SystemRoots::Ignored, std::slice::from_ref(&file.0)).unwrap();
    let acceptor = acceptor(trusted.sign(&named("localhost")));
    on_a_core(async {
        for (ending, expected) in
            [("with close_notify", Ok((200, "hi".to_owned()))), ("without", Err(FaultKind::Reset))]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let upstreams = Upstreams::new(UpstreamSettings::default(), tls.clone());
            let proxy = proxy_to(Scheme::Https, "localhost", listener.local_addr().unwrap().port());
            let serve = async {
                let stream = accept(&listener).await;
                let mut peer = Peer::new(acceptor.accept(stream).await.unwrap());
                peer.answer("HTTP/1.1 200 OK\r\n\r\nhi").await;
                if expected.is_ok() {
                    peer.shut_down().await;
                }
            };
            let (answer, ()) = tokio::join!(async { text(get(&upstreams, &proxy).await).await }, serve);
            assert_eq!(answer, expected, "RFC 9112, 9.8: {ending}");
        }
    });
}

#[test]
fn files_that_hold_no_authority_are_refused_by_name() {
    let empty = CaFile::new("empty", "nothing here\n");
    let refused = UpstreamTls::load(SystemRoots::Ignored, std::slice::from_ref(&empty.0)).unwrap_err();
    assert!(refused.to_string().starts_with("expected at least one certificate in "), "{refused}");
    let missing = UpstreamTls::load(SystemRoots::Ignored, &[PathBuf::from("/nonexistent/ca.pem")]).unwrap_err();
    assert!(missing.to_string().starts_with("expected a PEM file of certificates at /nonexistent/ca.pem"), "{missing}");
}
