//! The files of certificates and keys: read at the start, and again when they change.
//!
//! Promise: a pair that changed is served to new connections within three seconds, once its files have stood still for
//! one; a pair that is broken, half-written or gone keeps the one before it served, is named in the log once, and counted.
//! Works where files are replaced by renames and links (Kubernetes, certbot) and where they are written in place.
//! Absent: watching by the system's events, which network file systems do not give.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use sluice_telemetry::{Counter, Gauge, Metrics, metric};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::certificate::{Certificate, CertificateFailure, Pair};
use super::directory::Directory;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pairs of a node.
#[derive(Debug)]
pub(super) struct Files {
    pairs: Vec<Followed>,
    directory: Arc<Directory>,
    provider: CryptoProvider,
    served: Counter,
    refused: Counter,
}

/// A pair, what of it is served, and what was seen of its files.
#[derive(Debug)]
struct Followed {
    pair: Pair,
    certificate: Certificate,
    /// What the files were when they were last read, for better or worse.
    read: Traces,
    /// What they were at the last look.
    seen: Traces,
    expiry: Gauge,
}

/// What the system says of a pair's two files.
type Traces = [Option<Trace>; 2];

/// What changes when a file does; `None` where there is no file. Its time of change moves with its rights too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trace {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_ns: (i64, i64),
}

impl Files {
    /// Reads all pairs and serves them, the first by default.
    ///
    /// # Errors
    /// [`CertificateFailure`] of the first that cannot be used.
    pub(super) fn open(
        pairs: impl Iterator<Item = Pair>,
        directory: Arc<Directory>,
        metrics: &Metrics,
    ) -> Result<Self, CertificateFailure> {
        let provider = ring::default_provider();
        let open = |pair: Pair| {
            let traces = pair.traces();
            let certificate = pair.read(&provider)?;
            let file = pair.certificate.display().to_string();
            let expiry = metrics.gauge(&metric::TLS_CERTIFICATE_EXPIRY, &[&file]);
            let followed = Followed { pair, certificate, read: traces, seen: traces, expiry };
            followed.tell();
            Ok(followed)
        };
        let pairs = pairs.map(open).collect::<Result<Vec<_>, _>>()?;
        directory.serve(pairs.iter().map(|each| &each.certificate));
        let count = |kind| metrics.counter(&metric::TLS_RELOADS, &[kind]);
        Ok(Self { pairs, directory, provider, served: count("served"), refused: count("refused") })
    }

    /// Looks at the files every second, until `stop`.
    pub(super) async fn follow(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Both branches are cancel-safe: a tick that is dropped comes again.
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            // A file system may hang, and reading takes its time.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            let Ok(files) = looked.await else { return };
            self = files;
        }
    }

    /// Reads and serves what has changed and stands still.
    fn look(&mut self) {
        let mut changed = false;
        for each in &mut self.pairs {
            let traces = each.pair.traces();
            let still = std::mem::replace(&mut each.seen, traces) == traces;
            if traces == each.read || !still {
                continue;
            }
            each.read = traces;
            match each.pair.read(&self.provider) {
                Ok(certificate) => {
                    each.certificate = certificate;
                    each.tell();
                    self.served.increment(1);
                    changed = true;
                }
                Err(failure) => {
                    let file = each.pair.certificate.display();
                    warn!(%failure, %file, "changed certificate is not served; the one before it still is");
                    self.refused.increment(1);
                }
            }
        }
        if changed {
            self.directory.serve(self.pairs.iter().map(|each| &each.certificate));
        }
    }
}

impl Followed {
    fn tell(&self) {
        let Certificate { names, expires_s, .. } = &self.certificate;
        self.expiry.set(*expires_s as f64);
        info!(file = %self.pair.certificate.display(), ?names, expires_s, "certificate is served");
    }
}

impl Pair {
    fn traces(&self) -> Traces {
        [trace(&self.certificate), trace(&self.key)]
    }
}

