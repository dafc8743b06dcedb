//! How a node keeps its certificate young.
//!
//! Promise: it asks for the next certificate, with a new key, after two thirds of the life of the present one, jittered,
//! and goes on until it has it; what it gets is on disk before it is shown, whole or not at all. One that has expired all
//! the same says what to do. Absent: signing (`authority`), and who is asked (the daemons').

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use sluice_proto::admin::{RenewReply, RenewRequest};
use tonic::Status;
use tracing::{error, info, warn};

use crate::{
    Credentials, Identity, IdentityFailure, NodeRole, Peer, Secret, certificate_request, secret::random_bytes,
    status_text, tls,
};

/// The longest sleep: a clock that was set meanwhile is noticed by then.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Pauses between tries; in between an eighth of what is left of the certificate's life.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Pause between tries with a certificate that has expired, and so how often that is said.
const PAUSE_EXPIRED: Duration = Duration::from_secs(60);

/// The way to a new certificate.
pub trait Renewer: Send + Sync {
    /// Has a request signed by the cluster.
    fn ask(&self, request: RenewRequest) -> impl Future<Output = Result<RenewReply, Status>> + Send;

    /// Is told what became of a try.
    fn tried(&self, tried: Tried);
}

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The node shows a new certificate.
    Renewed,
    /// It does not; it tries again.
    Failed,
}

/// Keeps one node's certificate.
#[derive(Debug, Clone)]
pub struct Renewal {
    node_id: String,
    cluster_id: String,
    role: NodeRole,
    credentials: Credentials,
    folder: PathBuf,
}

impl Renewal {
    /// Of the node whose identity lies in `folder`; `None` for one without certificates.
    pub fn of(identity: &Identity, folder: &Path) -> Option<Self> {
        let Identity { node_id, cluster_id, role, .. } = identity.clone();
        let credentials = identity.credentials()?.clone();
        Some(Self { node_id, cluster_id, role, credentials, folder: folder.to_owned() })
    }

    /// What the node shows.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Renews in time, for as long as it is polled; may be dropped at any time.
    pub async fn run(self, renewer: impl Renewer) {
        let mut jitter = random_fraction();
        loop {
            wait_until(self.credentials.validity().renew_at(jitter)).await;
            let tried = match self.attempt(&renewer).await {
                Ok(()) => {
                    jitter = random_fraction();
                    Tried::Renewed
                }
                Err(reason) => {
                    self.complain(&reason);
                    Tried::Failed
                }
            };
            renewer.tried(tried);
            if tried == Tried::Failed {
                tokio::time::sleep(self.pause()).await;
            }
        }
    }

    async fn attempt(&self, renewer: &impl Renewer) -> Result<(), String> {
        let (key_pem, csr_pem) = certificate_request().map_err(|failure| failure.to_string())?;
        let asked = Instant::now();
        let reply = renewer.ask(RenewRequest { csr_pem }).await.map_err(|status| status_text(&status))?;
        let elapsed_ms = asked.elapsed().as_millis();
        let this = self.clone();
        // Files are synced.
        let taken = tokio::task::spawn_blocking(move || this.take(&reply.certificate_pem, key_pem)).await;
        taken.map_err(|error| error.to_string())?.map_err(|failure| failure.to_string())?;
        info!(
            node_id = %self.node_id, serial = self.credentials.serial(), expires = self.credentials.validity().until_text(),
            elapsed_ms, "certificate renewed"
        );
        Ok(())
    }

    /// Keeps a new certificate and its key, and shows them from the next handshake on.
    ///
    /// # Errors
    /// `Certificate` when they do not belong together or are another node's, `File` when they cannot be kept; what the node
    /// has stays then.
    pub fn take(&self, certificate_pem: &str, key_pem: Secret<String>) -> Result<(), IdentityFailure> {
        const WHAT: &str = "the node's new certificate";
        let named = tls::peer_of(&tls::certificates(certificate_pem, WHAT)?[0])?;
        if named != Peer::node(&self.cluster_id, self.role, &self.node_id) {
            return Err(IdentityFailure::certificate(
                WHAT,
                format!("expected one of this node, found one of {named:?}"),
            ));
        }
        Credentials::new(certificate_pem, key_pem.clone())?.save(&self.folder)?;
        self.credentials.replace(certificate_pem, key_pem)
    }

    fn complain(&self, reason: &str) {
        let validity = self.credentials.validity();
        if validity.is_over(SystemTime::now()) {
            error!(node_id = %self.node_id, reason, "{}", self.advice());
        } else {
            let expires = validity.until_text();
            warn!(node_id = %self.node_id, reason, expires, "certificate not renewed yet");
        }
    }

