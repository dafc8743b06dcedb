//! rustls configurations under the cluster CA.
//!
//! Promise: ring is the provider, passed in, never installed process-wide; gRPC speaks TLS 1.3 only. A node is verified
//! by the name `{role}.{cluster-id}.sluice.internal`; who a caller is, is read from its certificate's URI.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

use crate::{Credentials, Door, IdentityFailure, NodeRole, OperatorCertificate, Peer, Secret};

/// The name that nodes verify: `{role}.{cluster-id}.sluice.internal`.
pub(crate) fn dns_name(role: NodeRole, cluster_id: &str) -> String {
    format!("{role}.{cluster_id}.sluice.internal")
}

/// The name that is read: `sluice://{cluster}/{role}/{node}`.
pub(crate) fn node_uri(cluster_id: &str, role: NodeRole, node_id: &str) -> String {
    format!("sluice://{cluster_id}/{role}/{node_id}")
}

/// The name that is read of an operator: `sluice://{cluster}/operator/{name}`.
pub(crate) fn operator_uri(cluster_id: &str, name: &str) -> String {
    format!("sluice://{cluster_id}/operator/{name}")
}

/// The URI in the certificate of a cluster's CA, by which its cluster is known before joining.
pub(crate) fn ca_uri(cluster_id: &str) -> String {
    format!("sluice://{cluster_id}/ca")
}

pub(crate) fn server_name(role: NodeRole, cluster_id: &str) -> Result<ServerName<'static>, IdentityFailure> {
    ServerName::try_from(dns_name(role, cluster_id))
        .map_err(|error| IdentityFailure::certificate("the cluster id as a server name", error))
}

/// A client that trusts `ca_pem` and shows what `own` holds at each handshake, when it has some.
pub(crate) fn client_config(ca_pem: &str, own: Option<&Credentials>) -> Result<Arc<ClientConfig>, IdentityFailure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| IdentityFailure::certificate("TLS 1.3", error))?
        .with_root_certificates(roots(ca_pem)?);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(Arc::new(own.clone())),
    };
    // A resumed session goes on with the certificates of an earlier handshake, also when these are no longer good.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A server that shows what `own` holds at each handshake, and asks callers for their certificate as `door` says.
pub(crate) fn server_config(ca_pem: &str, own: &Credentials, door: Door) -> Result<Arc<ServerConfig>, IdentityFailure> {
    let versions: &[&rustls::SupportedProtocolVersion] =
        if door == Door::Http { rustls::ALL_VERSIONS } else { &[&TLS13] };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| IdentityFailure::certificate("the protocol versions", error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider());
    let verifier = match door {
        Door::Http => None,
        Door::Admin => Some(verifier.allow_unauthenticated()),
        Door::Peer => Some(verifier),
    };
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(
            verifier.build().map_err(|error| IdentityFailure::certificate("the cluster CA's certificate", error))?,
        ),
    };
    let mut config = builder.with_cert_resolver(Arc::new(own.clone()));
    if door != Door::Http {
        // As for clients: who a caller is, is found out anew with each connection.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = match door {
        // What is served there: a client that is told of HTTP/2 would speak it.
        Door::Http => vec![b"http/1.1".to_vec()],
        Door::Admin | Door::Peer => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The node that a verified certificate names.
pub(crate) fn peer_of(certificate: &CertificateDer<'_>) -> Result<Peer, IdentityFailure> {
    let uri = sluice_uri(certificate, "the peer's certificate")?;
    let mut parts = uri.splitn(3, '/');
    let (cluster, role, node) = (parts.next(), parts.next().and_then(NodeRole::parse), parts.next());
    match (cluster, role, node) {
        (Some(cluster), Some(role), Some(node)) if !node.is_empty() => Ok(Peer::node(cluster, role, node)),
        _ => Err(IdentityFailure::certificate(
            "the peer's certificate",
            format!("expected the URI sluice://CLUSTER/ROLE/NODE, found sluice://{uri}"),
        )),
    }
}

/// The operator of `cluster_id` that a verified certificate names; `None` when it names something else.
pub(crate) fn operator_of(
    certificate: &CertificateDer<'_>,
    cluster_id: &str,
) -> Result<Option<OperatorCertificate>, IdentityFailure> {
    let uri = sluice_uri(certificate, "the caller's certificate")?;
    let mut parts = uri.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(cluster), Some("operator"), Some(name)) if cluster == cluster_id && !name.is_empty() => {
            let (name, serial) = (name.to_owned(), serial_of(certificate)?);
            Ok(Some(OperatorCertificate { name, serial }))
        }
        _ => Ok(None),
    }
}

/// The cluster whose CA `ca_pem` is.
pub(crate) fn cluster_of_ca(ca_pem: &str) -> Result<String, IdentityFailure> {
    const WHAT: &str = "the cluster CA's certificate";
    let certificate = CertificateDer::from_pem_slice(ca_pem.as_bytes())
        .map_err(|error| IdentityFailure::certificate(WHAT, format!("expected PEM: {error}")))?;
    let uri = sluice_uri(&certificate, WHAT)?;
    match uri.strip_suffix("/ca") {
        Some(cluster) => Ok(cluster.to_owned()),
        None => Err(IdentityFailure::certificate(WHAT, "it is a node's; expected the file ca.pem of a control node")),
    }
}

/// Hex of the serial number of a certificate.
fn serial_of(certificate: &CertificateDer<'_>) -> Result<String, IdentityFailure> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
        .map_err(|error| IdentityFailure::certificate("a certificate", error))?;
    Ok(parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What follows `sluice://` in the one such URI of a certificate.
fn sluice_uri(certificate: &CertificateDer<'_>, what: &'static str) -> Result<String, IdentityFailure> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
        .map_err(|error| IdentityFailure::certificate(what, error))?;
    let names = parsed.subject_alternative_name().map_err(|error| IdentityFailure::certificate(what, error))?;
    names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("sluice://").map(str::to_owned),
            _ => None,
        })
        .ok_or_else(|| IdentityFailure::certificate(what, "it has no sluice:// URI; it is not of a Sluice cluster"))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(ca_pem: &str) -> Result<RootCertStore, IdentityFailure> {
    const WHAT: &str = "the cluster CA's certificate";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem, WHAT)? {
        roots.add(certificate).map_err(|error| IdentityFailure::certificate(WHAT, error))?;
    }
    Ok(roots)
}

pub(crate) fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, IdentityFailure> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| IdentityFailure::certificate(what, error))?;
    if found.is_empty() {
        return Err(IdentityFailure::certificate(what, "expected a PEM block CERTIFICATE, found none"));
    }
    Ok(found)
}

pub(crate) fn private_key(pem: &Secret<String>) -> Result<PrivateKeyDer<'static>, IdentityFailure> {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
        .map_err(|error| IdentityFailure::certificate("the node's private key", error))
}