fn trace(path: &Path) -> Option<Trace> {
    let found = std::fs::metadata(path).ok()?;
    Some(Trace {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.len(),
        changed_ns: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A folder with a pair that can be written over.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn pair(&self) -> Pair {
            Pair { certificate: self.0.path().join("tls.crt"), key: self.0.path().join("tls.key") }
        }

        /// A new pair for `name`: the two texts.
        fn made(name: &str) -> (String, String) {
            let key = KeyPair::generate().unwrap();
            let made = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            (made.pem(), key.serialize_pem())
        }

        fn write(&self, (certificate, key): &(String, String)) {
            fs::write(self.pair().certificate, certificate).unwrap();
            fs::write(self.pair().key, key).unwrap();
        }

        fn open(metrics: &Metrics) -> (Self, Files) {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.write(&Self::made("first.test"));
            let files = Files::open([folder.pair()].into_iter(), Arc::default(), metrics).unwrap();
            (folder, files)
        }
    }

    /// Two looks: what changed is seen, and then seen to stand still.
    fn looked(files: &mut Files) -> &[String] {
        files.look();
        files.look();
        &files.pairs[0].certificate.names
    }

    fn says(metrics: &Metrics, line: &str) -> bool {
        metrics.render().lines().any(|found| found == line)
    }

    #[test]
    fn a_changed_pair_is_served_once_it_stands_still() {
        let metrics = Metrics::new();
        let (folder, mut files) = Folder::open(&metrics);
        folder.write(&Folder::made("second.test"));
        files.look();
        assert_eq!(files.pairs[0].certificate.names, ["first.test"]);
        files.look();
        assert_eq!(files.pairs[0].certificate.names, ["second.test"]);
        assert!(says(&metrics, "sluice_tls_reloads_total{kind=\"served\"} 1"), "{}", metrics.render());
        looked(&mut files);
        assert!(says(&metrics, "sluice_tls_reloads_total{kind=\"served\"} 1"), "nothing changed since");
    }

    #[test]
    fn a_pair_that_cannot_be_served_leaves_the_one_before_it() {
        let metrics = Metrics::new();
        let (folder, mut files) = Folder::open(&metrics);
        let next = Folder::made("next.test");
        let half = (next.0[..next.0.len() / 2].to_owned(), next.1.clone());
        let other_key = (next.0.clone(), Folder::made("next.test").1);
        let empty = (String::new(), String::new());
        for (broken, count) in [(half, 1), (other_key, 2), (empty, 3)] {
            folder.write(&broken);
            assert_eq!(looked(&mut files), ["first.test"]);
            let line = format!("sluice_tls_reloads_total{{kind=\"refused\"}} {count}");
            assert!(says(&metrics, &line), "{line} in {}", metrics.render());
        }
        fs::remove_file(folder.pair().key).unwrap();
        assert_eq!(looked(&mut files), ["first.test"]);
        folder.write(&next);
        assert_eq!(looked(&mut files), ["next.test"]);
    }

    #[test]
    fn a_pair_behind_a_link_is_followed_where_the_link_goes() {
        let metrics = Metrics::new();
        let mounted = tempfile::tempdir().unwrap();
        let link = mounted.path().join("data");
        let version = |name: &str| {
            let folder = Folder(tempfile::tempdir_in(mounted.path()).unwrap());
            folder.write(&Folder::made(name));
            folder
        };
        let (first, second) = (version("first.test"), version("second.test"));
        std::os::unix::fs::symlink(first.0.path(), &link).unwrap();
        let pair = Pair { certificate: link.join("tls.crt"), key: link.join("tls.key") };
        let mut files = Files::open([pair].into_iter(), Arc::default(), &metrics).unwrap();
        let next = mounted.path().join("next");
        std::os::unix::fs::symlink(second.0.path(), &next).unwrap();
        fs::rename(next, &link).unwrap();
        assert_eq!(looked(&mut files), ["second.test"]);
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said_with_its_file_and_without_its_bytes() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let (good, other) = (Folder::made("a.test"), Folder::made("a.test"));
        let cases = [
            ((good.1.clone(), good.1.clone()), "with certificates in", "tls.crt"),
            ((good.0.clone(), good.0.clone()), "with a private key in", "tls.key"),
            ((good.0.clone(), "-----BEGIN PRIVATE KEY-----\nsecret\n".to_owned()), "with a private key in", "tls.key"),
            ((good.0.clone(), other.1), "cannot serve the certificate in", "tls.key"),
        ];
        for (texts, expected, file) in cases {
            folder.write(&texts);
            let said = folder.pair().read(&ring::default_provider()).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains(file) && !said.contains("secret"), "{said}");
        }
        fs::remove_file(folder.pair().certificate).unwrap();
        let said = folder.pair().read(&ring::default_provider()).unwrap_err().to_string();
        assert!(said.starts_with("cannot read ") && said.contains("tls.crt"), "{said}");
    }
}
