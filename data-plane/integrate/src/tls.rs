//! TLS towards backends: which authorities are trusted, and what `insecureSkipVerification` still checks.
//!
//! Promise: made once per process and shared by its cores; certificates are read from the system and from extra files;
//! names are verified always.
//! Absent: client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tracing::warn;

/// TLS configurations of a process.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    pub(crate) verified: Arc<ClientConfig>,
    pub(crate) any_authority: Arc<ClientConfig>,
}

/// A file of extra authorities that cannot be used; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// The file cannot be read as PEM.
    #[error("expected a PEM file of certificates at {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it said.
        reason: String,
    },
    /// The file is PEM but holds no certificate.
    #[error("expected at least one certificate in {path}, found none")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it cannot be an authority.
    #[error("certificate in {path} cannot be trusted as an authority: {reason}")]
    NotAnAuthority {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: rustls::Error,
    },
    /// The crypto provider lacks the protocol versions.
    #[error("TLS is not available: {0}")]
    Unavailable(rustls::Error),
}

/// Whose authorities are trusted beside the extra files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemRoots {
    /// Those of the operating system.
    Trusted,
    /// None.
    Ignored,
}

impl UpstreamTls {
    /// Trusts the system's authorities, if wished, and those in `ca_files` (PEM).
    ///
    /// # Errors
    /// When a file cannot be used. A system without authorities is a warning.
    pub fn load(system: SystemRoots, ca_files: &[PathBuf]) -> Result<Self, TlsFailure> {
        let mut roots = RootCertStore::empty();
        if system == SystemRoots::Trusted {
            let native = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(native.certs);
            if added == 0 {
                warn!(errors = native.errors.len(), "no certificate authority found on this system");
            }
        }
        for path in ca_files {
            add_file(&mut roots, path)?;
        }
        let provider = Arc::new(ring::default_provider());
        let verified = builder(&provider)?.with_root_certificates(roots).with_no_client_auth();
        let any_authority = builder(&provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyAuthority { provider: Arc::clone(&provider) }))
            .with_no_client_auth();
        Ok(Self { verified: with_alpn(verified), any_authority: with_alpn(any_authority) })
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsFailure> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsFailure::Unavailable)
}

fn with_alpn(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsFailure> {
    let unreadable = |error: rustls_pki_types::pem::Error| TlsFailure::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let added = roots.add(certificate.map_err(unreadable)?);
        added.map_err(|reason| TlsFailure::NotAnAuthority { path: path.to_owned(), reason })?;
        found = true;
    }
    if found { Ok(()) } else { Err(TlsFailure::Empty { path: path.to_owned() }) }
}

/// AWS's `insecureSkipVerification`: the authority may be unknown, but name and dates are checked ("API Gateway still
/// performs basic certificate validation, which includes checking the certificate's expiration date, hostname ...").
#[derive(Debug)]
struct AnyAuthority {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError as Refused;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_name(&certificate, server_name)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        // With no authority at all this must fail; it fails on the certificate's dates first.
        let roots = RootCertStore::empty();
        match verify_server_cert_signed_by_trust_anchor(&certificate, &roots, intermediates, now, algorithms) {
            Err(rustls::Error::InvalidCertificate(
                error @ (Refused::Expired
                | Refused::ExpiredContext { .. }
                | Refused::NotValidYet
                | Refused::NotValidYetContext { .. }
                | Refused::BadEncoding),
            )) => Err(error.into()),
            Ok(()) | Err(_) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
