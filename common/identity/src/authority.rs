//! The cluster's certificate authority, and the certificates it signs.
//!
//! Promise: a certificate names cluster, role and node, or operator, as the cluster decided them; of a request only the
//! public key is taken. Absent: keeping the CA's key (sealed, in replicated state), how long a certificate should live,
//! revocation.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};

use crate::{
    IdentityFailure, NodeRole, Secret,
    secret::random_bytes,
    tls::{ca_uri, cluster_of_ca, dns_name, node_uri, operator_uri},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A clock that is behind by less than this still accepts a new certificate.
pub(crate) const CLOCK_ALLOWANCE: Duration = DAY;
const CA_VALIDITY: Duration = Duration::from_secs(20 * 365 * DAY.as_secs());

/// Signs certificates of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    cluster_id: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Authority({})", self.cluster_id)
    }
}

/// What a certificate says of a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeNames<'a> {
    /// What it is.
    pub role: NodeRole,
    /// Who it is.
    pub node_id: &'a str,
    /// Host names and IP addresses that it announces: for clients that verify these, such as browsers and curl.
    pub hosts: &'a [&'a str],
}

/// A signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCertificate {
    /// PEM.
    pub pem: String,
    /// Hex of its serial number.
    pub serial: String,
    /// Of the public key that it certifies.
    pub key_hash: [u8; 32],
    /// When it expires, milliseconds since the epoch.
    pub expires_ms: u64,
}

impl Authority {
    /// A new CA for `cluster_id`, and its private key in PEM.
    pub(crate) fn make(cluster_id: &str) -> Result<(Self, Secret<String>), IdentityFailure> {
        let key = KeyPair::generate().map_err(failure("a new CA key"))?;
        let key_pem = Secret::new(key.serialize_pem());
        let mut params = params(cluster_id, &format!("sluice cluster {cluster_id}"), SystemTime::now() + CA_VALIDITY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri_name(&ca_uri(cluster_id))?];
        let ca_pem = params.self_signed(&key).map_err(failure("a new CA certificate"))?.pem();
        let issuer = Issuer::new(params, key);
        Ok((Self { issuer, ca_pem, cluster_id: cluster_id.to_owned() }, key_pem))
    }

    /// The CA whose certificate and private key these are.
    ///
    /// # Errors
    /// `Certificate` when one of them cannot be read.
    pub fn open(ca_pem: &str, key_pem: &Secret<String>) -> Result<Self, IdentityFailure> {
        let key = KeyPair::from_pem(key_pem.expose()).map_err(failure("the cluster CA's key"))?;
        let issuer = Issuer::from_ca_cert_pem(ca_pem, key).map_err(failure("the cluster CA's certificate"))?;
        Ok(Self { issuer, ca_pem: ca_pem.to_owned(), cluster_id: cluster_of_ca(ca_pem)? })
    }

    /// PEM of the CA's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Signs the key of `request_pem` for the node that `names` describes; the certificate is good for `life` from now on.
    ///
    /// # Errors
    /// `Certificate` when the request is malformed, its signature is wrong, or a name cannot stand in a certificate.
    pub fn sign(
        &self,
        request_pem: &str,
        names: &NodeNames<'_>,
        life: Duration,
    ) -> Result<SignedCertificate, IdentityFailure> {
        self.sign_until(request_pem, names, SystemTime::now() + life)
    }

    pub(crate) fn sign_until(
        &self,
        request_pem: &str,
        names: &NodeNames<'_>,
        until: SystemTime,
    ) -> Result<SignedCertificate, IdentityFailure> {
        let mut params = params(&self.cluster_id, names.node_id, until)?;
        // A control node is the server of some connections and the client of others.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = subject_names(&self.cluster_id, names)?;
        self.sign_as(request_pem, params, until)
    }

