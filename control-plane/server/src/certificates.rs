//! The certificate of this node: renewed by the leader, or by the node itself where that is too late.
//!
//! Promise: a control node whose certificate has expired while it was off starts all the same, also when all others were
//! off too: it holds the cluster's CA as they do, and signs its own. Absent: when to renew (`sluice-identity`), and what
//! the leader checks (`sluice-admin`).

use std::time::{Duration, SystemTime};

use sluice_admin::Services;
use sluice_identity::{
    Authority, Identity, IdentityFailure, Keyring, NodeNames, NodeRole, Peer, Renewal, Renewer, Tried,
    certificate_request,
};
use sluice_proto::admin::{RenewReply, RenewRequest};
use sluice_raft::Raft;
use sluice_telemetry::{Counter, Gauge, Metrics, metric};
use tonic::{Request, Status};
use tracing::warn;

use crate::membership::Announced;

/// Deadline of one try.
const TRY: Duration = Duration::from_secs(10);

/// Asks the leader, which may be this node.
pub(crate) struct ByLeader {
    services: Services,
    peer: Peer,
    meters: Meters,
}

impl ByLeader {
    pub(crate) fn new(services: Services, identity: &Identity, meters: Meters) -> Self {
        let peer = Peer::node(&identity.cluster_id, NodeRole::Control, &identity.node_id);
        Self { services, peer, meters }
    }
}

impl Renewer for ByLeader {
    async fn ask(&self, request: RenewRequest) -> Result<RenewReply, Status> {
        let mut request = Request::new(request);
        request.set_timeout(TRY);
        // A call of this node to itself passes no gate that would find out who calls.
        request.extensions_mut().insert(self.peer.clone());
        Ok(self.services.cluster_client().renew(request).await?.into_inner())
    }

    fn tried(&self, tried: Tried) {
        self.meters.tried(tried);
    }
}

/// What is told of the certificate.
pub(crate) struct Meters {
    renewal: Renewal,
    expires: Gauge,
    renewed: Counter,
    failed: Counter,
}

impl Meters {
    pub(crate) fn new(renewal: &Renewal, metrics: &Metrics) -> Self {
        let meters = Self {
            renewal: renewal.clone(),
            expires: metrics.gauge(&metric::CERTIFICATE_EXPIRES_SECONDS, &[]),
            renewed: metrics.counter(&metric::CERTIFICATE_RENEWALS, &["renewed"]),
            failed: metrics.counter(&metric::CERTIFICATE_RENEWALS, &["failed"]),
        };
        meters.show();
        meters
    }

    fn show(&self) {
        self.expires.set(self.renewal.credentials().validity().until_seconds());
    }

    fn tried(&self, tried: Tried) {
        match tried {
            Tried::Renewed => self.renewed.increment(1),
            Tried::Failed => self.failed.increment(1),
        }
        self.show();
    }
}

/// Signs this node's certificate here if it has expired, by the CA as this node's state has it.
///
/// # Errors
/// `Certificate` with what to do, when this node's state does not hold the CA yet.
pub(crate) fn renew_if_expired(
    renewal: &Renewal,
    identity: &Identity,
    raft: &Raft,
    keys: &Keyring,
    announced: &Announced,
    life: Duration,
) -> Result<(), IdentityFailure> {
    if !renewal.credentials().validity().is_over(SystemTime::now()) {
        return Ok(());
    }
    let Some(cluster) = raft.view().cluster() else {
        return Err(IdentityFailure::Expired { advice: renewal.advice() });
    };
    let expired = renewal.credentials().validity().until_text();
    let authority = Authority::unseal(keys, &cluster.ca_certificate_pem, &cluster.sealed_ca_key)?;
    let (key_pem, request) = certificate_request()?;
    let hosts = announced.hosts();
    let names = NodeNames { role: NodeRole::Control, node_id: &identity.node_id, hosts: &hosts };
    let signed = authority.sign(&request, &names, life)?;
    renewal.take(&signed.pem, key_pem)?;
    warn!(expired, serial = signed.serial, "the certificate had expired; this node has signed itself another");
    Ok(())
}
