//! A certificate authority of a test, and clients that trust it alone.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// An authority that signs certificates for servers.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("the machine has randomness");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let pem = params.self_signed(&key).expect("the parameters are valid").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its certificate (PEM).
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes a new certificate for a name and its key to two files.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn issue(&self, name: &str, certificate: &Path, key: &Path) {
        let made = KeyPair::generate().expect("the machine has randomness");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("the names of tests are valid");
        let signed = params.signed_by(&made, &self.issuer).expect("an authority signs");
        std::fs::write(certificate, signed.pem()).expect("the folder of a test is writable");
        std::fs::write(key, made.serialize_pem()).expect("the folder of a test is writable");
    }

    /// A client that trusts what it signs, and offers these protocols.
    ///
    /// # Panics
    /// Never: its certificate is one.
    #[must_use]
    pub fn client(&self, alpn: &[&str]) -> Client {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("rcgen writes PEM");
        roots.add(own).expect("an authority may be trusted");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Client(Arc::new(config).into())
    }
}

/// A client over TLS.
#[derive(Clone)]
pub struct Client(TlsConnector);

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Client")
    }
}

impl Client {
    /// Connects to a server of this name.
    ///
    /// # Errors
    /// When the connection or the handshake fails.
    pub async fn connect(&self, to: SocketAddr, name: &str) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
        let name = ServerName::try_from(name.to_owned())?;
        self.0.connect(name, stream).await.context("the handshake")
    }
}

/// The certificate that a server showed.
#[must_use]
pub fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec()).unwrap_or_default()
}