    /// Signs the key of `request_pem` for the operator `name`, until `until`. It is of use to a client only, and stands
    /// under no name that anyone would take for a server.
    ///
    /// # Errors
    /// As [`Authority::sign`].
    pub fn sign_operator(
        &self,
        request_pem: &str,
        name: &str,
        until: SystemTime,
    ) -> Result<SignedCertificate, IdentityFailure> {
        let mut params = params(&self.cluster_id, name, until)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri_name(&operator_uri(&self.cluster_id, name))?];
        self.sign_as(request_pem, params, until)
    }

    fn sign_as(
        &self,
        request_pem: &str,
        mut params: CertificateParams,
        until: SystemTime,
    ) -> Result<SignedCertificate, IdentityFailure> {
        let mut request =
            CertificateSigningRequestParams::from_pem(request_pem).map_err(failure("the certificate request"))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let serial = serial_number()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        request.params = params;
        let key_hash = *blake3::hash(request.public_key.der_bytes()).as_bytes();
        let signed = request.signed_by(&self.issuer).map_err(failure("the certificate request"))?;
        let serial = serial.iter().map(|byte| format!("{byte:02x}")).collect();
        let expires = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires_ms = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
        Ok(SignedCertificate { pem: signed.pem(), serial, key_hash, expires_ms })
    }
}

/// A new private key, and the request to have it signed: both in PEM. The key never leaves the node.
///
/// # Errors
/// `Certificate` when the key cannot be made.
pub fn certificate_request() -> Result<(Secret<String>, String), IdentityFailure> {
    let key = KeyPair::generate().map_err(failure("a new private key"))?;
    let request = CertificateParams::default().serialize_request(&key).map_err(failure("a certificate request"))?;
    let request_pem = request.pem().map_err(failure("a certificate request"))?;
    Ok((Secret::new(key.serialize_pem()), request_pem))
}

fn params(cluster_id: &str, name: &str, until: SystemTime) -> Result<CertificateParams, IdentityFailure> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, format!("sluice {cluster_id}"));
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = (SystemTime::now() - CLOCK_ALLOWANCE).into();
    params.not_after = until.into();
    Ok(params)
}

fn subject_names(cluster_id: &str, names: &NodeNames<'_>) -> Result<Vec<SanType>, IdentityFailure> {
    let mut found =
        vec![name(&dns_name(names.role, cluster_id))?, uri_name(&node_uri(cluster_id, names.role, names.node_id))?];
    // Beside what it announces, a node is reached from its own machine: by curl for health, by grpcurl.
    for host in names.hosts.iter().chain(&["localhost", "127.0.0.1", "::1"]) {
        let host = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => name(host)?,
        };
        if !found.contains(&host) {
            found.push(host);
        }
    }
    Ok(found)
}

fn name(text: &str) -> Result<SanType, IdentityFailure> {
    Ok(SanType::DnsName(text.try_into().map_err(failure("a host name"))?))
}

fn uri_name(text: &str) -> Result<SanType, IdentityFailure> {
    Ok(SanType::URI(text.try_into().map_err(failure("a node's URI"))?))
}

/// 16 random bytes, positive as RFC 5280, section 4.1.2.2 asks.
fn serial_number() -> Result<[u8; 16], IdentityFailure> {
    let mut serial: [u8; 16] = random_bytes()?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial)
}

fn failure<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> IdentityFailure {
    move |error| IdentityFailure::certificate(what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_opened_from_its_parts_signs_under_the_same_certificate() {
        let (made, ca_key) = Authority::make("c1").unwrap();
        let opened = Authority::open(made.ca_pem(), &ca_key).unwrap();
        assert_eq!((opened.ca_pem(), opened.cluster_id.as_str()), (made.ca_pem(), "c1"));
        let (key, request) = certificate_request().unwrap();
        let names = NodeNames { role: NodeRole::Data, node_id: "d1", hosts: &["10.0.0.1", "data-1.example"] };
        let signed = opened.sign(&request, &names, DAY).unwrap();
        assert_eq!(signed.serial.len(), 32);
        let credentials = crate::Credentials::new(&signed.pem, key).unwrap();
        assert_eq!(signed.serial, credentials.serial());
        assert_eq!(signed.expires_ms / 1_000, credentials.validity().until_ms() / 1_000);
        assert_eq!(opened.sign(&request, &names, DAY).unwrap().key_hash, signed.key_hash, "the same key again");
        let (_, other) = certificate_request().unwrap();
        assert_ne!(opened.sign(&other, &names, DAY).unwrap().key_hash, signed.key_hash);
    }

    #[test]
    fn a_malformed_request_is_refused() {
        let (authority, _) = Authority::make("c1").unwrap();
        let names = NodeNames { role: NodeRole::Data, node_id: "d1", hosts: &[] };
        assert!(authority.sign("no request", &names, DAY).is_err());
    }
}
