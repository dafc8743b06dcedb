//! The certificate that a node shows, and the key that proves it.
//!
//! Promise: all listeners and dialers of a node read one cell at each handshake, so that a new certificate is shown from
//! the next connection on, and no connection ends for it; certificate and key change together. Absent: when to change
//! them (`renewal`), and the file (`identity`).

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{prelude::FromDer as _, time::ASN1Time};

use crate::{IdentityFailure, Secret, authority::CLOCK_ALLOWANCE, tls};

/// A node's certificate and private key. Clones share them, and see a replacement.
#[derive(Clone)]
pub struct Credentials {
    cell: Arc<RwLock<Arc<Shown>>>,
}

/// What is shown until it is replaced.
#[derive(Debug)]
struct Shown {
    certificate_pem: String,
    key_pem: Secret<String>,
    certified: Arc<CertifiedKey>,
    serial: String,
    validity: Validity,
}

/// From when to when a certificate is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from: SystemTime,
    /// The last one.
    pub until: SystemTime,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Credentials({})", self.serial())
    }
}

impl Credentials {
    /// A certificate and its key, both in PEM.
    ///
    /// # Errors
    /// `Certificate` when one of them cannot be read, or they do not belong together.
    pub fn new(certificate_pem: &str, key_pem: Secret<String>) -> Result<Self, IdentityFailure> {
        let shown = Shown::new(certificate_pem, key_pem)?;
        Ok(Self { cell: Arc::new(RwLock::new(Arc::new(shown))) })
    }

    /// Shows another certificate from the next handshake on, here and in all clones.
    ///
    /// # Errors
    /// `Certificate` as [`Credentials::new`]; the present one stays then.
    pub fn replace(&self, certificate_pem: &str, key_pem: Secret<String>) -> Result<(), IdentityFailure> {
        let shown = Arc::new(Shown::new(certificate_pem, key_pem)?);
        *self.cell.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// Hex of the certificate's serial number.
    pub fn serial(&self) -> String {
        self.shown().serial.clone()
    }

    /// When the certificate is accepted.
    pub fn validity(&self) -> Validity {
        self.shown().validity
    }

    /// Certificate and key as they stand in one file.
    pub(crate) fn to_pem(&self) -> Secret<String> {
        let shown = self.shown();
        Secret::new(format!("{}{}", ended(&shown.certificate_pem), ended(shown.key_pem.expose())))
    }

    fn shown(&self) -> Arc<Shown> {
        self.cell.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn ended(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}

impl Shown {
    fn new(certificate_pem: &str, key_pem: Secret<String>) -> Result<Self, IdentityFailure> {
        const WHAT: &str = "the node's certificate";
        let chain = tls::certificates(certificate_pem, WHAT)?;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&chain[0])
            .map_err(|error| IdentityFailure::certificate(WHAT, error))?;
        let validity = Validity {
            from: instant(parsed.validity().not_before.timestamp()),
            until: instant(parsed.validity().not_after.timestamp()),
        };
        let serial = parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        let certified = CertifiedKey::from_der(chain, tls::private_key(&key_pem)?, &tls::provider())
            .map_err(|error| IdentityFailure::certificate("the node's certificate and key", error))?;
        let certificate_pem = certificate_pem.to_owned();
        Ok(Self { certificate_pem, key_pem, certified: Arc::new(certified), serial, validity })
    }
}

/// Seconds since the epoch; what lies before it is long ago all the same.
fn instant(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

impl Validity {
    /// Whether the certificate has expired by `now`.
    pub fn is_over(&self, now: SystemTime) -> bool {
        now > self.until
    }

    /// When to ask for the next certificate: after two thirds of this one's life, or up to a tenth of that earlier, as
    /// `jitter` (0 to 1) says, so that nodes that joined together do not ask together.
    pub fn renew_at(&self, jitter: f64) -> SystemTime {
        // The start lies before the signing, for clocks that are behind.
        let signed = self.from + CLOCK_ALLOWANCE;
        let life = self.until.duration_since(signed).unwrap_or_default();
        signed + life.mul_f64(2.0 / 3.0 * (1.0 - jitter.clamp(0.0, 1.0) / 10.0))
    }

    /// The last instant, for people.
    pub fn until_text(&self) -> String {
        let seconds = i64::try_from(self.until_ms() / 1_000).unwrap_or(i64::MAX);
        ASN1Time::from_timestamp(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
    }

    /// The last instant, seconds since the epoch, as a gauge shows it.
    pub fn until_seconds(&self) -> f64 {
        self.until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// The last instant, milliseconds since the epoch.
    pub fn until_ms(&self) -> u64 {
        let since = self.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().certified.clone())
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, NodeNames, NodeRole, certificate_request};

    const HOUR: Duration = Duration::from_secs(3600);

    fn signed(authority: &Authority, life: Duration) -> (String, Secret<String>) {
        let (key, request) = certificate_request().unwrap();
        let names = NodeNames { role: NodeRole::Data, node_id: "d1", hosts: &[] };
        (authority.sign(&request, &names, life).unwrap().pem, key)
    }

    #[test]
    fn clones_show_what_one_of_them_was_given() {
        let authority = Authority::make("c1").unwrap().0;
        let (first, key) = signed(&authority, HOUR);
        let credentials = Credentials::new(&first, key).unwrap();
        let shared = credentials.clone();
        let before = shared.serial();
        let (second, key) = signed(&authority, HOUR);
        credentials.replace(&second, key).unwrap();
        assert_ne!(shared.serial(), before);
        assert_eq!(shared.serial(), credentials.serial());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_present_one_stays() {
        let authority = Authority::make("c1").unwrap().0;
        let (first, key) = signed(&authority, HOUR);
        let (second, _) = signed(&authority, HOUR);
        assert!(Credentials::new(&second, key.clone()).is_err());
        let credentials = Credentials::new(&first, key.clone()).unwrap();
        let before = credentials.serial();
        assert!(credentials.replace(&second, key).is_err());
        assert_eq!(credentials.serial(), before);
    }

    #[test]
    fn a_certificate_is_renewed_between_six_and_seven_tenths_of_its_life() {
        let authority = Authority::make("c1").unwrap().0;
        let now = SystemTime::now();
        let (pem, key) = signed(&authority, 100 * HOUR);
        let validity = Credentials::new(&pem, key).unwrap().validity();
        assert!(!validity.is_over(now) && validity.is_over(now + 101 * HOUR));
        for (jitter, least, most) in [(0.0, 66, 67), (1.0, 59, 61), (9.0, 59, 61)] {
            let due = validity.renew_at(jitter).duration_since(now).unwrap();
            assert!(due >= least * HOUR && due <= most * HOUR, "{jitter}: {due:?}");
        }
    }
}
