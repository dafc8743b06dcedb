//! The certificate of this node, renewed by the control node that it follows.
//!
//! Promise: it is asked for on the connection of the stream, so that a certificate that expires in spite of all is still
//! renewed while that lives; a node that follows no one keeps trying, and serves on. One whose certificate has expired says
//! so every minute.
//! Absent: when to renew (`sluice-identity`).

use std::time::Duration;

use sluice_identity::{Channel, Renewal, Renewer, Tried};
use sluice_proto::admin::{RenewReply, RenewRequest};
use sluice_rpc::admin::cluster_client::ClusterClient;
use sluice_telemetry::{Counter, Gauge, Metrics, metric};
use tokio::sync::watch;
use tonic::{Request, Status};

/// Deadline of one try.
const TRY: Duration = Duration::from_secs(10);

/// Asks the control node that is followed, which carries the call to the leader.
pub(crate) struct ByControl {
    renewal: Renewal,
    followed: watch::Receiver<Option<Channel>>,
    expires: Gauge,
    renewed: Counter,
    failed: Counter,
}

impl ByControl {
    pub(crate) fn new(renewal: &Renewal, followed: watch::Receiver<Option<Channel>>, metrics: &Metrics) -> Self {
        let by = Self {
            renewal: renewal.clone(),
            followed,
            expires: metrics.gauge(&metric::CERTIFICATE_EXPIRES_SECONDS, &[]),
            renewed: metrics.counter(&metric::CERTIFICATE_RENEWALS, &["renewed"]),
            failed: metrics.counter(&metric::CERTIFICATE_RENEWALS, &["failed"]),
        };
        by.show();
        by
    }

    fn show(&self) {
        self.expires.set(self.renewal.credentials().validity().until_seconds());
    }
}

impl Renewer for ByControl {
    async fn ask(&self, request: RenewRequest) -> Result<RenewReply, Status> {
        let channel = self.followed.borrow().clone();
        let channel = channel.ok_or_else(|| Status::unavailable("no control node is followed"))?;
        let mut request = Request::new(request);
        request.set_timeout(TRY);
        Ok(ClusterClient::new(channel).renew(request).await?.into_inner())
    }

    fn tried(&self, tried: Tried) {
        match tried {
            Tried::Renewed => self.renewed.increment(1),
            Tried::Failed => self.failed.increment(1),
        }
        self.show();
    }
}