    /// What an operator does about a node whose certificate has expired.
    pub fn advice(&self) -> String {
        let Self { node_id, role, .. } = self;
        let expired = self.credentials.validity().until_text();
        format!(
            "the certificate of this node expired on {expired}, and no other node believes it: stop it, remove it with `sluice \
             node remove {node_id}`, make a token with `sluice cluster token create --role {role}`, and start it again with an \
             empty --data-dir, --join and --join-token-file"
        )
    }

    fn pause(&self) -> Duration {
        match self.credentials.validity().until.duration_since(SystemTime::now()) {
            Ok(left) => (left / 8).clamp(PAUSE_MIN, PAUSE_MAX),
            Err(_) => PAUSE_EXPIRED,
        }
    }
}

/// Waits for an instant of the wall clock, also when that is set.
async fn wait_until(due: SystemTime) {
    while let Ok(left) = due.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

/// Somewhere between 0 and 1; without randomness nothing is jittered.
fn random_fraction() -> f64 {
    random_bytes::<4>().map_or(0.0, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicU32, atomic::Ordering};

    use super::*;
    use crate::{Authority, NodeNames, Trust};

    /// A cluster that signs, after it has refused a few times.
    struct Signs<'a> {
        authority: &'a Authority,
        node_id: &'a str,
        refusals: AtomicU32,
        tried: &'a Mutex<Vec<Tried>>,
    }

    impl Renewer for Signs<'_> {
        async fn ask(&self, request: RenewRequest) -> Result<RenewReply, Status> {
            if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(Status::unavailable("no leader"));
            }
            let names = NodeNames { role: NodeRole::Data, node_id: self.node_id, hosts: &[] };
            let signed = self.authority.sign(&request.csr_pem, &names, Duration::from_secs(3600)).unwrap();
            Ok(RenewReply { certificate_pem: signed.pem })
        }

        fn tried(&self, tried: Tried) {
            self.tried.lock().unwrap().push(tried);
        }
    }

    fn node(authority: &Authority, life: Duration) -> Identity {
        let (key, request) = certificate_request().unwrap();
        let names = NodeNames { role: NodeRole::Data, node_id: "d1", hosts: &[] };
        let credentials = Credentials::new(&authority.sign(&request, &names, life).unwrap().pem, key).unwrap();
        let trust = Trust::Tls { ca_pem: authority.ca_pem().to_owned(), credentials };
        Identity { trust, ..Identity::plaintext("c1", NodeRole::Data, "d1") }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_certificate_is_renewed_in_time_after_failures_and_kept_for_the_next_start() {
        let authority = Authority::make("c1").unwrap().0;
        let identity = node(&authority, Duration::from_secs(3));
        let folder = tempfile::tempdir().unwrap();
        identity.save(folder.path()).unwrap();
        let first = identity.credentials().unwrap().serial();
        let tried = Mutex::default();
        let cluster = Signs { authority: &authority, node_id: "d1", refusals: AtomicU32::new(1), tried: &tried };
        let running = Renewal::of(&identity, folder.path()).unwrap().run(cluster);
        let renewed = async {
            while !tried.lock().unwrap().contains(&Tried::Renewed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = running => unreachable!("it runs for as long as it is polled"),
            () = renewed => {}
        }
        assert_eq!(*tried.lock().unwrap(), [Tried::Failed, Tried::Renewed]);
        let now = identity.credentials().unwrap().serial();
        assert_ne!(now, first);
        assert_eq!(Identity::load(folder.path()).unwrap().unwrap().credentials().unwrap().serial(), now);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_certificate_of_another_node_is_not_taken() {
        let authority = Authority::make("c1").unwrap().0;
        let identity = node(&authority, Duration::from_secs(3600));
        let folder = tempfile::tempdir().unwrap();
        identity.save(folder.path()).unwrap();
        let first = identity.credentials().unwrap().serial();
        let tried = Mutex::default();
        let cluster = Signs { authority: &authority, node_id: "d2", refusals: AtomicU32::new(0), tried: &tried };
        let refused = Renewal::of(&identity, folder.path()).unwrap().attempt(&cluster).await.unwrap_err();
        assert!(refused.contains("expected one of this node"), "{refused}");
        assert_eq!(identity.credentials().unwrap().serial(), first);
        assert_eq!(Identity::load(folder.path()).unwrap().unwrap().credentials().unwrap().serial(), first);
    }

    #[test]
    fn a_node_without_certificates_renews_none() {
        assert!(Renewal::of(&Identity::plaintext("c1", NodeRole::Data, "d1"), Path::new("none")).is_none());
    }
}
