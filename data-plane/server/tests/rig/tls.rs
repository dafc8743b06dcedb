//! Certificates as files, and a client that speaks TLS.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::{Answer, PATIENCE, read_answer};

/// Certificates that sign themselves, in files of a folder.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
    names: Vec<String>,
}

impl Certificates {
    /// One for each name.
    pub(crate) fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder, names: names.iter().map(|name| (*name).to_owned()).collect() };
        for name in names {
            made.renew(name);
        }
        made
    }

    /// Writes a new certificate for `name` over the one before it.
    pub(crate) fn renew(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(self.certificate(name), certificate.pem()).unwrap();
        fs::write(self.key(name), key.serialize_pem()).unwrap();
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.crt"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    /// As the settings name them.
    pub(crate) fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let all = self.names.iter();
        (all.clone().map(|name| self.certificate(name)).collect(), all.map(|name| self.key(name)).collect())
    }

    /// A client that trusts what is in the files now, speaks these versions and offers these protocols.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for name in &self.names {
            let pem = fs::read(self.certificate(name)).unwrap();
            roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_webpki_verifier(verifier.unwrap()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A client's connection over TLS.
pub(crate) struct TlsClient(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl TlsClient {
    /// Connects and makes the handshake with a server of this name; `before` is sent before it.
    pub(crate) fn connect(
        config: &Arc<ClientConfig>,
        address: SocketAddr,
        name: &str,
        before: &[u8],
    ) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(before)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn session(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }

    /// Whether the other side answers this with nothing but its end, in order or not.
    pub(crate) fn is_closed_after(&mut self, bytes: &str) -> bool {
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
        match self.0.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        }
    }

    pub(crate) fn request(&mut self, head: &str) -> Answer {
        self.0.get_mut().write_all(head.as_bytes()).unwrap();
        read_answer(&mut self.0, true)
    }
}
