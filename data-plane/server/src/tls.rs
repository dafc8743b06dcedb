//! TLS towards clients: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, a certificate by the name that was asked for.
//!
//! Promise: one configuration for all cores of a node; a certificate that changes is served to new connections, and open
//! ones do not notice. Sessions resume by tickets that this node alone can read, so that they cost it no memory.
//! Absent: certificates of clients, OCSP stapling, early data; names of custom domains.

mod certificate;
mod directory;
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use sluice_telemetry::Metrics;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use self::certificate::CertificateFailure;
use self::certificate::Pair;
use self::directory::Directory;
use self::files::Files;
use crate::settings::Settings;

/// What clients may choose, best first.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Why a node cannot serve HTTPS as its settings say.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsFailure {
    /// The two lists do not fit each other.
    #[error(
        "tls.certificates names {certificates} files and tls.keys {keys}; expected as many, each key in the place of its \
         certificate"
    )]
    Unpaired {
        /// Files of certificates.
        certificates: usize,
        /// Files of keys.
        keys: usize,
    },
    /// A pair cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateFailure),
    /// The crypto provider lacks something.
    #[error("TLS is not available: {0}")]
    Unavailable(#[from] rustls::Error),
}

/// HTTPS of a node.
#[derive(Debug)]
pub(crate) struct ClientTls {
    config: Arc<ServerConfig>,
    files: Files,
}

impl ClientTls {
    /// Reads the certificates that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// [`ClientTlsFailure`], for the first pair that cannot be used.
    pub(crate) fn load(settings: &Settings, metrics: &Metrics) -> Result<Option<Self>, ClientTlsFailure> {
        let (certificates, keys) = (&settings.tls_certificates, &settings.tls_keys);
        if certificates.len() != keys.len() {
            return Err(ClientTlsFailure::Unpaired { certificates: certificates.len(), keys: keys.len() });
        }
        if certificates.is_empty() {
            return Ok(None);
        }
        let pair =
            |(certificate, key): (&PathBuf, &PathBuf)| Pair { certificate: certificate.clone(), key: key.clone() };
        let directory = Arc::new(Directory::default());
        let files = Files::open(certificates.iter().zip(keys).map(pair), Arc::clone(&directory), metrics)?;
        Ok(Some(Self { config: Arc::new(config(directory)?), files }))
    }

    /// What makes a connection's handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }

    /// Reads the files again when they change, until `stop`.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        self.files.follow(stop).await;
    }
}

fn config(directory: Arc<Directory>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(directory);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
