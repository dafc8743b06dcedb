//! A certificate and its key, read from two files.
//!
//! Promise: what comes out is a key and the certificate that was made for it, with the names it is good for; whatever is
//! wrong is said with the file's name. Absent: whether anyone trusts it, which is for clients to say.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Bytes of a file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a certificate and its key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFailure {
    /// The system does not give the file.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("expected a PEM file with {expected} in {}: {reason}", .path.display())]
    NotPem {
        /// What it should hold.
        expected: &'static str,
        /// The file.
        path: PathBuf,
        /// What reading it said.
        reason: String,
    },
    /// The certificate is not one of this key, or one of the two is of a kind that is not known.
    #[error("cannot serve the certificate in {} with the key in {}: {reason}", .certificate.display(), .key.display())]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not.
        reason: rustls::Error,
    },
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// DNS names it is for, in lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    /// When it expires, seconds since 1970.
    pub(super) expires_s: i64,
}

impl Pair {
    /// Reads the two files.
    ///
    /// # Errors
    /// [`CertificateFailure`]
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Certificate, CertificateFailure> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents(&self.key)?);
        let key = key.map_err(|error| not_pem("a private key", &self.key, &error))?;
        let unreadable = || CertificateFailure::NotPem {
            expected: "certificates",
            path: self.certificate.clone(),
            reason: "the first is not a certificate of X.509".to_owned(),
        };
        let (names, expires_s) = read_first(&chain).ok_or_else(unreadable)?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|reason| CertificateFailure::Unfit {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            reason,
        })?;
        Ok(Certificate { key: Arc::new(key), names, expires_s })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFailure> {
    let text = contents(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| not_pem("certificates", path, &error))?;
    if chain.is_empty() {
        return Err(not_pem("certificates", path, &pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn contents(path: &Path) -> Result<Vec<u8>, CertificateFailure> {
    let unreadable = |source| CertificateFailure::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let count = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if count as u64 > FILE_BYTES_MAX {
        return Err(unreadable(io::Error::other(format!("expected at most {FILE_BYTES_MAX} bytes"))));
    }
    Ok(bytes)
}

fn not_pem(expected: &'static str, path: &Path, error: &pem::Error) -> CertificateFailure {
    let reason = match error {
        // The error of the crate shows bytes of the file, which may be those of a key.
        pem::Error::NoItemsFound => "there is none",
        pem::Error::MissingSectionEnd { .. } => "the end is missing",
        _ => "it is damaged",
    };
    CertificateFailure::NotPem { expected, path: path.to_owned(), reason: reason.to_owned() }
}

/// The names that the first certificate is for, and when it expires.
fn read_first(chain: &[CertificateDer<'_>]) -> Option<(Vec<String>, i64)> {
    let (_, certificate) = parse_x509_certificate(chain.first()?).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some((names.collect(), certificate.validity().not_after.timestamp()))
}
