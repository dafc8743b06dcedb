//! Which certificate a client is shown: by the name that it asks for (SNI).
//!
//! Promise: a name of the certificate itself goes before a `*.`, which stands for one label; the first of the settings is
//! for clients that name none, or one that no certificate has. Of several for one name the client gets the first whose
//! kind of key it knows, so that RSA may stand beside ECDSA.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The certificates that are served now.
#[derive(Debug, Default)]
pub(super) struct Directory(ArcSwap<Table>);

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// The first is the default.
    all: Vec<Arc<CertifiedKey>>,
}

impl Directory {
    /// Serves these from now on, the first by default.
    pub(super) fn serve<'c>(&self, certificates: impl Iterator<Item = &'c Certificate>) {
        let mut table = Table::default();
        for certificate in certificates {
            for name in &certificate.names {
                table.by_name.entry(name.clone()).or_default().push(Arc::clone(&certificate.key));
            }
            table.all.push(Arc::clone(&certificate.key));
        }
        self.0.store(Arc::new(table));
    }

    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let named = name.and_then(|name| table.named(&name.to_ascii_lowercase()));
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        // Without a name the default; where the client knows not its kind of key, any that it knows.
        named.into_iter().flatten().find(fits).or_else(|| table.all.iter().find(fits)).cloned()
    }
}

impl Table {
    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Directory {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;
    use crate::tls::certificate::Pair;

    /// A certificate for these names with a key of this kind, as files.
    fn certificate(names: &[&str], kind: &'static rcgen::SignatureAlgorithm) -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let pair = Pair { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        std::fs::write(&pair.certificate, made.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair.read(&ring::default_provider()).unwrap()
    }

    #[test]
    fn a_name_gets_its_certificate_and_what_has_none_the_first() {
        let (ecdsa, ed) = (&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519);
        let certificates = [
            certificate(&["default.test"], ecdsa),
            certificate(&["*.pets.test", "pets.test"], ecdsa),
            certificate(&["Cats.pets.test"], ecdsa),
            certificate(&["both.test"], ed),
            certificate(&["both.test"], ecdsa),
        ];
        let directory = Directory::default();
        directory.serve(certificates.iter());
        let (new, old) = (
            [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256],
            [SignatureScheme::ECDSA_NISTP256_SHA256],
        );
        for (name, schemes, expect) in [
            (None, &new[..], 0),
            (Some("elsewhere.test"), &new, 0),
            (Some("pets.test"), &new, 1),
            (Some("dogs.pets.test"), &new, 1),
            (Some("DOGS.pets.test"), &new, 1),
            (Some("a.dogs.pets.test"), &new, 0),
            (Some("cats.pets.test"), &new, 2),
            (Some("both.test"), &new, 3),
            (Some("both.test"), &old, 4),
        ] {
            let found = directory.find(name, schemes).unwrap();
            let at = certificates.iter().position(|each| Arc::ptr_eq(&each.key, &found));
            assert_eq!(at, Some(expect), "{name:?}");
        }
    }
}
